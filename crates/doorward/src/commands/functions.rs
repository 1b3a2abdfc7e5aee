//! `doorward tools --format`: the tools of a running gateway in the form that a model's SDK takes, as its REST API lists them.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use url::Url;

use super::{Exit, Failed};
use crate::cli::{Format, Target};
use crate::client::{Error, endpoint};
use crate::terminal;

/// Maximum size of a page.
const MOST: usize = 64 << 20;
/// Maximum number of pages.
const PAGES: usize = 1_000;

pub async fn run(target: &Target, format: Format, strict: bool) -> Result<(), Failed> {
    let list = list(&target.url).ok_or_else(|| {
        Failed::new(Exit::Usage, format!("{} is not an endpoint at /mcp", target.url))
    })?;
    let mut tools = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let mut url = list.clone();
        url.query_pairs_mut().append_pair("format", format.as_str()).append_pair("limit", "1000");
        if strict {
            url.query_pairs_mut().append_pair("strict", "true");
        }
        if let Some(cursor) = &cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let page = fetch(target, &url).await?;
        for warning in page["warnings"].as_array().into_iter().flatten() {
            let text =
                |member: &str| terminal::one_line(warning[member].as_str().unwrap_or_default());
            eprintln!("{}: {}", text("tool"), text("message"));
        }
        tools.extend(page["tools"].as_array().cloned().unwrap_or_default());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let tools = if format == Format::Gemini { together(tools) } else { tools };
    terminal::json(&mut std::io::stdout().lock(), &Value::Array(tools))?;
    Ok(())
}

/// Where the REST API lists the tools of an endpoint.
fn list(endpoint: &Url) -> Option<Url> {
    let (before, name) = endpoint.path().trim_end_matches('/').rsplit_once("/mcp")?;
    let path = match name.strip_prefix('/') {
        Some(name) => format!("{before}/api/v1/portals/{name}/tools"),
        None if name.is_empty() => format!("{before}/api/v1/tools"),
        None => return None,
    };
    let mut url = endpoint.clone();
    url.set_path(&path);
    url.set_query(None);
    Some(url)
}

/// The declarations of all pages in one entry, as Gemini takes them.
fn together(pages: Vec<Value>) -> Vec<Value> {
    let mut pages = pages.into_iter();
    let Some(mut first) = pages.next() else { return Vec::new() };
    if let Some(all) = first["functionDeclarations"].as_array_mut() {
        all.extend(pages.flat_map(|mut page| match page["functionDeclarations"].take() {
            Value::Array(more) => more,
            _ => Vec::new(),
        }));
    }
    vec![first]
}

async fn fetch(target: &Target, url: &Url) -> Result<Value, Failed> {
    let endpoint = endpoint(url, &target.headers, &target.credential)?;
    let response =
        endpoint.call(Method::GET, HeaderMap::new(), Bytes::new()).await.map_err(Error::from)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|error| {
        Failed::new(Exit::Unreachable, format!("the gateway's response was interrupted: {error}"))
    })?;
    let body: Value = serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        Failed::new(Exit::Unreachable, format!("{url} is not the REST API of a gateway: {error}"))
    })?;
    if status.is_success() {
        return Ok(body);
    }
    let mut why = format!("the gateway answered with HTTP {status}");
    if let Some(message) = body["error"]["message"].as_str() {
        why = format!("{why}: {}", terminal::one_line(message));
    }
    if status == StatusCode::UNAUTHORIZED {
        why.push_str("; pass a key with --key or DOORWARD_KEY");
    }
    Err(Failed::new(Exit::Refused, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_an_endpoint_is_at_the_same_gateway() {
        for (endpoint, found) in [
            ("http://127.0.0.1:7300/mcp", Some("http://127.0.0.1:7300/api/v1/tools")),
            ("https://a.example/x/mcp/", Some("https://a.example/x/api/v1/tools")),
            (
                "https://a.example/mcp/support?x=y",
                Some("https://a.example/api/v1/portals/support/tools"),
            ),
            ("https://a.example/mcp2", None),
            ("https://a.example/", None),
        ] {
            let list = list(&endpoint.parse().unwrap());
            assert_eq!(list.as_ref().map(Url::as_str), found, "{endpoint}");
        }
    }
}
