//! Access tokens: JWTs with signature and claims verified (RFC 9068, RFC 8725), and opaque ones that are introspected
//! (RFC 7662).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use doorward_store::now;
use http::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Map, Value};

use super::issuer::{Issuer, KeySet};
use super::jwt::{Jwt, audiences, seconds};
use super::{Refused, Unavailable};
use crate::seal;
use doorward_config::IssuerSettings;
use doorward_net::outbound;

/// Maximum length of a token, in bytes.
const MOST: usize = 16 << 10;

/// The verified content of a token.
#[derive(Debug)]
pub struct Checked {
    pub issuer: Arc<Issuer>,
    pub claims: Map<String, Value>,
    /// Seconds since 1970, including the leeway.
    pub expires: i64,
    /// The keys when it was verified; `None` for an introspected token.
    pub keys: Option<Arc<KeySet>>,
}

/// Verifies a token presented from `address` by the configured issuers.
pub async fn check(
    token: &str,
    issuers: &[Arc<Issuer>],
    resource: &Resource<'_>,
    address: IpAddr,
) -> Result<Checked, Refused> {
    if token.len() > MOST {
        return Err(Refused::Token("it is too long"));
    }
    if token.bytes().filter(|byte| *byte == b'.').count() == 2 {
        return check_jwt(token, issuers, resource).await;
    }
    match issuers.iter().find(|issuer| issuer.settings.introspection.is_some()) {
        Some(issuer) => introspect(token, issuer, resource, address).await,
        None => Err(Refused::Token("it is neither a key nor a JWT")),
    }
}

/// The accepted audiences.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// The gateway's own URL, for all its endpoints; and the endpoint's.
    pub accepted: &'a [&'a str],
}

async fn check_jwt(
    token: &str,
    issuers: &[Arc<Issuer>],
    resource: &Resource<'_>,
) -> Result<Checked, Refused> {
    let jwt = Jwt::read(token).map_err(Refused::Token)?;
    let said = jwt.text("iss").unwrap_or_default();
    let issuer = issuers.iter().find(|issuer| issuer.settings.issuer == said);
    let issuer = issuer.ok_or(Refused::Token("its issuer is not configured"))?;
    if !issuer.settings.algorithms.contains(&jwt.algorithm) {
        return Err(Refused::Token("its algorithm is not accepted from this issuer"));
    }
    let keys = issuer.keys(jwt.key_id(), jwt.algorithm).await?;
    if !jwt.is_signed_by(&keys) {
        return Err(Refused::Token("it is not signed by a key of its issuer"));
    }
    check_type(&jwt.header, &jwt.claims, &issuer.settings)?;
    let expires = check_claims(&jwt.claims, &issuer.settings, resource)?;
    Ok(Checked { issuer: issuer.clone(), claims: jwt.claims, expires, keys: Some(keys) })
}

/// Rejects ID tokens and refresh tokens, even if they are correctly signed.
fn check_type(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
) -> Result<(), Refused> {
    let kind = header.get("typ").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    let fits = match kind {
        "at+jwt" => true,
        "" | "jwt" => !settings.require_at_jwt,
        _ => false,
    };
    if !fits {
        return Err(Refused::Token("its type is not that of an access token"));
    }
    if kind != "at+jwt" && ["nonce", "at_hash", "c_hash"].iter().any(|of| claims.contains_key(*of))
    {
        return Err(Refused::Token("it is an ID token"));
    }
    if claims.contains_key("cnf") {
        return Err(Refused::Token("it is bound to a key or certificate that was not presented"));
    }
    Ok(())
}

/// Checks times and audience. Returns the expiry, including the leeway.
fn check_claims(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    resource: &Resource<'_>,
) -> Result<i64, Refused> {
    let leeway = i64::try_from(settings.leeway.0.as_secs()).unwrap_or(0);
    let now = now();
    let expires = seconds(claims.get("exp")).ok_or(Refused::Token("it never expires"))?;
    let expires = expires.saturating_add(leeway);
    if expires <= now {
        return Err(Refused::Token("it is expired"));
    }
    for (claim, why) in [("nbf", "it is not valid yet"), ("iat", "it was issued in the future")] {
        match claims.get(claim) {
            None => {}
            Some(value) => match seconds(Some(value)) {
                Some(time) if time.saturating_sub(leeway) <= now => {}
                _ => return Err(Refused::Token(why)),
            },
        }
    }
    let audiences = audiences(claims);
    let ours = audiences.iter().any(|audience| {
        settings.audiences.iter().any(|known| known == audience)
            || resource.accepted.iter().any(|known| is_same_resource(known, audience))
    });
    if ours { Ok(expires) } else { Err(Refused::Token("it is for another audience (aud)")) }
}

/// Whether two URLs name the same resource: scheme and host are compared case-insensitively, everything else
/// exactly (RFC 8707; RFC 3986 section 6.2.2.1).
pub fn is_same_resource(known: &str, said: &str) -> bool {
    let split = |text: &str| {
        let (scheme, rest) = text.split_once("://")?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        Some((scheme.to_ascii_lowercase(), host.to_ascii_lowercase(), path.to_owned()))
    };
    known == said || split(known).is_some_and(|known| split(said) == Some(known))
}

