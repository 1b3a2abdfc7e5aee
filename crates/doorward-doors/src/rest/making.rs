//! Calls from requests: who calls, by which name of the tool, and what came of it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use doorward_core::byte_queue::Receiver;
use doorward_gateway::call::{Asks, Call, CallId, Events, Portal, Protocol, Receipt, Reply};
use doorward_gateway::pipeline::Refusal;
use doorward_identity::exposed::{Digest, merged_name, single_name};
use doorward_limits::rates::Nearest;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::{Client, LogLevel, PROGRESS_TOKEN};
use doorward_mcp::names::split_name;
use doorward_mcp::{Object, Revision, Value, method};
use doorward_observability::telemetry::context;
use http::header::USER_AGENT;
use serde_json::json;

use super::Visit;
use super::answer::Made;
use super::problem::Problem;
use crate::mcp::{admit, held_task, modern};

/// Longest name of a client that is taken from `User-Agent`.
const LONGEST_NAME: usize = 64;

/// What a client of this API can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abilities {
    /// Nothing: a model is behind it.
    None,
    /// It answers requests for input.
    Input,
    /// The same, and the call is about a task.
    Tasks,
}

/// A tool, by the name that routing knows.
#[derive(Debug, Clone)]
pub struct Named {
    /// As its caller wrote it.
    pub told: String,
    pub shown: String,
}

/// A call that is ready, and how to learn of it.
pub struct Ready {
    pub call: Box<Call>,
    pub receipt: Arc<Receipt>,
    pub nearest: Option<Arc<OnceLock<Nearest>>>,
    pub began: Instant,
    pub id: CallId,
}

impl Visit {
    fn client(&self, abilities: Abilities, streams: bool) -> Client {
        let agent = self.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let product = agent.and_then(|agent| agent.split_whitespace().next()).unwrap_or_default();
        let (name, version) = product.split_once('/').unwrap_or((product, ""));
        let cut = |text: &str| text.chars().take(LONGEST_NAME).collect::<String>();
        let info = json!({ "name": cut(name), "version": cut(version) });
        let input = json!({ "form": {}, "url": {} });
        let capabilities = match abilities {
            Abilities::None => json!({}),
            Abilities::Input => json!({ "elicitation": input }),
            Abilities::Tasks => json!({
                "elicitation": input,
                "extensions": { doorward_mcp::capabilities::TASKS_EXTENSION: {} },
            }),
        };
        Client {
            info: (!name.is_empty()).then(|| Value::from_serde(&info)),
            capabilities: Object::from_serde(&capabilities).unwrap_or_default(),
            log_level: streams.then_some(LogLevel::Info),
        }
    }

    /// A call that is not admitted yet.
    pub fn call(
        &self,
        protocol: Protocol,
        abilities: Abilities,
        streams: bool,
        method: &str,
        mut params: Object,
        retry: Option<Retry>,
    ) -> Result<Ready, Box<Problem>> {
        context::adopt(&mut params, &self.headers);
        let conversation = modern::conversation(&self.headers, &mut params)
            .map_err(|error| Box::new(Problem::invalid(error.message)))?;
        if streams && let Some(meta) = params.object_mut("_meta") {
            meta.set(PROGRESS_TOKEN, Value::number(1));
        }
        let asks = Asks {
            caller: self.caller.clone(),
            protocol,
            portal: self.portal.clone(),
            revision: Revision::NEWEST,
            client: Arc::new(self.client(abilities, streams)),
            session: None,
            conversation,
            retry,
            param_headers: None,
            discovery: None,
        };
        let mut call = self.gateway.call(asks, method, params);
        let receipt = Arc::<Receipt>::default();
        let nearest = self.gateway.limiter.reports_remaining().then(Arc::<OnceLock<_>>::default);
        call.notes.receipt = Some(receipt.clone());
        call.notes.nearest.clone_from(&nearest);
        Ok(Ready { id: call.id, receipt, nearest, began: Instant::now(), call })
    }

