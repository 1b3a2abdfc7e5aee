//! The built web application, embedded: its page, which names its face, and its assets, which never change under one name.

use std::sync::LazyLock;

use bytes::Bytes;
use doorward_identity::seal::sha256;
use doorward_store::hex;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::headers;

/// One file.
struct File {
    name: &'static str,
    plain: &'static [u8],
    /// Compressed when the application was built.
    br: Option<&'static [u8]>,
    gz: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// What the page has in place of the folder of its face.
const BASE: &str = "/__BASE__/";
const INDEX: &str = "index.html";

/// The page of a face, and its entity tag.
struct Page {
    text: Bytes,
    tag: String,
}

impl Page {
    fn of(base: &str) -> Self {
        let plain = find(INDEX).map_or(&b""[..], |file| file.plain);
        let text = String::from_utf8_lossy(plain).replace(BASE, &format!("{base}/"));
        Self { tag: tag_of(text.as_bytes()), text: text.into() }
    }
}

static CONSOLE: LazyLock<Page> = LazyLock::new(|| Page::of("/console"));
static PORTAL: LazyLock<Page> = LazyLock::new(|| Page::of("/portal"));

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn tag_of(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&sha256(bytes)[..16]))
}

/// The page of the application, whatever its own path below `base` is.
pub fn page(base: &str, sent: &HeaderMap) -> Response<Bytes> {
    let page = if base == "/console" { &*CONSOLE } else { &*PORTAL };
    let mut response = unless_known(&page.text, &page.tag, sent);
    response.headers_mut().insert(CONTENT_TYPE, media_type(INDEX));
    headers::protect_page(response.headers_mut());
    response
}

/// A file of the application; `None` if there is none of this name.
pub fn file(name: &str, sent: &HeaderMap) -> Option<Response<Bytes>> {
    let file = find(name).filter(|file| file.name != INDEX)?;
    let mut response = match name.starts_with("assets/") {
        true => {
            let (bytes, encoding) = encoded(file, sent);
            let mut response = Response::new(Bytes::from_static(bytes));
            let headers = response.headers_mut();
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
            headers.insert(CACHE_CONTROL, forever);
            response
        }
        false => unless_known(&Bytes::from_static(file.plain), &tag_of(file.plain), sent),
    };
    response.headers_mut().insert(CONTENT_TYPE, media_type(name));
    headers::protect_page(response.headers_mut());
    Some(response)
}

/// To be asked for again each time, and sent if the browser does not have it.
fn unless_known(text: &Bytes, tag: &str, sent: &HeaderMap) -> Response<Bytes> {
    let known = sent.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known = known
        .is_some_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = Response::new(if known { Bytes::new() } else { text.clone() });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The smallest form that the browser accepts.
fn encoded(file: &File, sent: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
    for (encoding, bytes) in [("br", file.br), ("gzip", file.gz)] {
        if let Some(bytes) = bytes.filter(|_| accepts(sent, encoding)) {
            return (bytes, Some(encoding));
        }
    }
    (file.plain, None)
}

/// Whether an encoding is accepted (RFC 9110 section 12.5.3). Wildcards are not: what is not named is not needed.
fn accepts(sent: &HeaderMap, encoding: &str) -> bool {
    let all = sent.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|text| text.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parts.any(|part| {
            part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        named && !refused
    })
}

fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(encodings: &str) -> HeaderMap {
        let value = HeaderValue::try_from(encodings).unwrap();
        HeaderMap::from_iter([(ACCEPT_ENCODING, value)])
    }

    #[test]
    fn each_face_has_its_own_base_and_nothing_inline() {
        for base in ["/console", "/portal"] {
            let page = page(base, &HeaderMap::new());
            let text = std::str::from_utf8(page.body()).unwrap();
            assert!(text.contains(&format!("<base href=\"{base}/\">")), "{text}");
            assert!(!text.contains("__BASE__") && !text.contains("style="), "{text}");
            assert!(!text.contains("<script>") && !text.contains("<style"), "{text}");
        }
    }

    #[test]
    fn assets_are_named_by_their_content_and_sent_compressed() {
        let assets: Vec<_> = FILES.iter().filter(|it| it.name.starts_with("assets/")).collect();
        assert!(!assets.is_empty());
        for asset in assets {
            let response = file(asset.name, &sent("gzip, deflate, br;q=0.9")).unwrap();
            let encoding = response.headers().get(CONTENT_ENCODING);
            if let Some(br) = asset.br {
                assert_eq!(encoding, Some(&HeaderValue::from_static("br")), "{}", asset.name);
                assert_eq!(response.body().len(), br.len());
            }
            let plain = file(asset.name, &sent("identity, br;q=0, gzip;q=0.0")).unwrap();
            assert!(!plain.headers().contains_key(CONTENT_ENCODING), "{}", asset.name);
            assert_eq!(plain.body(), asset.plain);
            let kind = plain.headers()[CONTENT_TYPE].to_str().unwrap();
            assert_ne!(kind, "application/octet-stream", "{}", asset.name);
            assert!(plain.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        }
        assert!(file("assets/unknown.js", &HeaderMap::new()).is_none());
        assert!(file(INDEX, &HeaderMap::new()).is_none(), "the page is sent with its base");
    }

    #[test]
    fn a_page_that_the_browser_has_is_not_sent_again() {
        let first = page("/console", &HeaderMap::new());
        let known = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers()[ETAG].clone())]);
        assert_eq!(page("/console", &known).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(page("/portal", &known).status(), StatusCode::OK, "the other face's page");
    }
}
