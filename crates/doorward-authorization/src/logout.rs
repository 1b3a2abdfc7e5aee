//! Logouts: the page at the provider that ends the user's session there (OpenID Connect RP-Initiated Logout 1.0), and the
//! provider's message that a user has logged out (OpenID Connect Back-Channel Logout 1.0).

use doorward_identity::identity::jwt::seconds;
use doorward_store::now;
use url::Url;

use super::provider::Provider;

/// The event that a logout token is about.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, in seconds.
pub const LOGOUT_FRESH: i64 = 2 * 60;

/// Who has logged out at the provider: a session there, or all of a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOut {
    pub sub: Option<String>,
    pub sid: Option<String>,
    /// Each logout token is used once.
    pub jti: String,
}

impl Provider {
    /// Where a browser logs out at the provider; `None` if the provider has no such page.
    pub async fn logout_url(&self, id_token: Option<&str>, back: &str) -> Option<Url> {
        let metadata = self.metadata().await.ok()?;
        metadata.1.text("end_session_endpoint")?;
        let (mut url, _) = metadata.1.endpoint("end_session_endpoint").ok()?;
        let mut query = url.query_pairs_mut();
        if let Some(id_token) = id_token {
            query.append_pair("id_token_hint", id_token);
        }
        query.append_pair("client_id", self.client_id());
        query.append_pair("post_logout_redirect_uri", back);
        drop(query);
        Some(url)
    }

    /// Verifies a logout token (section 2.6).
    pub async fn logged_out(&self, token: &str) -> Result<LoggedOut, String> {
        let jwt = self.verified(token).await?;
        let kind = jwt.header.get("typ").and_then(|typ| typ.as_str()).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        if !matches!(kind.trim_start_matches("application/"), "logout+jwt" | "jwt" | "") {
            return Err("its type is not that of a logout token".into());
        }
        let fresh = seconds(jwt.claims.get("iat")).is_some_and(|at| at >= now() - LOGOUT_FRESH);
        let expired = seconds(jwt.claims.get("exp")).is_some_and(|at| at <= now());
        if !fresh || expired {
            return Err("it is expired".into());
        }
        if jwt.claims.contains_key("nonce") {
            return Err("it is an ID token".into());
        }
        let events = jwt.claims.get("events").and_then(|events| events.get(EVENT));
        if !events.is_some_and(serde_json::Value::is_object) {
            return Err("it is not about a logout".into());
        }
        let text = |name: &str| jwt.text(name).map(str::to_owned);
        let (sub, sid) = (text("sub"), text("sid"));
        if sub.is_none() && sid.is_none() {
            return Err("it names neither a user nor a session".into());
        }
        let jti = text("jti").ok_or_else(|| "it has no ID".to_owned())?;
        Ok(LoggedOut { sub, sid, jti })
    }
}
