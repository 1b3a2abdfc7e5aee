//! What a request asks for: its path, and the parameters of a list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::{Entry, PREFIX};

/// Items of a page where the request names no number, and at most, as in the official registry. Who requests more gets
/// so many, for the registry's description has no maximum.
const DEFAULT: usize = 30;
const MOST: usize = 100;
/// Longest text that is searched for, and longest cursor or version, in bytes.
const LONGEST: usize = 255;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    List,
    Versions(String),
    Version(String, String),
    Publish,
}

/// What a path leads to, with its segments decoded. `None` for nothing of the registry.
pub fn wanted(path: &str) -> Option<Wanted> {
    let rest = path.strip_prefix(PREFIX)?.strip_prefix('/')?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let parts: Vec<&str> = rest.split('/').collect();
    let decoded = |part: &str| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
    Some(match parts[..] {
        ["publish"] => Wanted::Publish,
        ["servers"] => Wanted::List,
        ["servers", name, "versions"] => Wanted::Versions(decoded(name)?),
        ["servers", name, "versions", version] => {
            Wanted::Version(decoded(name)?, decoded(version)?)
        }
        _ => return None,
    })
}

/// Which entries of the list are wanted.
#[derive(Debug, PartialEq)]
pub struct Page {
    pub limit: usize,
    /// The name after which the page begins.
    after: Option<String>,
    /// In lower case.
    search: Option<String>,
    updated_since: Option<Timestamp>,
    version: Option<String>,
}

impl Page {
    /// Reads the parameters of a list. Unknown ones are ignored, as registries do, for clients send those of newer versions.
    pub fn read(query: &str) -> Result<Self, String> {
        let mut page =
            Self { limit: DEFAULT, after: None, search: None, updated_since: None, version: None };
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let known =
                ["cursor", "limit", "search", "updated_since", "version", "include_deleted"];
            let Some(known) = known.into_iter().find(|known| *known == name) else { continue };
            if seen.contains(&known) {
                return Err(format!("'{known}' appears twice"));
            }
            seen.push(known);
            if value.len() > LONGEST {
                return Err(format!("'{known}' must have at most {LONGEST} bytes"));
            }
            match known {
                // Some clients send it empty for the first page.
                "cursor" if value.is_empty() => {}
                "cursor" => {
                    let name = URL_SAFE_NO_PAD.decode(value.as_bytes()).ok();
                    let name = name.and_then(|name| String::from_utf8(name).ok());
                    let name = name.ok_or("'cursor' must be the 'nextCursor' of a page")?;
                    page.after = Some(name);
                }
                "limit" => {
                    let limit: Option<usize> = value.parse().ok().filter(|limit| *limit > 0);
                    page.limit = limit.ok_or("'limit' must be a positive number")?.min(MOST);
                }
                "search" => page.search = Some(value.to_lowercase()),
                "updated_since" => {
                    let since = value.parse().map_err(
                        |_| "'updated_since' must be a time such as 2025-08-07T13:15:04.280Z",
                    )?;
                    page.updated_since = Some(since);
                }
                "version" => page.version = Some(value.into_owned()),
                // Deleted entries are not listed: who may not see a server must not learn that there was one.
                _ => {
                    if !matches!(&*value, "true" | "false") {
                        return Err("'include_deleted' must be true or false".into());
                    }
                }
            }
        }
        Ok(page)
    }

    /// Whether an entry belongs to the list, from where the page begins.
    pub fn has(&self, entry: &Entry, namespace: &str) -> bool {
        let Self { after, search, updated_since, version, .. } = self;
        after.as_ref().is_none_or(|after| entry.name > *after)
            && search.as_ref().is_none_or(|text| {
                entry.full_name(namespace).to_lowercase().contains(text.as_str())
            })
            && updated_since.is_none_or(|since| entry.updated >= since)
            && version.as_ref().is_none_or(|it| it == "latest" || *it == entry.version)
    }
}

/// The cursor of the page that begins after a name.
pub fn cursor(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}