    /// Whether the portal is there for the caller, and the token has the scopes that are needed.
    pub fn admit(&self, call: &Call) -> Result<(), Box<Problem>> {
        admit(&self.gateway, call).map_err(|refused| {
            let (head, body) = refused.into_parts();
            if head.status == http::StatusCode::NOT_FOUND {
                return Box::new(Problem::nothing_here());
            }
            let problem = Problem::of_response(head.status, &head.headers, &body.into_bytes());
            Box::new(Problem { code: "insufficient_scope".into(), ..problem })
        })
    }

    /// A queue for what a call tells meanwhile, counted to its caller.
    pub fn events(&self) -> (Events, Receiver<bytes::Bytes>) {
        let (sender, receiver) = Events::channel(self.gateway.shared.limits.queue.min(32));
        let counter = self.gateway.unread.counter(&self.caller.principal);
        (sender.counted(counter), receiver)
    }

    /// The name by which routing finds a tool: of `server/tool`, of its name in lists, or of the server's own at its portal.
    pub async fn named(&self, tool: &str, operation: Option<&str>) -> Named {
        let shown = match (operation, tool.split_once('/')) {
            (Some(own), _) => self.shown(tool, own),
            (None, Some((server, own))) => self.shown(server, own),
            (None, None) => self.listed(tool).await,
        };
        let told = match operation {
            Some(own) => format!("{tool}/{own}"),
            None => tool.to_owned(),
        };
        // What cannot be any tool's name is refused as every unknown one is.
        Named { shown: shown.unwrap_or_else(|| told.clone()), told }
    }

    fn shown(&self, server: &str, own: &str) -> Option<String> {
        let settings = self.gateway.settings();
        let found = self.gateway.server(server);
        let server = found.as_ref().map_or(server, |found| &*found.name);
        match &self.portal {
            Portal::Server(name) => {
                let is_here = name.eq_ignore_ascii_case(server);
                is_here.then(|| single_name(server, own, &settings.names).into_owned())
            }
            Portal::Named(name) => {
                let renamed = self.gateway.portal(name).and_then(|portal| {
                    portal.settings.rename.get(&format!("{server}/{own}")).cloned()
                });
                Some(renamed.unwrap_or_else(|| merged_name(server, own, &settings.names)))
            }
            Portal::Merged => Some(merged_name(server, own, &settings.names)),
        }
    }

    /// A name of a list. At the portal of a server, lists have the names of all other portals, so that models accept them.
    async fn listed(&self, name: &str) -> Option<String> {
        let Portal::Server(here) = &self.portal else { return Some(name.to_owned()) };
        let server = self.gateway.server(here)?;
        let of_list = || {
            let (of, own) = self.gateway.named(&Portal::Merged, false, name)?;
            Arc::ptr_eq(&of, &server).then_some(own)
        };
        let mut own = of_list();
        if own.is_none() && Digest::read(name).is_some() {
            // It may be of a list that was not fetched yet.
            let params = Object::new();
            let made =
                self.call(Protocol::Rest, Abilities::None, false, method::TOOLS_LIST, params, None);
            if let Ok(made) = made {
                self.gateway.look_for_name(&made.call, name).await;
            }
            own = of_list();
        }
        let is_of_server = split_name(name).is_some_and(|(of, _)| of == &*server.name);
        // Otherwise its own name.
        let own = own.or_else(|| (!is_of_server).then(|| name.to_owned()))?;
        self.shown(&server.name, &own)
    }

    /// What a response names a call by that was made.
    pub fn made(&self, id: CallId, named: &Named) -> Made {
        let found = self.gateway.named(&self.portal, false, &named.shown);
        let (provider, own) = match found {
            Some((server, own)) => (server.name.to_string(), own),
            None => (String::new(), named.told.clone()),
        };
        let tool = if provider.is_empty() { own } else { format!("{provider}/{own}") };
        Made { id, tool, provider }
    }
}

/// The parameters of a call.
pub fn params(shown: &str, arguments: Object) -> Object {
    let mut params = Object::new();
    params.set("name", shown);
    params.set("arguments", arguments);
    params
}

/// Takes a call through the pipeline. One that is held becomes a task, if its client can ask for it.
pub async fn run(
    visit: &Visit,
    call: Box<Call>,
    events: Events,
    abilities: Abilities,
) -> Result<Reply, Refusal> {
    let takes_tasks = abilities != Abilities::None;
    held_task::run_for(visit.gateway.clone(), call, events, takes_tasks).await
}
