//! Reads the entries of another registry, page by page, within bounds.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use doorward_config::RegistrySettings;
use doorward_net::outbound::{self, Author};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::entry::{self, Listed, Status};

/// Items that are requested for a page: the most that the API has.
const PAGE: usize = 100;
/// Bounds of one reading.
const MOST_PAGES: usize = 500;
const MOST_BYTES: usize = 64 << 20;
const MOST_OF_A_PAGE: usize = 4 << 20;
/// Entries that the patterns choose.
const MOST_ENTRIES: usize = 5_000;
/// Deleted versions of one entry that are remembered.
const MOST_DELETED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a reading may take.
const ALL: Duration = Duration::from_secs(10 * 60);

/// How much of the time before the last reading is read again, because clocks differ and transactions of the registry may
/// end late. What was imported before is left as it is.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// A version that was deleted while the entry has others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedVersion {
    pub version: String,
    /// The registry's message, which may be empty.
    pub message: String,
}

/// What a reading has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub pages: usize,
    /// Versions of entries on all pages.
    pub entries: usize,
    /// Those that the patterns exclude.
    pub excluded: usize,
    /// Those that are not valid.
    pub unreadable: usize,
}

/// What was read, and why that is not all, if it is not.
#[derive(Debug, Default)]
pub struct Read {
    /// The latest version of each entry, as far as it was read, by name.
    pub entries: BTreeMap<String, Listed>,
    /// Other versions that were deleted, by the name of their entry.
    pub deleted: BTreeMap<String, Vec<DeletedVersion>>,
    /// From when the next reading begins.
    pub newest: Option<String>,
    pub counts: Counts,
    pub problem: Option<String>,
}

/// Reads a registry: all of it, or with `since`, what was updated since then.
pub async fn all(registry: &RegistrySettings, since: &str) -> Read {
    let mut reading = Reading::default();
    let headers = headers(registry);
    let author = match registry.allow_private {
        true => Author::OperatorsNetwork,
        false => Author::Stranger,
    };
    let pages = async {
        let mut cursor = None;
        loop {
            let url = page_url(registry, since, cursor.as_deref())?;
            let got = outbound::get_within(&url, author, headers.clone(), PATIENCE, MOST_OF_A_PAGE);
            let answer = got.await.map_err(|error| error.to_string())?;
            if answer.status.is_redirection() {
                let status = answer.status.as_u16();
                return Err(format!("HTTP {status}: redirects are not followed"));
            }
            if !answer.status.is_success() {
                return Err(format!("HTTP {}", answer.status.as_u16()));
            }
            cursor = reading.add(registry, &answer.body)?;
            if cursor.is_none() {
                return Ok(());
            }
        }
    };
    let timeout = Err(format!("it was not read within {} s", ALL.as_secs()));
    let problem = tokio::time::timeout(ALL, pages).await.unwrap_or(timeout).err();
    reading.end(problem)
}

