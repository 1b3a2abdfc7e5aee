//! Servers as administrators find them: what the configuration file and the store know of them together.

use doorward_config::{ServerSettings, proposal};
use doorward_gateway::access::targets::target_of;
use doorward_governance::lifecycle::State;
use doorward_policy::{Action, Target, TargetKind};
use doorward_store::{Error, ServerOrigin, StoredServer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desk::Desk;
use crate::problem::Problem;

/// A server and where it is in its life.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    #[serde(flatten)]
    pub life: StoredServer,
    /// As in the configuration file, without secrets.
    pub settings: Value,
    /// Whether a review is needed before it is served.
    pub reviewed: bool,
    /// Whether this gateway serves it; known while a gateway runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<bool>,
    /// Why it is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
    /// What the administrator may do to it, such as `review`, `approve` and `operate`. Only where one server is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may: Option<Vec<String>>,
}

/// A server that was found, with what decisions about it need.
pub(super) struct Found {
    pub server: Server,
    /// Of a server of the configuration file that is served without a review.
    pub trusted: Option<String>,
    pub target: Target,
}

pub(crate) fn about(name: &str, settings: &ServerSettings) -> Target {
    Target { write: true, ..target_of(name, settings, TargetKind::Server, "", false) }
}

/// What is known of a server: from the configuration file, the store, or both.
pub(super) fn gathered(desk: &Desk, name: &str, stored: Option<StoredServer>) -> Option<Found> {
    let settings = desk.settings();
    let declared = settings.as_ref().and_then(|settings| {
        let mut all = settings.servers.iter();
        let (name, wanted) = all.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some((name.clone(), wanted.clone(), settings.is_reviewed(wanted)))
    });
    let (life, wanted, shown, reviewed) = match (declared, stored) {
        (Some((name, wanted, reviewed)), stored) => {
            let digest = wanted.approval_digest();
            let stored = stored.filter(|life| life.origin == ServerOrigin::File);
            let mut life = stored.unwrap_or_else(|| StoredServer::trusted(&name, &digest));
            if reviewed && (life.revision == 0 || life.digest != digest) {
                // The gateway proposes it within a second.
                life.state = State::Proposed;
            } else if !reviewed && (life.state.is_open() || life.state == State::Approved) {
                life.state = State::Active;
            }
            let shown = doorward_config::redacted(&wanted);
            (life, wanted, shown, reviewed)
        }
        (None, Some(life)) => {
            let shown: Value = serde_json::from_str(&life.spec).unwrap_or_default();
            // What cannot be read has no attributes, and is not served.
            let wanted = proposal::approved(&life.spec, life.allow_private).unwrap_or_default();
            (life, wanted, shown, true)
        }
        (None, None) => return None,
    };
    let served = desk.maybe_gateway().map(|gateway| gateway.server(&life.name).is_some());
    let withheld = desk.maybe_gateway().and_then(|gateway| {
        let served = gateway.life.served();
        let same =
            |one: &&doorward_gateway::life::Withheld| one.name.eq_ignore_ascii_case(&life.name);
        served.withheld.iter().find(same).map(|one| one.why.clone())
    });
    let target = about(&life.name, &wanted);
    let trusted = (!reviewed).then(|| wanted.approval_digest());
    let server = Server { life, settings: shown, reviewed, served, withheld, may: None };
    Some(Found { server, trusted, target })
}

pub(super) async fn stored(desk: &Desk, name: &str) -> Result<Option<StoredServer>, Problem> {
    let Some(store) = desk.maybe_store() else { return Ok(None) };
    match store.server(name).await {
        Ok(server) => Ok(Some(server)),
        Err(Error::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A server on which the administrator may do something.
pub(super) async fn find(desk: &Desk, name: &str, action: Action) -> Result<Found, Problem> {
    let found = gathered(desk, name, stored(desk, name).await?);
    let target = found
        .as_ref()
        .map_or_else(|| crate::desk::server_named(name), |found| found.target.clone());
    desk.require(action, &target)?;
    found.ok_or_else(|| Problem::absent("server", name))
}

/// A server after a step.
pub(super) fn shown(desk: &Desk, life: StoredServer) -> Result<Server, Problem> {
    let name = life.name.clone();
    let found = gathered(desk, &name, Some(life));
    found.map(|found| found.server).ok_or_else(|| Problem::absent("server", &name))
}

/// A server, with what the administrator may do to it.
pub(super) async fn show(desk: &Desk, name: &str) -> Result<Server, Problem> {
    let Found { mut server, target, .. } = find(desk, name, Action::View).await?;
    let steps = [
        Action::View,
        Action::Propose,
        Action::Review,
        Action::Approve,
        Action::Operate,
        Action::Stop,
    ];
    let may = steps.into_iter().filter(|step| desk.may(*step, &target));
    server.may = Some(may.map(|step| step.as_str().to_owned()).collect());
    Ok(server)
}
