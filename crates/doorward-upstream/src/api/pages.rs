//! Pages of a response, combined within limits. The next page that an API names is only fetched if it is part of the
//! same API (attack T12).

use bytes::Bytes;
use doorward_mcp::error::Kind;
use http::header::LINK;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use url::Url;

use super::credential::Presented;
use doorward_config::PageSettings;
use doorward_core::Failure;
use doorward_core::collect::Gathered;
use doorward_core::deadline::Deadline;
use doorward_transport::answer::{NoAnswer, read_whole};
use doorward_transport::http::Endpoint;

/// A complete response.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    /// The media type, in lower case and without parameters.
    pub kind: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Page {
    /// Sends a request. A response that means that the API is unavailable or refuses the gateway is
    /// a failure.
    pub async fn fetch(
        endpoint: &Endpoint,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Self, Failure> {
        let response = endpoint.call(method, headers, body).await?;
        let (head, mut body) = response.into_parts();
        let status = head.status;
        if matches!(status.as_u16(), 401 | 403 | 429)
            || status.is_server_error()
            || status.is_redirection()
        {
            return Err(NoAnswer {
                status,
                error: None,
                of_lost_session: false,
                headers: head.headers,
            }
            .failure());
        }
        let limit = endpoint.bounds().message;
        let body = read_whole(&mut Gathered::default(), &mut body, limit).await?;
        let kind = head.headers.get(http::header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        Ok(Self { status, kind: kind.to_ascii_lowercase(), headers: head.headers, body })
    }

    pub fn is_json(&self) -> bool {
        self.kind == "application/json" || self.kind.ends_with("+json")
    }
}

/// How further pages are found.
pub struct More<'a> {
    pub settings: &'a PageSettings,
    /// The API's base URL.
    pub base: &'a Uri,
    pub headers: HeaderMap,
    pub presented: &'a Presented,
    pub deadline: &'a Deadline,
}

impl More<'_> {
    /// Appends the following pages to the first. For a paginated response, returns how many pages
    /// were read and whether there are more.
    pub async fn follow(
        &self,
        first_at: &Endpoint,
        first: Page,
    ) -> Result<(Page, Option<Value>), Failure> {
        if !first.is_json() {
            return Ok((first, None));
        }
        let Ok(mut whole) = serde_json::from_slice::<Value>(&first.body) else {
            return Ok((first, None));
        };
        if !whole.pointer(&self.settings.items).is_some_and(Value::is_array) {
            return Ok((first, None));
        }
        let mut bytes = first.body.len();
        let mut at = Url::parse(&first_at.uri().to_string()).ok();
        let mut next = self.next(at.as_ref(), &first.headers, &whole);
        let mut pages = 1;
        while let (Some(Next::At(url)), true) = (&next, pages < self.settings.most) {
            let url = url.clone();
            let mut path_and_query =
                url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            self.presented.put_query(&mut path_and_query);
            let mut parts = self.base.clone().into_parts();
            parts.path_and_query = path_and_query.parse().ok();
            let Ok(uri) = Uri::from_parts(parts) else { break };
            let endpoint = first_at.at(uri);
            let mut headers = self.headers.clone();
            endpoint.tell(&mut headers, self.deadline);
            let page = Page::fetch(&endpoint, Method::GET, headers, Bytes::new()).await?;
            let unreadable = || {
                Failure::new(Kind::InvalidMessage, "Another page of the response cannot be read")
            };
            if !page.status.is_success() {
                return Err(unreadable().because(format!("HTTP {}", page.status.as_u16())));
            }
            bytes += page.body.len();
            if bytes > first_at.bounds().message {
                return Err(Failure::new(
                    Kind::TooLarge,
                    "The pages of the response are too large",
                ));
            }
            let mut body: Value =
                serde_json::from_slice(&page.body).map_err(|error| unreadable().because(error))?;
            at = Some(url);
            next = self.next(at.as_ref(), &page.headers, &body);
            let items = body.pointer_mut(&self.settings.items).and_then(Value::as_array_mut);
            let items =
                items.map(std::mem::take).ok_or_else(|| unreadable().because("no items"))?;
            if let Some(all) = whole.pointer_mut(&self.settings.items).and_then(Value::as_array_mut)
            {
                all.extend(items);
            }
            // The last page's statement about the next page replaces the first page's.
            if let Some(pointer) = &self.settings.next
                && let Some(said) = whole.pointer_mut(pointer)
            {
                *said = body.pointer_mut(pointer).map(Value::take).unwrap_or_default();
            }
            pages += 1;
        }
        let told = match &next {
            None if pages == 1 => None,
            None => Some(json!({ "pages": pages, "more": false })),
            Some(Next::At(_)) => Some(json!({ "pages": pages, "more": true })),
            Some(Next::Elsewhere) => Some(json!({
                "pages": pages, "more": true,
                "why": "the next page is not part of this API and was not fetched",
            })),
        };
        if pages == 1 {
            return Ok((first, told));
        }
        let body = Bytes::from(whole.to_string());
        Ok((Page { body, ..first }, told))
    }

    /// The URL of the next page according to a response.
    fn next(&self, at: Option<&Url>, headers: &HeaderMap, body: &Value) -> Option<Next> {
        let at = at?;
        let url = match &self.settings.next {
            None => at.join(&linked(headers)?).ok()?,
            Some(pointer) => {
                let said = match body.pointer(pointer)? {
                    Value::String(text) if !text.is_empty() => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return None,
                };
                match &self.settings.query {
                    None => at.join(&said).ok()?,
                    Some(name) => with_query(at, name, &said),
                }
            }
        };
        Some(if self.is_here(&url) { Next::At(url) } else { Next::Elsewhere })
    }

    /// Whether a URL belongs to the API.
    fn is_here(&self, url: &Url) -> bool {
        let Ok(base) = Url::parse(&self.base.to_string()) else { return false };
        let path = base.path().trim_end_matches('/');
        let below = url.path().strip_prefix(path);
        url.origin() == base.origin()
            && url.username().is_empty()
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[derive(Debug, PartialEq)]
enum Next {
    At(Url),
    Elsewhere,
}

/// The URL with another value of one parameter.
fn with_query(url: &Url, name: &str, value: &str) -> Url {
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    url
}

/// The target of the link with `rel="next"` (RFC 8288 section 3).
fn linked(headers: &HeaderMap) -> Option<String> {
    let said = headers.get_all(LINK).into_iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|line| line.split('<').skip(1)).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let value = value.trim().trim_end_matches(',').trim_end().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        is_next.then(|| target.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn links_are_read() {
        for (line, target) in [
            ("<https://a/x?page=2>; rel=\"next\"", Some("https://a/x?page=2")),
            (
                "<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=next",
                Some("https://a/x?page=3"),
            ),
            ("</x?a=1,2>; title=\"a\"; rel=\"last next\"", Some("/x?a=1,2")),
            ("<https://a/>; rel=\"prev\"", None),
            ("rel=next", None),
            ("<broken; rel=next", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, line.parse().expect("a header"))]);
            assert_eq!(linked(&headers).as_deref(), target, "{line}");
        }
    }

    #[test]
    fn the_next_page_is_a_place_of_the_same_api() {
        let base: Uri = "https://api.example/v1".parse().expect("an URL");
        let at = Url::parse("https://api.example/v1/pets?limit=2").expect("an URL");
        let (settings, presented) = (
            PageSettings { next: Some("/next".into()), ..Default::default() },
            Presented::default(),
        );
        let (headers, deadline) =
            (HeaderMap::new(), Deadline::new(Duration::from_secs(1), Duration::ZERO));
        let more = More {
            settings: &settings,
            base: &base,
            headers,
            presented: &presented,
            deadline: &deadline,
        };
        let next = |said: &str| more.next(Some(&at), &HeaderMap::new(), &json!({ "next": said }));
        for good in [
            "/v1/pets?page=2",
            "?page=2",
            "https://api.example/v1/pets?page=2",
            "https://api.example/v1",
        ] {
            assert!(matches!(next(good), Some(Next::At(_))), "{good}");
        }
        for bad in [
            "https://evil.example/v1/pets",
            "http://api.example/v1/pets",
            "https://api.example:8443/v1/pets",
            "https://api.example/v2/pets",
            "https://api.example/v11",
            "https://user@api.example/v1/pets",
            "//evil.example/v1/pets",
            "/v1/../admin",
            "file:///etc/passwd",
        ] {
            assert_eq!(next(bad), Some(Next::Elsewhere), "{bad}");
        }
        assert_eq!(next(""), None);
    }
}