/// Introspects a token at its issuer.
async fn introspect(
    token: &str,
    issuer: &Arc<Issuer>,
    resource: &Resource<'_>,
    address: IpAddr,
) -> Result<Checked, Refused> {
    let settings = issuer.settings.introspection.as_ref().ok_or(Unavailable)?;
    let hash = seal::sha256(token.as_bytes());
    let asking = async {
        let (endpoint, author) = issuer.introspection_endpoint().await?;
        let shown = outbound::client_basic(&settings.client_id, &settings.client_secret);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, shown.ok_or(Unavailable)?)]);
        let fields = [("token", token), ("token_type_hint", "access_token")];
        let answer = outbound::post_form(&endpoint, author, headers, &fields).await;
        answer.and_then(|answer| answer.object()).map_err(|error| {
            tracing::warn!(issuer = issuer.name, "token introspection failed: {error}");
            Unavailable
        })
    };
    let claims = issuer.asked.once(hash, address, asking).await?;
    if claims.get("active") != Some(&Value::Bool(true)) {
        return Err(Refused::Token("its issuer reports that it is not active"));
    }
    if claims.get("iss").is_some_and(|said| said.as_str() != Some(&issuer.settings.issuer)) {
        return Err(Refused::Token("it is from another issuer"));
    }
    if claims.contains_key("cnf") {
        return Err(Refused::Token("it is bound to a key or certificate that was not presented"));
    }
    let expires = check_claims(&claims, &issuer.settings, resource)?;
    let cached = now().saturating_add(i64::try_from(settings.cache.0.as_secs()).unwrap_or(0));
    let claims = Map::clone(&claims);
    Ok(Checked { issuer: issuer.clone(), claims, expires: expires.min(cached), keys: None })
}

/// A claim by its name, or by a path with dots.
pub fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    // Some providers use URLs as names, which contain dots.
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let mut value = claims.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    Some(value)
}

/// Claims with values that the issuer assigns uniquely (RFC 7519 section 4.1.2, RFC 9068 section 2.2). A value
/// that looks like an e-mail address is not treated as one.
const IDS: [&str; 3] = ["sub", "azp", "client_id"];

/// The user that the claim at a path names. An e-mail address is accepted only if it is verified (OpenID Connect
/// Core 1.0 section 5.7), whatever claim contains it.
pub fn named<'a>(
    claims: &'a Map<String, Value>,
    path: &str,
    trusts_email: bool,
) -> Result<Option<&'a str>, NotVerified> {
    let named = claim(claims, path).and_then(Value::as_str).filter(|it| !it.is_empty());
    let last = path.rsplit(['.', '/', ':']).next().unwrap_or_default();
    let may_be_email =
        |name: &&str| last == "email" || (name.contains('@') && !IDS.contains(&last));
    let Some(name) = named.filter(may_be_email) else { return Ok(named) };
    if trusts_email {
        return Ok(named);
    }
    // `email_verified` applies to the address next to it, or to the token's own address.
    let beside = match path.rfind(['.', '/', ':']) {
        Some(at) => format!("{}email", &path[..=at]),
        None => "email".to_owned(),
    };
    let verified = [beside.as_str(), "email"].into_iter().any(|email| {
        let said = claim(claims, &format!("{email}_verified"));
        // Some providers send it as a string.
        let verified = said.is_some_and(|it| it.as_bool() == Some(true) || it == "true");
        let address = claim(claims, email).and_then(Value::as_str);
        verified && address.is_some_and(|address| address.eq_ignore_ascii_case(name))
    });
    if verified { Ok(named) } else { Err(NotVerified) }
}

/// The e-mail address is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotVerified;

/// A claim that is a string or a list of strings.
pub fn texts(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::String(one)) => [one.clone()].into(),
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Scopes: a space-separated string, or a list.
pub fn scopes(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::String(text)) => {
            text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect()
        }
        other => texts(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unverified_email_address_is_not_accepted() {
        let claims = |value: Value| match value {
            Value::Object(claims) => claims,
            _ => unreachable!(),
        };
        for (said, verified) in [
            (serde_json::json!({ "email": "a@b.example", "email_verified": true }), true),
            (serde_json::json!({ "email": "a@b.example", "email_verified": "true" }), true),
            (serde_json::json!({ "email": "a@b.example", "email_verified": false }), false),
            (serde_json::json!({ "email": "a@b.example", "email_verified": "false" }), false),
            (serde_json::json!({ "email": "a@b.example", "email_verified": 1 }), false),
            (serde_json::json!({ "email": "a@b.example" }), false),
        ] {
            let said = claims(said);
            let (somebody, nobody) = (Ok(Some("a@b.example")), Err(NotVerified));
            assert_eq!(named(&said, "email", false), if verified { somebody } else { nobody });
            assert_eq!(named(&said, "email", true), somebody);
            let mut renamed = said.clone();
            renamed.insert("upn".into(), "a@b.example".into());
            assert_eq!(named(&renamed, "upn", false).is_ok(), verified);
            renamed.insert("upn".into(), "else@b.example".into());
            assert_eq!(named(&renamed, "upn", false), nobody, "another address is verified");
            let nested = claims(serde_json::json!({ "profile": said }));
            assert_eq!(named(&nested, "profile.email", false).is_ok(), verified);
        }
        assert_eq!(named(&claims(serde_json::json!({ "sub": "x" })), "sub", false), Ok(Some("x")));
        let subject = claims(serde_json::json!({ "sub": "x@b.example" }));
        assert_eq!(
            named(&subject, "sub", false),
            Ok(Some("x@b.example")),
            "a subject is not an e-mail address"
        );
        assert_eq!(named(&Map::new(), "email", false), Ok(None));
    }

    #[test]
    fn resources_are_compared_exactly_except_scheme_and_host() {
        let known = "https://gw.example/mcp";
        for (said, same) in [
            ("https://gw.example/mcp", true),
            ("HTTPS://GW.example/mcp", true),
            ("https://gw.example/mcp/", false),
            ("https://gw.example/MCP", false),
            ("https://gw.example:443/mcp", false),
            ("http://gw.example/mcp", false),
            ("https://gw.example/mcp.evil", false),
            ("https://gw.example", false),
            ("", false),
        ] {
            assert_eq!(is_same_resource(known, said), same, "{said}");
        }
    }
}
