//! Searches the audit log from its end, window by window, so that the newest records cost no more in a long log than in a
//! short one.

use std::cmp::Reverse;
use std::collections::HashMap;

use doorward_store::{Block, Span, Store, now_ms};

use super::records::{Record, joined, text};
use super::{A_DAY, Search, sees_payloads, without_payloads};
use crate::desk::Desk;
use crate::page::{Page, cursor, no_cursor};
use crate::problem::Problem;

/// The first window, in milliseconds; each next one is twice as long, while there is little in it.
const FIRST: i64 = 10_000;
/// The shortest window.
const LEAST: i64 = 250;
/// A window with more records than this is divided.
const DENSE: usize = 20_000;
/// Records that are read for one page. A page that ends with them continues with the next.
const MOST_READ: usize = 200_000;
/// How long after a page's time the end of a call is looked for, in milliseconds. The end of one that took longer is
/// shown with the call alone.
const ENDS: i64 = 60_000;
/// Ends of calls that wait for their beginning.
const MOST_ENDS: usize = 50_000;

/// Where a page begins: with what was written at or before a time, but for the first records of that very time.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: i64,
    passed: usize,
}

impl Place {
    fn read(key: &str) -> Option<Self> {
        let (at, passed) = key.strip_prefix("newest/")?.split_once('/')?;
        Some(Self { at: at.parse().ok()?, passed: passed.parse().ok()? })
    }

    fn cursor(self) -> String {
        cursor(&format!("newest/{}/{}", self.at, self.passed))
    }
}

/// What is read of a window.
#[derive(Debug, Default)]
struct Window {
    records: Vec<Record>,
    read: usize,
    /// There is more in it than is read at once.
    is_dense: bool,
}

/// The newest records that match, each call at the time when it began.
pub(super) async fn newest(desk: &Desk, search: Search) -> Result<Page<Record>, Problem> {
    let Search { from, to, filter, paging, .. } = search;
    let count = paging.count_at(desk)?;
    let now = now_ms();
    let begin = match paging.after()? {
        None => Place { at: to.unwrap_or(now + 1) - 1, passed: 0 },
        Some(key) => Place::read(&key).ok_or_else(no_cursor)?,
    };
    let from = from.unwrap_or(to.unwrap_or(now).saturating_sub(A_DAY));
    if from >= to.unwrap_or(i64::MAX) {
        return Err(Problem::invalid("'from' must be before 'to'"));
    }
    let store = desk.store()?;
    let mut ends = HashMap::new();
    let mut end = begin.at.saturating_add(1);
    if end <= now {
        let span = Span { from: end, to: end.saturating_add(ENDS) };
        window(store, span, &mut ends).await?;
    }
    let (mut items, mut width, mut read) = (Vec::new(), FIRST, 0);
    let mut passed = begin.passed;
    while end > from && read < MOST_READ && items.len() <= count {
        let span = Span { from: from.max(end.saturating_sub(width)), to: end };
        let window = window(store, span, &mut ends).await?;
        read += window.read;
        if window.is_dense && width > LEAST {
            width = (width / 8).max(LEAST);
            continue;
        }
        width = if window.read < DENSE / 4 { width.saturating_mul(2) } else { width };
        end = span.from;
        let mut records = window.records;
        records.sort_by_cached_key(|record| {
            let seq = record.get("seq").and_then(serde_json::Value::as_i64);
            Reverse((text(record, "at").to_owned(), text(record, "writer").to_owned(), seq))
        });
        for mut record in records {
            if !sees_payloads(desk, text(&record, "tenant")) {
                without_payloads(&mut record);
            }
            if !filter.fits(&record) {
                continue;
            }
            if passed > 0 && time(&record) == Some(begin.at) {
                passed -= 1;
                continue;
            }
            items.push(record);
        }
    }
    let next = match items.get(count.wrapping_sub(1)) {
        Some(last) if items.len() > count => {
            let at = time(last).unwrap_or(begin.at);
            let same = items[..count].iter().filter(|item| time(item) == Some(at)).count();
            let before = if at == begin.at { begin.passed } else { 0 };
            Some(Place { at, passed: before + same })
        }
        _ if end > from => Some(Place { at: end - 1, passed: 0 }),
        _ => None,
    };
    items.truncate(count);
    Ok(Page { items, next_cursor: next.map(Place::cursor) })
}

fn time(record: &Record) -> Option<i64> {
    text(record, "at").parse().ok().map(jiff::Timestamp::as_millisecond)
}

/// Reads the records of a window. Ends whose beginning is not in it go to `ends`, from where those of its calls are taken.
async fn window(
    store: &Store,
    span: Span,
    ends: &mut HashMap<String, Record>,
) -> Result<Window, Problem> {
    let (mut records, mut orphans, mut read) = (Vec::new(), Vec::new(), 0);
    let mut open = HashMap::new();
    let mut scan = store.audit_between(span);
    loop {
        let blocks = scan.next().await?;
        if blocks.is_empty() {
            break;
        }
        for line in blocks.iter().flat_map(Block::lines) {
            read += 1;
            let Ok(record) = serde_json::from_str::<Record>(line) else { continue };
            let is_within = time(&record).is_some_and(|at| (span.from..span.to).contains(&at));
            if !is_within || record.contains_key("removed") {
                continue;
            }
            match text(&record, "kind") {
                "opened" => _ = open.insert(text(&record, "id").to_owned(), record),
                "closed" => match open.remove(text(&record, "id")) {
                    Some(opened) => records.push(joined(opened, record)),
                    None => orphans.push(record),
                },
                _ => records.push(record),
            }
        }
        if read > DENSE && span.to - span.from > LEAST {
            return Ok(Window { records: Vec::new(), read, is_dense: true });
        }
    }
    let room = MOST_ENDS.saturating_sub(ends.len());
    let orphans = orphans.into_iter().take(room);
    ends.extend(orphans.map(|record| (text(&record, "id").to_owned(), record)));
    for (id, opened) in open {
        records.push(match ends.remove(&id) {
            Some(closed) => joined(opened, closed),
            None => opened,
        });
    }
    Ok(Window { records, read, is_dense: false })
}
