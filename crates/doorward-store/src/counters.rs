//! Counts that several gateways share, in Valkey or Redis: one atomic script takes everything that a call needs, or
//! nothing.

use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;

use crate::valkey::{connect, in_time};

/// How long a process's calls are counted as running when it shows no sign of life.
const ALIVE: Duration = Duration::from_secs(15);

/// What kind of count it is. Lengths in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountKind {
    Bucket {
        per: u64,
        count: u64,
    },
    Fixed {
        per: u64,
    },
    Sliding {
        per: u64,
    },
    /// A window that the key names; it ends after this time.
    Quota {
        ends: u64,
    },
    /// Those that run now, by process.
    Concurrent,
}

/// What is wanted of one count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// What is counted.
    pub key: String,
    pub kind: CountKind,
    pub limit: u64,
    /// What is needed, and what would be taken along for those to come.
    pub weight: u64,
    pub more: u64,
    /// Say only whether it would be refused: the others are taken all the same.
    pub dry: bool,
}

/// What was given of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// So many, what was needed included; so many are left; what was taken along is good for so long.
    Taken { count: u64, left: u64, good_for: Duration },
    /// Nothing: not before this time has passed.
    Refused { retry: Duration },
}

/// What is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    pub key: String,
    pub kind: CountKind,
    pub count: u64,
}

#[derive(Clone)]
pub struct Counters {
    manager: ConnectionManager,
    namespace: String,
    instance: String,
    take: std::sync::Arc<Script>,
    give: std::sync::Arc<Script>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// For each want seven arguments: kind, limit, length, count of a bucket, weight, more, dry; and first the
/// process and how long it is alive. Times are the store's own, in microseconds.
const TAKE: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local me, alive = ARGV[1], tonumber(ARGV[2])
local out, plan, ok = {}, {}, true
for i = 1, #KEYS do
  local a = 2 + (i - 1) * 7
  local kind, limit, per = ARGV[a+1], tonumber(ARGV[a+2]), tonumber(ARGV[a+3])
  local weight, more, dry = tonumber(ARGV[a+5]), tonumber(ARGV[a+6]), ARGV[a+7] == '1'
  local room, retry, good, write = 0, 0, 1000000, nil
  if kind == 'b' then
    local each = math.max(1, math.floor(per / tonumber(ARGV[a+4])))
    local full = math.max(now, tonumber(redis.call('GET', KEYS[i]) or '0'))
    room = math.floor((each * limit - (full - now)) / each)
    retry = (full - now) + each * weight - each * limit
    write = function(n)
      redis.call('SET', KEYS[i], string.format('%.0f', full + each * n), 'PX', math.ceil(each * limit / 1000) + 1000)
    end
  elseif kind == 'f' or kind == 's' then
    local window, into = math.floor(now / per), now % per
    local kept = redis.call('HMGET', KEYS[i], 'w', 'c', 'p')
    local w, c, p = tonumber(kept[1] or '-1'), tonumber(kept[2] or '0'), tonumber(kept[3] or '0')
    if w ~= window then
      p = (w == window - 1) and c or 0
      c = 0
    end
    local rest = per - into
    local before = (kind == 's') and math.ceil(p * rest / per) or 0
    room = limit - c - before
    retry = rest
    if kind == 's' and p > 0 and weight - room < before then
      retry = math.min(rest, math.floor((weight - room) * per / p) + 1)
    end
    good = (kind == 's') and math.min(rest, 1000000) or rest
    write = function(n)
      redis.call('HSET', KEYS[i], 'w', string.format('%.0f', window), 'c', c + n, 'p', p)
      redis.call('PEXPIRE', KEYS[i], math.ceil(per * 2 / 1000) + 1000)
    end
  elseif kind == 'q' then
    room = limit - tonumber(redis.call('GET', KEYS[i]) or '0')
    retry, good = per, per
    write = function(n)
      redis.call('INCRBY', KEYS[i], n)
      redis.call('PEXPIRE', KEYS[i], math.ceil(per / 1000) + 86400000)
    end
  else
    local sum, own = 0, 0
    local all = redis.call('HGETALL', KEYS[i])
    for j = 1, #all, 2 do
      local slots, till = string.match(all[j+1], '^(%d+):(%d+)$')
      if tonumber(till) < now then
        redis.call('HDEL', KEYS[i], all[j])
      else
        sum = sum + slots
        if all[j] == me then own = tonumber(slots) end
      end
    end
    room, retry, good = limit - sum, 1000000, alive
    write = function(n)
      redis.call('HSET', KEYS[i], me, string.format('%d:%.0f', own + n, now + alive))
      redis.call('PEXPIRE', KEYS[i], math.ceil(alive / 1000) + 5000)
    end
  end
  if room < weight then
    out[i] = {-1, math.max(1, retry), 0}
    if not dry then ok = false end
  else
    local n = math.min(room, weight + more)
    plan[i] = function() write(n) end
    out[i] = {n, room - n, good}
  end
end
if ok then
  for i = 1, #KEYS do
    if plan[i] then plan[i]() end
  end
end
return out
";

/// For each key three arguments: kind, count, length; and first the process and how long it is alive.
/// Nothing given back of those that run shows that the others still do.
const GIVE: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local me, alive = ARGV[1], tonumber(ARGV[2])
for i = 1, #KEYS do
  local a = 2 + (i - 1) * 3
  local kind, count = ARGV[a+1], tonumber(ARGV[a+2])
  if kind == 'q' then
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('DECRBY', KEYS[i], count) end
  elseif kind == 'c' then
    local kept = redis.call('HGET', KEYS[i], me)
    local slots = kept and tonumber(string.match(kept, '^(%d+):')) or 0
    slots = slots - count
    if slots > 0 then
      redis.call('HSET', KEYS[i], me, string.format('%d:%.0f', slots, now + alive))
      redis.call('PEXPIRE', KEYS[i], math.ceil(alive / 1000) + 5000)
    else
      redis.call('HDEL', KEYS[i], me)
    end
  end
end
return 1
";

impl CountKind {
    fn letter(self) -> &'static str {
        match self {
            Self::Bucket { .. } => "b",
            Self::Fixed { .. } => "f",
            Self::Sliding { .. } => "s",
            Self::Quota { .. } => "q",
            Self::Concurrent => "c",
        }
    }

