//! Lists, page by page. A cursor names the last item that was returned, so that what is added or removed meanwhile shifts
//! nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::{Desk, Who};
use crate::problem::Problem;

/// Items of a page where the request names no number, and at most.
pub const DEFAULT: usize = 100;
pub const MOST: usize = 1_000;

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` for the next page. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which page is wanted: a part of the input of every list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Paging {
    /// From `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items a page: 1 to 1000. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Paging {
    pub fn new(cursor: Option<String>, limit: Option<usize>) -> Self {
        Self { cursor, limit }
    }

    pub fn count(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(DEFAULT),
            Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::invalid(format!("'limit' must be 1 to {MOST}"))),
        }
    }

    /// The same; on the machine itself, where no peer waits for the page, it may be of any size.
    pub fn count_at(&self, desk: &Desk) -> Result<usize, Problem> {
        match (desk.who(), self.limit) {
            (Who::Machine, Some(limit)) if limit > 0 => Ok(limit),
            _ => self.count(),
        }
    }

    /// The key after which the page begins.
    pub fn after(&self) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|key| String::from_utf8(key).ok());
        key.map(Some).ok_or_else(no_cursor)
    }

    /// The page of a whole list, in the order of its items' keys, which are unique.
    pub fn of<T>(&self, mut all: Vec<T>, key: impl Fn(&T) -> String) -> Result<Page<T>, Problem> {
        let count = self.count()?;
        all.sort_by_cached_key(&key);
        if let Some(after) = self.after()? {
            all.retain(|item| key(item) > after);
        }
        let more = all.len() > count;
        all.truncate(count);
        let next_cursor = if more { all.last().map(|last| cursor(&key(last))) } else { None };
        Ok(Page { items: all, next_cursor })
    }
}

impl<T> Page<T> {
    /// A page of items that are in order already, one more than a page has if there are more.
    pub fn cut(mut items: Vec<T>, count: usize, key: impl Fn(&T) -> String) -> Self {
        let more = items.len() > count;
        items.truncate(count);
        let next_cursor = if more { items.last().map(|last| cursor(&key(last))) } else { None };
        Self { items, next_cursor }
    }
}

/// The refusal of what is no cursor of the list.
pub fn no_cursor() -> Problem {
    Problem::invalid("'cursor' must be the 'next_cursor' of a page")
}

/// The cursor for what comes after a key.
pub fn cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_whole_list_whatever_is_removed_between_them() {
        let all: Vec<u32> = (0..25).rev().collect();
        let key = |item: &u32| format!("{item:04}");
        let mut paging = Paging::new(None, Some(10));
        let mut seen = Vec::new();
        loop {
            let kept = all.iter().copied().filter(|item| *item != 9).collect();
            let page = paging.of(kept, key).unwrap();
            seen.extend(page.items);
            paging.cursor = page.next_cursor;
            if paging.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..25).filter(|item| *item != 9).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for (cursor, limit) in [(None, Some(0)), (None, Some(1_001)), (Some("%"), None)] {
            let paging = Paging::new(cursor.map(str::to_owned), limit);
            assert!(paging.of(vec![1], ToString::to_string).is_err());
        }
    }
}