fn headers(registry: &RegistrySettings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &registry.headers {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name), HeaderValue::try_from(value.expose()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

fn page_url(registry: &RegistrySettings, since: &str, cursor: Option<&str>) -> Result<Url, String> {
    let mut url = registry.url.clone();
    url.path_segments_mut()
        .map_err(|()| "the URL has no path".to_owned())?
        .pop_if_empty()
        .extend(["v0.1", "servers"]);
    {
        let mut query = url.query_pairs_mut();
        // What was deleted is requested always, else nobody would learn of it.
        query.append_pair("limit", &PAGE.to_string()).append_pair("include_deleted", "true");
        // When a version is deleted, an older one becomes the latest: of what has changed, all versions are of interest.
        if since.is_empty() {
            query.append_pair("version", "latest");
        }
        if let Some(text) = &registry.search {
            query.append_pair("search", text);
        }
        if !since.is_empty() {
            query.append_pair("updated_since", since);
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", cursor);
        }
    }
    Ok(url)
}

/// A reading that is under way.
#[derive(Debug, Default)]
struct Reading {
    entries: BTreeMap<String, Listed>,
    deleted: BTreeMap<String, Vec<DeletedVersion>>,
    cursors: HashSet<String>,
    newest: Option<Timestamp>,
    counts: Counts,
    bytes: usize,
}

impl Reading {
    /// Adds a page. Returns the cursor of the next one.
    fn add(&mut self, registry: &RegistrySettings, body: &[u8]) -> Result<Option<String>, String> {
        self.bytes += body.len();
        if self.bytes > MOST_BYTES {
            return Err(format!("its pages have more than {MOST_BYTES} bytes"));
        }
        let page = entry::read(body)?;
        self.counts.pages += 1;
        self.counts.entries += page.entries.len() + page.unreadable;
        self.counts.unreadable += page.unreadable;
        for listed in page.entries {
            self.newest = self.newest.max(listed.updated);
            if !registry.wants(&listed.name) {
                self.counts.excluded += 1;
                continue;
            }
            self.add_entry(listed)?;
        }
        let Some(next) = page.next else { return Ok(None) };
        if !self.cursors.insert(next.clone()) {
            return Err("it has returned the same cursor twice".into());
        }
        if self.counts.pages >= MOST_PAGES {
            return Err(format!("it has more than {MOST_PAGES} pages: narrow it with 'search'"));
        }
        Ok(Some(next))
    }

    fn add_entry(&mut self, listed: Listed) -> Result<(), String> {
        if !listed.is_latest {
            return self.add_version(listed);
        }
        if let Some(other) = self.entries.get_mut(&listed.name) {
            if listed.updated > other.updated {
                *other = listed;
            }
            return Ok(());
        }
        if self.entries.len() >= MOST_ENTRIES {
            return Err(format!("more than {MOST_ENTRIES} entries match: narrow 'include'"));
        }
        self.entries.insert(listed.name.clone(), listed);
        Ok(())
    }

    /// Another version than the latest is of interest only if it was deleted.
    fn add_version(&mut self, listed: Listed) -> Result<(), String> {
        let Status::Deleted(message) = listed.status else { return Ok(()) };
        if self.deleted.len() >= MOST_ENTRIES {
            return Err(format!("versions of more than {MOST_ENTRIES} entries were deleted"));
        }
        let versions = self.deleted.entry(listed.name).or_default();
        if versions.len() < MOST_DELETED {
            versions.push(DeletedVersion { version: listed.version, message });
        }
        Ok(())
    }

    fn end(self, problem: Option<String>) -> Read {
        let Self { entries, deleted, newest, counts, .. } = self;
        // A time to come would hide what is updated until then.
        let newest = newest.map(|newest| {
            let newest = newest.min(Timestamp::now());
            newest.checked_sub(OVERLAP).unwrap_or(newest).to_string()
        });
        Read { entries, deleted, newest, counts, problem }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value)]

    use super::*;
    use crate::OFFICIAL;
    use serde_json::{Value, json};

    fn registry(more: Value) -> RegistrySettings {
        let mut text = json!({ "url": "https://registry.example/base/" });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(text).unwrap()
    }

    fn item(name: &str, version: &str, official: Value) -> Value {
        json!({ "server": { "name": name, "version": version }, "_meta": { OFFICIAL: official } })
    }

    fn page(servers: &[Value], next: Option<&str>) -> Vec<u8> {
        json!({ "servers": servers, "metadata": { "nextCursor": next } }).to_string().into_bytes()
    }

    #[test]
    fn a_page_is_requested_with_all_that_narrows_it() {
        let wanted = registry(json!({ "search": "a b&c" }));
        assert_eq!(
            page_url(&wanted, "2026-01-01T00:00:00Z", Some("x=/y")).unwrap().as_str(),
            "https://registry.example/base/v0.1/servers?limit=100&include_deleted=true&search=a+b%26c\
             &updated_since=2026-01-01T00%3A00%3A00Z&cursor=x%3D%2Fy"
        );
        let wanted = registry(json!({}));
        assert_eq!(
            page_url(&wanted, "", None).unwrap().as_str(),
            "https://registry.example/base/v0.1/servers?limit=100&include_deleted=true&version=latest"
        );
    }

    #[test]
    fn the_latest_version_of_each_entry_is_found_and_what_was_deleted() {
        let (mut reading, registry) = (Reading::default(), registry(json!({ "exclude": ["x/*"] })));
        let body = page(
            &[
                item(
                    "a/b",
                    "2.0.0",
                    json!({ "isLatest": true, "updatedAt": "2026-01-02T00:00:00Z" }),
                ),
                item(
                    "a/b",
                    "1.0.0",
                    json!({ "isLatest": false, "updatedAt": "2026-01-03T00:00:00Z" }),
                ),
                item("x/y", "1.0.0", json!({})),
                item("a/c", "1.0.0", json!({ "isLatest": false, "status": "deleted" })),
            ],
            Some("more"),
        );
        assert_eq!(reading.add(&registry, &body).unwrap().as_deref(), Some("more"));
        let body =
            page(&[item("a/c", "2.0.0", json!({ "updatedAt": "9999-01-01T00:00:00Z" }))], None);
        assert_eq!(reading.add(&registry, &body).unwrap(), None);
        let read = reading.end(None);
        let latest: Vec<_> =
            read.entries.values().map(|it| (it.name.as_str(), it.version.as_str())).collect();
        assert_eq!(latest, [("a/b", "2.0.0"), ("a/c", "2.0.0")]);
        assert_eq!(read.deleted["a/c"][0].version, "1.0.0");
        assert_eq!(read.counts, Counts { pages: 2, entries: 5, excluded: 1, unreadable: 0 });
        let newest: Timestamp = read.newest.unwrap().parse().unwrap();
        assert!(newest + OVERLAP <= Timestamp::now());
    }

    #[test]
    fn a_registry_without_end_is_given_up() {
        let registry = registry(json!({}));
        let mut reading = Reading::default();
        let again = page(&[], Some("again"));
        assert!(reading.add(&registry, &again).is_ok());
        assert!(reading.add(&registry, &again).unwrap_err().contains("same cursor"));
        let mut reading = Reading::default();
        let ended =
            (0..).find_map(|n| reading.add(&registry, &page(&[], Some(&n.to_string()))).err());
        assert!(ended.unwrap().contains("500 pages"));
        let mut reading = Reading::default();
        let ended = (0..).find_map(|n| {
            let items: Vec<_> =
                (0..1_000).map(|m| item(&format!("a/b{n}-{m}"), "1", json!({}))).collect();
            reading.add(&registry, &page(&items, Some(&n.to_string()))).err()
        });
        assert!(ended.unwrap().contains("5000 entries"));
        let mut reading = Reading::default();
        let mut body = page(&[], Some("a"));
        body.extend(vec![b' '; MOST_OF_A_PAGE - body.len()]);
        let ended = (0..).find_map(|n| {
            body[28] = b'a' + n;
            reading.add(&registry, &body).err()
        });
        assert!(ended.is_some());
    }

    #[tokio::test]
    async fn a_registry_on_this_machine_is_requested_only_if_the_operator_allows_it() {
        for url in ["https://127.0.0.1:9", "https://localhost:9", "https://169.254.169.254"] {
            let read = all(&registry(json!({ "url": url })), "").await;
            let problem = read.problem.unwrap();
            assert!(problem.contains("public address"), "{problem}");
        }
        let wanted = registry(json!({ "url": "http://127.0.0.1:9", "allow_private": true }));
        assert!(!all(&wanted, "").await.problem.unwrap().contains("public address"));
    }
}
