//! Pages for users: consent, and errors. All external text is escaped, and no page can be framed, scripted or cached.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_mcp::display::is_harmful;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use bytes::Bytes;
use doorward_identity::seal;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:10vh auto;padding:0 1.25rem}\
h1{font-size:1.35rem;line-height:1.3}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1rem;margin:1.5rem 0}\
dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere;font-weight:600}\
p.warn{border-left:.25rem solid #c60;padding-left:.75rem}\
form{display:flex;gap:.75rem;margin-top:1.75rem}\
button{font:inherit;padding:.5rem 1.4rem;border:1px solid currentColor;border-radius:.4rem;\
background:none;color:inherit;cursor:pointer}\
button.yes{background:#1557c0;border-color:#1557c0;color:#fff}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;max-height:50vh;overflow:auto;\
border:1px solid currentColor;border-radius:.4rem;padding:.75rem}\
form.wide{flex-wrap:wrap}form.wide label{flex-basis:100%}\
input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem}\
small{opacity:.7}";

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(seal::sha256(STYLE.as_bytes()));
    // No `form-action`: some browsers apply it to the redirects that follow, whose target is outside the gateway.
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'; base-uri 'none'"
    )
});

/// The consent page for a client.
pub struct Question<'a> {
    pub client: &'a str,
    /// The host that vouches for the client's name; `None` if there is none.
    pub vouched: Option<&'a str>,
    /// The operator has declared the client.
    pub is_declared: bool,
    /// Where the user is redirected afterwards: a host, or a description.
    pub destination: &'a str,
    /// The target is on the user's own machine, where any program may be listening.
    pub local: bool,
    pub scopes: &'a BTreeSet<String>,
    pub resource: &'a str,
    /// The sealed request.
    pub sealed: &'a str,
}

impl Question<'_> {
    pub fn page(&self) -> Response<Bytes> {
        let mut rows = vec![
            ("Program", escaped(self.client)),
            ("Redirects to", escaped(self.destination)),
            ("Access to", escaped(self.resource)),
        ];
        if let Some(host) = self.vouched {
            rows.insert(1, ("Published at", escaped(host)));
        }
        if !self.scopes.is_empty() {
            let scopes: Vec<String> = self.scopes.iter().map(|scope| escaped(scope)).collect();
            rows.push(("Scopes", scopes.join(", ")));
        }
        let rows: String =
            rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>")).collect();
        let mut notes = String::new();
        if self.vouched.is_none() && !self.is_declared {
            notes.push_str(
                "<p class=\"warn\">This name comes from the program itself and is not verified.</p>",
            );
        }
        if self.local {
            notes.push_str(
                "<p class=\"warn\">It runs on this computer. Continue only if you have just \
                 started it yourself.</p>",
            );
        }
        let body = format!(
            "<h1>Allow {} to use tools on your behalf?</h1><dl>{rows}</dl>{notes}\
             <p>If you continue, you sign in, and it can use the tools that you have access to \
             until you or an administrator revokes its access.</p>\
             <form method=\"post\" action=\"/oauth/consent\">\
             <input type=\"hidden\" name=\"request\" value=\"{}\">\
             <button class=\"yes\" name=\"decision\" value=\"allow\">Allow</button>\
             <button name=\"decision\" value=\"deny\">Cancel</button></form>",
            escaped(self.client),
            escaped(self.sealed)
        );
        page(StatusCode::OK, "Allow access", &body)
    }
}

/// The consent page for authorizing the gateway at a server.
pub struct Connecting<'a> {
    pub server: &'a str,
    pub host: &'a str,
    /// The user on behalf of whom calls are made; `None` for the gateway itself, which lists the server's items.
    pub owner: Option<&'a str>,
    /// Scopes in addition to those granted before.
    pub more: &'a str,
    /// The sealed request.
    pub sealed: &'a str,
}

