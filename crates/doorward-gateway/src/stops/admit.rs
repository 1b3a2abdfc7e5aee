//! Checks whether a call, a list or a session is stopped.

use std::sync::Arc;

use doorward_governance::stops::{Stop, StopMode, Stopped};
use doorward_mcp::error::Kind;
use doorward_mcp::{RpcError, method};
use doorward_policy::TargetKind;

use crate::access::targets::{action_on, credential_mode, target};
use crate::call::{Call, CallError, Failure};
use crate::gateway::Gateway;
use doorward_config::ServerSettings;
use doorward_upstream::{CallOf, Server};

/// The error of a stopped call, which is not retried automatically.
pub fn failure(stop: &Stop) -> Failure {
    Failure { retryable: false, ..Failure::new(Kind::Stopped, stop.message()) }
}

/// Whether the gateway presents its own credential to a server with every request.
fn presents_own(settings: &ServerSettings) -> bool {
    settings.credential.is_some() || !settings.headers.is_empty() || settings.delegated.is_some()
}

/// The stop of a server, or of the credential that all requests to it need.
pub fn out_of_service<'a>(stopped: &'a Stopped, server: &Server) -> Option<&'a Arc<Stop>> {
    let name = &server.name;
    stopped.server(name).or_else(|| {
        presents_own(&server.settings).then(|| stopped.credential(name, None)).flatten()
    })
}

/// The stop that covers a parked call or a task.
pub fn call_of<'a>(stopped: &'a Stopped, call: &CallOf) -> Option<&'a Arc<Stop>> {
    let of_all = stopped.everything();
    let of_tool = || match &call.tool {
        Some(tool) => stopped.tool(&call.server, tool),
        None => stopped.server(&call.server),
    };
    let of_caller = || stopped.caller(&call.caller.as_ref()?.facts());
    of_all.or_else(of_tool).or_else(of_caller).or_else(|| stopped.credential(&call.server, None))
}

impl Gateway {
    /// The stop that covers a call, by its caller or its target.
    pub fn stop_of(&self, call: &Call) -> Option<Arc<Stop>> {
        let stopped = self.emergency.stops.current()?;
        let found = stopped
            .everything()
            .or_else(|| stopped.caller(&call.caller.principal.facts()))
            .or_else(|| {
                let server = &call.route.as_ref()?.server;
                stop_of_target(&stopped, server, call)
            });
        found.cloned()
    }

    /// The same, if anything was stopped since the call began. Calls that may complete are not
    /// covered, except before they begin (`begins`).
    pub fn stop_since(&self, call: &Call, begins: bool) -> Option<Arc<Stop>> {
        if self.emergency.stops.generation() == call.notes.stops_seen {
            return None;
        }
        self.stop_of(call).filter(|stop| begins || stop.mode == StopMode::Cancel)
    }

    /// Whether a call to a server is refused. For a caller who could not use the stopped target
    /// anyway, the response is as if it did not exist (attack T27): `Some(None)`.
    pub fn refuses(&self, call: &Call, server: &Arc<Server>) -> Option<Option<CallError>> {
        let stopped = self.emergency.stops.current()?;
        let stop = stop_of_target(&stopped, server, call)?;
        let visible = match &*call.method {
            method::TOOLS_CALL => self.may_use_named(call, server, TargetKind::Tool, "name"),
            method::PROMPTS_GET => self.may_use_named(call, server, TargetKind::Prompt, "name"),
            method::RESOURCES_READ => self.may_use_named(call, server, TargetKind::Resource, "uri"),
            _ => self.sees(call, server),
        };
        Some(visible.then(|| failure(stop).into()))
    }

    fn may_use_named(&self, call: &Call, server: &Server, kind: TargetKind, member: &str) -> bool {
        let name = call.params.string(member).unwrap_or_default();
        self.may(&call.asking(), action_on(kind), &target(server, kind, &name, None))
    }

    /// Refuses a call that would present a stopped credential. User-provided credentials are
    /// checked where they are looked up.
    pub fn check_credential(&self, call: &Call, server: &Server) -> Result<(), Failure> {
        let Some(stopped) = self.emergency.stops.current() else { return Ok(()) };
        let mode = credential_mode(&server.settings);
        if matches!(mode, "none" | "personal") {
            return Ok(());
        }
        let facts = call.caller.principal.facts();
        let owner = facts.kind.map(|kind| (kind.as_str(), facts.id));
        match stopped.credential(&server.name, owner) {
            Some(stop) => Err(failure(stop)),
            None => Ok(()),
        }
    }

    /// The same for user-provided credentials.
    pub fn check_provided(&self, server: &Server, kind: &str, owner: &str) -> Result<(), Failure> {
        let Some(stopped) = self.emergency.stops.current() else { return Ok(()) };
        match stopped.credential(&server.name, Some((kind, owner))) {
            Some(stop) => Err(failure(stop)),
            None => Ok(()),
        }
    }

    /// The stop that takes a server out of service.
    pub fn stop_of_server(&self, server: &Server) -> Option<Arc<Stop>> {
        let stopped = self.emergency.stops.current()?;
        out_of_service(&stopped, server).cloned()
    }

    /// Whether a stop takes a server out of service.
    pub fn is_out_of_service(&self, server: &Server) -> bool {
        self.stop_of_server(server).is_some()
    }

    /// An error if everything is stopped.
    pub fn check_everything(&self) -> Result<(), RpcError> {
        let stopped = self.emergency.stops.current();
        match stopped.as_ref().and_then(|stopped| stopped.everything()) {
            Some(stop) => Err(stop.error()),
            None => Ok(()),
        }
    }
}

fn stop_of_target<'a>(stopped: &'a Stopped, server: &Server, call: &Call) -> Option<&'a Arc<Stop>> {
    out_of_service(stopped, server).or_else(|| {
        (*call.method == *method::TOOLS_CALL).then_some(())?;
        stopped.tool(&server.name, &call.params.string("name").unwrap_or_default())
    })
}
