//! Labels of conversations, and counts of their calls, that several gateways share, in Valkey or Redis. Each request is
//! one atomic script; times are the store's own.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;

use crate::valkey::{connect, in_time};

/// Most of what one listing returns.
const MOST_LISTED: usize = 10_000;

/// Keys: the conversation, its caller, the age of the store's data. Values of a conversation: `a` is what it is, `c` that it
/// was cleared, `o:LABEL` which call first returned the label, `u:LABEL` until when it holds; of a caller also `n`, how many
/// conversations it has, and `x`, until when one of them may be unknown.
const READ: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('SET', KEYS[3], string.format('%.0f', now), 'NX')
local age = now - tonumber(redis.call('GET', KEYS[3]))
local own, whole = redis.call('HGETALL', KEYS[1]), redis.call('HMGET', KEYS[2], 'c', 'x')
return {now, age, whole[1] and 1 or 0, tonumber(whole[2] or '0'), own}
";

/// Arguments: how long a label holds, how many conversations a caller may have, what the conversation is, and for each
/// label its name and origin.
const BRING: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lasts, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local ends = string.format('%.0f', now + lasts)
if KEYS[1] ~= KEYS[2] and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('PEXPIRE', KEYS[2], lasts)
  if redis.call('HINCRBY', KEYS[2], 'n', 1) > most then
    redis.call('HSET', KEYS[2], 'x', ends)
    redis.call('PEXPIRE', KEYS[2], lasts)
    return 0
  end
  redis.call('PEXPIRE', KEYS[2], lasts)
end
redis.call('HSET', KEYS[1], 'a', ARGV[3])
for i = 4, #ARGV, 2 do
  local till = redis.call('HGET', KEYS[1], 'u:' .. ARGV[i])
  if not till or tonumber(till) < now then
    redis.call('HSET', KEYS[1], 'o:' .. ARGV[i], ARGV[i + 1])
  end
  redis.call('HSET', KEYS[1], 'u:' .. ARGV[i], ends)
end
redis.call('PEXPIRE', KEYS[1], lasts)
return 1
";

/// A conversation carries nothing any more, and what was before is known not to count.
const CLEAR: &str = r"
local about = redis.call('HGET', KEYS[1], 'a') or ARGV[2]
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'a', about, 'c', '1')
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]))
return 1
";

/// Arguments: how long counts are kept, the digest of the call, whether it counts, and what is added to the cost.
const COUNT: &str = r"
if ARGV[3] == '1' then
  redis.call('HINCRBY', KEYS[1], 'n', 1)
  if redis.call('HGET', KEYS[1], 'd') == ARGV[2] then
    redis.call('HINCRBY', KEYS[1], 'r', 1)
  else
    redis.call('HSET', KEYS[1], 'd', ARGV[2], 'r', 1)
  end
end
if ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[1], 'c', ARGV[4]) end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]))
local all = redis.call('HMGET', KEYS[1], 'n', 'r', 'c')
return {tonumber(all[1] or '0'), tonumber(all[2] or '0'), tonumber(all[3] or '0')}
";

/// What the store knows of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredMarks {
    /// What the conversation is, as it was written.
    pub about: String,
    /// It was cleared, or its caller was.
    pub cleared: bool,
    /// The caller has more conversations than are stored.
    pub exceeded: bool,
    /// How long the store has had its data.
    pub age: Duration,
    /// Labels that hold: name, origin as it was written, and how long they still hold.
    pub marks: Vec<(String, String, Duration)>,
}

/// Counts of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredCounts {
    pub calls: i64,
    pub repeated: i64,
    /// In the unit in which it was added.
    pub cost: i64,
}

#[derive(Clone)]
pub struct SharedMarks {
    manager: ConnectionManager,
    namespace: String,
    scripts: Arc<[Script; 4]>,
}

impl std::fmt::Debug for SharedMarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMarks").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

type Read = (u64, u64, u8, u64, Vec<String>);

impl SharedMarks {
    /// Prepares to use a store, which need not be there yet. Must be called within the runtime that the connection shall
    /// live on. The error is in words.
    pub fn open(url: &str, namespace: &str) -> Result<Self, String> {
        let scripts = Arc::new([READ, BRING, CLEAR, COUNT].map(Script::new));
        Ok(Self { manager: connect(url)?, namespace: namespace.to_owned(), scripts })
    }

    fn key(&self, kind: &str, name: &str) -> String {
        // All keys of a namespace are on one node of a cluster.
        format!("{{{}}}:{kind}:{name}", self.namespace)
    }

    fn keys(&self, own: &str, whole: &str) -> [String; 3] {
        [self.key("flow", own), self.key("flow", whole), self.key("flow-since", "all")]
    }