    fn length(self) -> u64 {
        match self {
            Self::Bucket { per, .. } | Self::Fixed { per } | Self::Sliding { per } => per.max(1),
            Self::Quota { ends } => ends.max(1),
            Self::Concurrent => 0,
        }
    }
}

impl Counters {
    /// Prepares to use a store, which need not be there yet. `instance` names this process. Must be
    /// called within the runtime that the connection shall live on.
    pub fn open(url: &str, namespace: &str, instance: &str) -> Result<Self, String> {
        Ok(Self {
            manager: connect(url)?,
            namespace: namespace.to_owned(),
            instance: instance.to_owned(),
            take: std::sync::Arc::new(Script::new(TAKE)),
            give: std::sync::Arc::new(Script::new(GIVE)),
        })
    }

    /// Takes all that is wanted, or nothing. The error is in words.
    pub async fn take(&self, wants: &[Want]) -> Result<Vec<Given>, String> {
        let mut call = self.take.prepare_invoke();
        call.arg(&self.instance).arg(ALIVE.as_micros().to_string());
        for want in wants {
            // All keys of a namespace are on one node of a cluster.
            call.key(format!("{{{}}}:{}", self.namespace, want.key));
            let count = match want.kind {
                CountKind::Bucket { count, .. } => count.max(1),
                _ => 1,
            };
            call.arg(want.kind.letter()).arg(want.limit).arg(want.kind.length()).arg(count);
            call.arg(want.weight).arg(want.more).arg(u8::from(want.dry));
        }
        let mut connection = self.manager.clone();
        let asked = call.invoke_async::<Vec<(i64, i64, i64)>>(&mut connection);
        let given = in_time(asked).await?;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let read = |(count, second, third): (i64, i64, i64)| match count {
            ..0 => Given::Refused { retry: Duration::from_micros(number(second)) },
            count => Given::Taken {
                count: number(count),
                left: number(second),
                good_for: Duration::from_micros(number(third)),
            },
        };
        Ok(given.into_iter().map(read).collect())
    }

    /// Gives back what was taken and not used. Of calls that run, none shows that the process lives.
    pub async fn give(&self, all: &[Back]) -> Result<(), String> {
        let mut call = self.give.prepare_invoke();
        call.arg(&self.instance).arg(ALIVE.as_micros().to_string());
        for back in all {
            call.key(format!("{{{}}}:{}", self.namespace, back.key));
            call.arg(back.kind.letter()).arg(back.count).arg(back.kind.length());
        }
        let mut connection = self.manager.clone();
        in_time(call.invoke_async::<i64>(&mut connection)).await.map(drop)
    }
}
