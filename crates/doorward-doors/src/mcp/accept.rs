//! The content types that a client accepts: JSON, an event stream, or either (spec 2026-07-28
//! basic/transports/streamable-http; RFC 9110 section 12.5.1).
//!
//! The specification requires clients to list both. Scripts and older SDKs list one, and are served with that one.

use doorward_mcp::RpcError;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";
/// What most clients send, so that it is not taken apart with each request.
const USUAL: &str = "application/json, text/event-stream";

/// How a client may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It takes JSON alone: what needs a stream is refused, notifications are dropped.
    Json,
    /// It takes both: JSON if the answer comes first, a stream as soon as anything else does.
    Either,
    /// It would rather have a stream, or takes nothing else.
    Stream,
}

impl Form {
    pub fn of(headers: &HeaderMap) -> Result<Self, (StatusCode, RpcError)> {
        let mut all = headers.get_all(ACCEPT).iter();
        if all.next().is_some_and(|value| value == USUAL) && all.next().is_none() {
            return Ok(Self::Either);
        }
        Self::read(headers)
    }

    fn read(headers: &HeaderMap) -> Result<Self, (StatusCode, RpcError)> {
        match (accepts(headers, JSON), accepts(headers, STREAM)) {
            (true, true) if prefers_stream(headers) => Ok(Self::Stream),
            (true, true) => Ok(Self::Either),
            (true, false) => Ok(Self::Json),
            (false, true) => Ok(Self::Stream),
            (false, false) => {
                Err(not_acceptable("'Accept' must list application/json or text/event-stream"))
            }
        }
    }

    pub fn may_stream(self) -> bool {
        self != Self::Json
    }
}

/// Why a request is refused whose answer is a stream, if its client takes none.
pub fn needs_stream(what: &str) -> RpcError {
    RpcError::invalid_request(format!(
        "{what} needs a stream: add text/event-stream to the 'Accept' header"
    ))
}

fn not_acceptable(why: &str) -> (StatusCode, RpcError) {
    (StatusCode::NOT_ACCEPTABLE, RpcError::invalid_request(why))
}

/// The ranges that a client names, in order, each with its quality.
fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (&str, f32)> {
    let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        (name, quality.and_then(|text| text.parse().ok()).unwrap_or(1.0))
    })
}

/// Whether the client takes a type: by name, by a range, or because it does not say. The most
/// specific range that fits decides, and a quality of 0 is a no.
pub fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    if !headers.contains_key(ACCEPT) {
        return true;
    }
    let group = kind.split('/').next().unwrap_or_default();
    let specific = |range: &str| match range {
        "*/*" => Some(0),
        _ if range.eq_ignore_ascii_case(kind) => Some(2),
        _ => range.strip_suffix("/*").filter(|of| of.eq_ignore_ascii_case(group)).map(|_| 1),
    };
    let fitting = ranges(headers).filter_map(|(range, quality)| Some((specific(range)?, quality)));
    fitting.max_by_key(|(specific, _)| *specific).is_some_and(|(_, quality)| quality > 0.0)
}

/// Whether the client would rather have a stream of events than JSON: it says so by a higher
/// quality, or by naming it first.
fn prefers_stream(headers: &HeaderMap) -> bool {
    let rank = |kind: &str| {
        let mut named = ranges(headers).enumerate();
        named
            .find(|(_, (range, _))| range.eq_ignore_ascii_case(kind))
            .map(|(at, (_, quality))| (quality, at))
    };
    match (rank(STREAM), rank(JSON)) {
        (Some((stream, first)), Some((json, second))) => {
            stream > json || (stream == json && first < second)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_client_is_answered_in_a_form_that_it_takes() {
        for (accept, form) in [
            ("application/json, text/event-stream", Some(Form::Either)),
            ("text/event-stream, application/json", Some(Form::Stream)),
            ("application/json;q=0.5, text/event-stream", Some(Form::Stream)),
            ("application/json", Some(Form::Json)),
            ("Application/JSON; charset=utf-8", Some(Form::Json)),
            ("application/json, text/event-stream;q=0", Some(Form::Json)),
            ("application/*", Some(Form::Json)),
            ("text/event-stream", Some(Form::Stream)),
            ("*/*", Some(Form::Either)),
            ("*/*, application/json;q=0", Some(Form::Stream)),
            ("text/html", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            assert_eq!(Form::of(&headers).ok(), form, "{accept}");
            assert_eq!(Form::read(&headers).ok(), form, "{accept}");
        }
        assert_eq!(Form::of(&HeaderMap::new()).ok(), Some(Form::Either));
        let mut twice = HeaderMap::new();
        twice.append(ACCEPT, HeaderValue::from_static(USUAL));
        twice.append(ACCEPT, HeaderValue::from_static("application/json;q=0"));
        assert_eq!(Form::of(&twice).ok(), Form::read(&twice).ok());
    }
}