impl Connecting<'_> {
    pub fn page(&self) -> Response<Bytes> {
        let mut rows = vec![("Server", escaped(self.server)), ("At", escaped(self.host))];
        rows.extend(self.owner.map(|owner| ("Calls by", escaped(owner))));
        if !self.more.is_empty() {
            rows.push(("Additional scopes", escaped(self.more)));
        }
        let rows: String =
            rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>")).collect();
        let what = match self.owner {
            Some(owner) => {
                let owner = escaped(owner);
                format!(
                    "Calls that <b>{owner}</b> makes to this server will use your account, so \
                    make sure that this is you."
                )
            }
            None => {
                "The gateway will use your account to list what the server offers, for all of its \
                    users."
                    .to_owned()
            }
        };
        let body = format!(
            "<h1>Connect your account at {}?</h1><dl>{rows}</dl>\
             <p class=\"warn\">{what} Continue only if you expected this request.</p>\
             <form method=\"post\" action=\"/oauth/connect\">\
             <input type=\"hidden\" name=\"request\" value=\"{}\">\
             <button class=\"yes\" name=\"decision\" value=\"allow\">Continue</button></form>",
            escaped(self.server),
            escaped(self.sealed)
        );
        page(StatusCode::OK, "Connect an account", &body)
    }
}

/// An error page for a client's request, with a link back to the client.
pub fn error_with_link(why: &str, to: &str, destination: &str) -> Response<Bytes> {
    let body = format!(
        "<h1>The program's request cannot be accepted</h1><p>{}</p>\
         <p><a href=\"{}\" rel=\"noreferrer\">Go back to {}</a></p>",
        escaped(why),
        escaped(to),
        escaped(destination)
    );
    page(StatusCode::BAD_REQUEST, "Cannot continue", &body)
}

/// A page with a title and a text.
pub fn note(status: StatusCode, title: &str, then: &str) -> Response<Bytes> {
    page(status, title, &format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(then)))
}

/// A page with an outcome and what to do next.
pub fn problem(status: StatusCode, what: &str, then: &str) -> Response<Bytes> {
    let body = format!("<h1>{}</h1><p>{}</p>", escaped(what), escaped(then));
    page(status, if status.is_success() { "Done" } else { "Cannot continue" }, &body)
}

/// A page of the gateway. `body` is HTML: external text in it must be [`escaped`].
pub fn page(status: StatusCode, title: &str, body: &str) -> Response<Bytes> {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · Doorward</title>\
         <style>{STYLE}</style></head><body><main>{body}</main><footer><small>Doorward</small></footer></body></html>"
    );
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::try_from(POLICY.as_str()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    protect(&mut response);
    response
}

/// Headers for every response to a browser: no caching, no sniffing, and a referrer for the same origin only.
/// Without it, browsers send no `Origin` with forms.
pub fn protect(response: &mut Response<Bytes>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Escapes a text for HTML. Invisible characters and those that change the text direction are removed, so that a
/// text cannot imitate another.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Also the emoji variation selector, which is invisible after most characters.
            letter if letter.is_control() || letter == '\u{fe0f}' || is_harmful(letter) => {}
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_text_is_escaped() {
        assert_eq!(
            escaped(
                "<b onclick='x'>\"&\u{202e}a\u{200b}\n\u{34f}\u{17b4}\u{180b}\u{180f}\u{fe0f}\u{ffa0}\u{e0041}\u{9b}"
            ),
            "&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;a"
        );
        let question = Question {
            client: "<script>alert(1)</script>",
            vouched: None,
            is_declared: false,
            destination: "localhost",
            local: true,
            scopes: &["read".to_owned()].into(),
            resource: "https://gw.example/mcp",
            sealed: "abc",
        };
        let page = question.page();
        assert_eq!(page.headers()[X_FRAME_OPTIONS], "DENY");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"));
        let text = String::from_utf8(page.into_body().to_vec()).unwrap();
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"));
    }
}
