//! Servers that users ask for: proposals in their name, of which they learn nothing.

use doorward_config::{ServerSettings, proposal};
use doorward_store::{Error, ServerProposal};
use serde_json::Value;
use url::Url;

use super::check_name;
use super::found::stored;
use crate::desk::Desk;
use crate::problem::Problem;

/// A server that a user asks for.
pub struct Wanted<'a> {
    pub name: &'a str,
    pub url: &'a str,
    pub why: &'a str,
}

/// What is proposed of a server of which nothing but the URL is known.
fn at(url: &str) -> (Value, Result<ServerSettings, Problem>) {
    let settings = serde_json::json!({ "url": url });
    let wanted = proposal::proposal(&settings).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Problem::invalid(told.join("; "))
    });
    (settings, wanted)
}

/// Refuses what can be no URL of a server.
pub fn check_url(url: &str) -> Result<(), Problem> {
    let is_url = Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    });
    if !is_url {
        let why = "'url' must begin with https:// or http://, and have no user name or password";
        return Err(Problem::invalid(why));
    }
    at(url).1.map(drop)
}

/// Proposes a server in the name of a user who has no right to propose any. Returns whether it was: a name that is taken is
/// nothing that they learn.
pub async fn propose_for(desk: &Desk, wanted: &Wanted<'_>) -> Result<bool, Problem> {
    let Wanted { name, url, why } = *wanted;
    let (settings, checked) = at(url);
    let checked = checked?;
    let is_free = desk.gateway()?.server(name).is_none()
        && stored(desk, name).await?.is_none()
        && check_name(desk, name).await.is_ok();
    if !is_free {
        return Ok(false);
    }
    let (spec, digest) = (settings.to_string(), checked.approval_digest());
    let proposal = ServerProposal { name, spec: &spec, digest: &digest, why };
    match desk.store()?.propose_server(&proposal).await {
        Ok(_) => {
            desk.settle().await?;
            Ok(true)
        }
        Err(Error::Refused(why)) => {
            tracing::info!(name, why, "a requested server was not proposed");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
