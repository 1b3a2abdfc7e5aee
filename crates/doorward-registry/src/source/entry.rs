//! One page of another registry: its valid entries, and how many are not.

use doorward_mcp::display;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::OFFICIAL;

/// Entries of one page; the official registry sends a hundred at most.
const MOST_OF_A_PAGE: usize = 1_000;
const LONGEST_NAME: usize = 200;
const LONGEST_VERSION: usize = 255;
const LONGEST_CURSOR: usize = 2_048;
const LONGEST_MESSAGE: usize = 500;

/// One version of an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub name: String,
    pub version: String,
    pub status: Status,
    pub is_latest: bool,
    pub updated: Option<Timestamp>,
    pub server: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Active,
    Deprecated,
    /// With the registry's message, which may be empty.
    Deleted(String),
}

/// A page: its entries, how many others are not valid, and the cursor of the next page.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    pub entries: Vec<Listed>,
    pub unreadable: usize,
    pub next: Option<String>,
}

/// Reads a page. Entries that are not valid are counted; a page without a list of entries is refused.
pub fn read(body: &[u8]) -> Result<Page, String> {
    let page: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| format!("a page is no JSON object: {error}"))?;
    let Some(Value::Array(servers)) = page.get("servers") else {
        return Err("a page has no list 'servers'".into());
    };
    if servers.len() > MOST_OF_A_PAGE {
        return Err(format!("a page has more than {MOST_OF_A_PAGE} entries"));
    }
    let metadata = page.get("metadata").and_then(Value::as_object);
    let next = metadata.and_then(|metadata| metadata.get("nextCursor")?.as_str());
    let next = next.filter(|cursor| !cursor.is_empty());
    if next.is_some_and(|cursor| cursor.len() > LONGEST_CURSOR) {
        return Err(format!("a cursor has more than {LONGEST_CURSOR} bytes"));
    }
    let entries: Vec<Listed> = servers.iter().filter_map(listed).collect();
    let unreadable = servers.len() - entries.len();
    Ok(Page { entries, unreadable, next: next.map(str::to_owned) })
}

fn listed(item: &Value) -> Option<Listed> {
    let server = item.get("server")?.as_object()?;
    let name = server.get("name")?.as_str().filter(|name| is_name(name))?;
    let version = server.get("version")?.as_str()?;
    // It is shown to reviewers, and no version has other characters.
    if version.is_empty()
        || version.len() > LONGEST_VERSION
        || !version.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return None;
    }
    let official = item.get("_meta").and_then(|meta| meta.get(OFFICIAL)?.as_object());
    let text = |member: &str| official.and_then(|official| official.get(member)?.as_str());
    let status = match text("status") {
        None | Some("active") => Status::Active,
        Some("deprecated") => Status::Deprecated,
        Some("deleted") => {
            let message: String =
                text("statusMessage").unwrap_or_default().chars().take(LONGEST_MESSAGE).collect();
            Status::Deleted(display::harmless_line(&message).into_owned())
        }
        // What it means is not known: it is not proposed.
        Some(_) => return None,
    };
    let is_latest = official.and_then(|official| official.get("isLatest")?.as_bool());
    Some(Listed {
        name: name.into(),
        version: version.into(),
        status,
        is_latest: is_latest.unwrap_or(true),
        updated: text("updatedAt").and_then(|time| time.parse().ok()),
        server: server.clone(),
    })
}

/// Whether a text is the name of an entry: `^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`.
fn is_name(text: &str) -> bool {
    let Some((space, name)) = text.split_once('/') else { return false };
    let legal = |part: &str, more: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    text.len() <= LONGEST_NAME && legal(space, ".-") && legal(name, "._-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_that_are_not_valid_are_counted_and_left_out() {
        let good = json!({ "server": { "name": "a.b/c", "version": "1.0.0" } });
        let with = |server: Value| json!({ "server": server });
        for bad in [
            json!(1),
            json!({}),
            json!({ "name": "a.b/c", "version": "1" }),
            with(json!({ "name": "a.b/c" })),
            with(json!({ "name": "nothing", "version": "1" })),
            with(json!({ "name": "a/b/c", "version": "1" })),
            with(json!({ "name": "a\u{202e}/c", "version": "1" })),
            with(json!({ "name": "/c", "version": "1" })),
            with(json!({ "name": format!("a/{}", "x".repeat(200)), "version": "1" })),
            with(json!({ "name": "a/c", "version": "1\n2" })),
            with(json!({ "name": "a/c", "version": "1\u{202e}" })),
            with(json!({ "name": "a/c", "version": "" })),
            json!({ "server": { "name": "a/c", "version": "1" },
                "_meta": { OFFICIAL: { "status": "unheard-of" } } }),
        ] {
            let page = read(json!({ "servers": [good, bad] }).to_string().as_bytes()).unwrap();
            assert_eq!((page.entries.len(), page.unreadable), (1, 1), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_page_is_refused() {
        let deep = format!("{{\"servers\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        let many = json!({ "servers": vec![0; 1_001] }).to_string();
        let cursor = json!({ "servers": [], "metadata": { "nextCursor": "x".repeat(3_000) } });
        for body in
            ["", "nonsense", "[]", "{}", r#"{"servers": {}}"#, &deep, &many, &cursor.to_string()]
        {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        let last = json!({ "servers": [], "metadata": { "nextCursor": "" } }).to_string();
        assert_eq!(read(last.as_bytes()).unwrap(), Page::default());
        let null = json!({ "servers": [], "metadata": { "nextCursor": null } }).to_string();
        assert_eq!(read(null.as_bytes()).unwrap(), Page::default());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&body);
        }
    }
}
