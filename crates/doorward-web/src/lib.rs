//! What every listener shares of HTTP: bodies and responses, the guard against web pages, challenges to log in, and what
//! clients have not read yet.

pub mod body;
pub mod challenge;
pub mod guard;
pub mod response;
pub mod streams;
pub mod unread;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub use body::Body;

/// Whether the one type that is named is that of JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return false };
    value.to_str().is_ok_and(|text| {
        let kind = text.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    })
}