    /// What is known of a conversation, `whole` being that of its caller without any separation.
    pub async fn read(&self, own: &str, whole: &str) -> Result<StoredMarks, String> {
        let [read, ..] = &*self.scripts;
        let mut call = read.prepare_invoke();
        for key in self.keys(own, whole) {
            call.key(key);
        }
        let mut connection = self.manager.clone();
        let read: Read = in_time(call.invoke_async(&mut connection)).await?;
        Ok(stored(read))
    }

    /// Labels that a conversation carries from now on, for so long, with the origin of each. Of one caller, at most so many
    /// conversations are stored; beyond, the caller is marked as exceeding them.
    pub async fn bring(
        &self,
        (own, whole): (&str, &str),
        about: &str,
        lasts: Duration,
        most: usize,
        labels: &[(&str, &str)],
    ) -> Result<(), String> {
        let [_, bring, ..] = &*self.scripts;
        let mut call = bring.prepare_invoke();
        for key in self.keys(own, whole) {
            call.key(key);
        }
        call.arg(millis(lasts)).arg(most).arg(about);
        for (label, origin) in labels {
            call.arg(*label).arg(*origin);
        }
        let mut connection = self.manager.clone();
        in_time(call.invoke_async::<i64>(&mut connection)).await.map(drop)
    }

    /// Clears a conversation; that it was cleared is known for so long. `about`: what it is, if the store does not know it.
    pub async fn clear(&self, own: &str, about: &str, lasts: Duration) -> Result<(), String> {
        let [_, _, clear, _] = &*self.scripts;
        let mut call = clear.prepare_invoke();
        call.key(self.key("flow", own)).arg(millis(lasts)).arg(about);
        let mut connection = self.manager.clone();
        in_time(call.invoke_async::<i64>(&mut connection)).await.map(drop)
    }

    /// All conversations that carry something or were cleared, by their names; at most 10,000.
    pub async fn list(&self) -> Result<Vec<(String, StoredMarks)>, String> {
        let prefix = self.key("flow", "");
        let mut names: Vec<String> = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg([prefix.as_str(), "*"].concat());
            command.arg("COUNT").arg(1_000);
            let mut connection = self.manager.clone();
            let (next, found): (u64, Vec<String>) =
                in_time(command.query_async(&mut connection)).await?;
            names
                .extend(found.iter().filter_map(|name| name.strip_prefix(&prefix)).map(Into::into));
            cursor = next;
            if cursor == 0 || names.len() >= MOST_LISTED {
                break;
            }
        }
        names.sort_unstable();
        names.dedup();
        names.truncate(MOST_LISTED);
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let found = self.read(&name, &name).await?;
            if !found.about.is_empty() {
                all.push((name, found));
            }
        }
        Ok(all)
    }

    /// Counts a call of a conversation, if it counts, adds to its cost, and returns the counts.
    pub async fn count(
        &self,
        name: &str,
        lasts: Duration,
        call: Option<&str>,
        cost: i64,
    ) -> Result<StoredCounts, String> {
        let [_, _, _, count] = &*self.scripts;
        let mut asked = count.prepare_invoke();
        asked.key(self.key("conversation", name)).arg(millis(lasts));
        asked.arg(call.unwrap_or_default()).arg(u8::from(call.is_some())).arg(cost);
        let mut connection = self.manager.clone();
        let counts = in_time(asked.invoke_async::<(i64, i64, i64)>(&mut connection)).await?;
        let (calls, repeated, cost) = counts;
        Ok(StoredCounts { calls, repeated, cost })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4).clamp(1, u64::MAX / 4)
}

fn stored((now, age, cleared, exceeded, all): Read) -> StoredMarks {
    let mut found = StoredMarks {
        cleared: cleared == 1,
        exceeded: exceeded > now,
        age: Duration::from_millis(age),
        ..StoredMarks::default()
    };
    let mut origins: Vec<(&str, &str)> = Vec::new();
    let mut ends: Vec<(&str, u64)> = Vec::new();
    for pair in all.chunks_exact(2) {
        let (name, value) = (&pair[0], &pair[1]);
        match name.as_str() {
            "a" => found.about.clone_from(value),
            "c" => found.cleared = true,
            _ => {
                if let Some(label) = name.strip_prefix("o:") {
                    origins.push((label, value));
                } else if let Some(label) = name.strip_prefix("u:") {
                    // What cannot be read holds.
                    ends.push((label, value.parse().unwrap_or(u64::MAX)));
                }
            }
        }
    }
    for (label, ends) in ends.into_iter().filter(|(_, ends)| *ends >= now) {
        let origin = origins.iter().find(|(of, _)| *of == label).map_or("", |(_, origin)| origin);
        let left = Duration::from_millis(ends.saturating_sub(now));
        found.marks.push((label.to_owned(), origin.to_owned(), left));
    }
    found
}
