//! A call on its way through the gateway, always in the modern form: the caller, the protocol, the request, and where
//! its events are sent.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use doorward_core::{CallId, Challenge, Events, Failure, Gone, Pauses, Portal, Protocol};
use doorward_governance::approvals::Edits;
use doorward_guards::inspection::Inspecting;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, RpcError, Value, method};
use doorward_policy::{Decision, Facts, Hold};
pub use doorward_upstream::call_error::CallError;

use crate::access::targets::is_write;
use crate::approvals::approved::Approved;
use crate::billing::Reserved;
use crate::pipeline::cache_lookup::Looked;
use crate::pipeline::checked::Checked;
use crate::trace::Trace;
use doorward_cache::Lead;
use doorward_guards::Conversing;
use doorward_identity::identity::Caller;
use doorward_limits::rates::{Nearest, Taken};
use doorward_observability::audit::Opened;
use doorward_upstream::catalog::ToolEntry;
use doorward_upstream::exchange::Deadline;
use doorward_upstream::switchboard::Listener;
use doorward_upstream::{Asked, Server};

/// One request, in the words of 2026-07-28 whatever the client speaks.
#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    pub caller: Caller,
    pub protocol: Protocol,
    pub portal: Portal,
    /// What the client speaks.
    pub revision: Revision,
    pub client: Arc<Client>,
    /// The client's session, where it has one.
    pub session: Option<Arc<str>>,
    /// The conversation that a client without a session says that the call belongs to.
    pub conversation: Option<Box<str>>,
    pub method: Box<str>,
    /// Without what `client` and `retry` hold.
    pub params: Object,
    pub retry: Option<Retry>,
    /// Questions that a handshake-era client answered with an error, by key.
    pub refused: Vec<(String, RpcError)>,
    /// The `Mcp-Param-*` headers that came with the request; `None` when it did not come over
    /// modern HTTP, where none are expected.
    pub param_headers: Option<http::HeaderMap>,
    pub started: Instant,
    /// Set by routing.
    pub route: Option<Route>,
    /// What the client called it, where routing has put the server's own name in its place.
    pub shown_name: Option<Box<str>>,
    /// When it came, in microseconds since 1970.
    pub began: i64,
    pub notes: Notes,
}

/// What the stages have learnt of a call, for its record.
#[derive(Debug, Default)]
pub struct Notes {
    /// What policies may ask beside the call itself, where something was learnt.
    pub facts: Option<Box<Facts>>,
    /// What inspection has found in what came back: findings and classes of data.
    pub returned: Option<Box<Facts>>,
    /// What inspects the call, where something does, and what it has found.
    pub inspection: Option<Box<Inspecting>>,
    /// Labels that external checks have given to the call, which its caller carries from then on.
    pub labels: BTreeSet<String>,
    /// What external checks have said, where any concerns it.
    pub checks: Option<Box<Checked>>,
    /// Whose labels and counts it belongs to, where there are flow rules or bounds of conversations.
    pub conversing: Option<Box<Conversing>>,
    /// That the conversation has reached a bound. Told only to those who may see what is called.
    pub over_bound: Option<Box<Failure>>,
    /// Where policies were asked.
    pub decision: Option<Box<Decision>>,
    /// Where a stage other than the policies wants people to approve it.
    pub held: Option<Box<Held>>,
    /// Arguments that an approver has set, which have replaced the caller's.
    pub edited: Option<Box<Edits>>,
    /// The record, as long as it is open.
    pub opened: Option<Opened>,
    /// What lets it go on, where a policy has held it.
    pub approval: Option<Box<Approved>>,
    /// The trace that it belongs to, and what is traced of it.
    pub trace_id: Option<[u8; 16]>,
    pub trace: Option<Box<Trace>>,
    /// How long the server took.
    pub upstream: Duration,
    /// How often the server was asked again.
    pub retries: u32,
    /// Until when it is to be answered, if it has waited for another.
    pub deadline: Option<Deadline>,
    /// How it was answered from memory, if it was.
    pub cached: Option<&'static str>,
    /// What the cache knows of it, while it is being made.
    pub looked: Option<Box<Looked>>,
    /// It is made so that there is a fresh answer for others.
    pub refreshes: Option<Lead>,
    /// Its arguments were put into the tool's form.
    pub coerced: bool,
    /// What the tool has answered does not fit its output schema.
    pub invalid_result: bool,
    /// The generation of the stops that it was checked against.
    pub stops_seen: u64,
    /// What is set aside for it.
    pub reserved: Option<Reserved>,
    /// What it counts for, as long as it lasts.
    pub taken: Taken,
    /// Where the door wants to be told what is left of the nearest limit.
    pub nearest: Option<Arc<OnceLock<Nearest>>>,
}

/// That people must approve a call, because of what a stage has learnt of it. It runs only if the policies permit it, too;
/// what they hold, their approvers must approve as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who approves, how many, and for how long. Its `policy` and `reason` are those below, whatever it says.
    pub hold: Hold,
    /// For approvers and the caller, in a sentence without secrets.
    pub reason: String,
    /// Who holds it: `inspection`, or `check:NAME`.
    pub by: String,
}

/// What a door knows of a call.
#[derive(Debug)]
pub struct Asks {
    pub caller: Caller,
    pub protocol: Protocol,
    pub portal: Portal,
    pub revision: Revision,
    pub client: Arc<Client>,
    pub session: Option<Arc<str>>,
    pub conversation: Option<Box<str>>,
    pub retry: Option<Retry>,
    pub param_headers: Option<http::HeaderMap>,
}

impl Call {
    /// A call that has just come. It is large, and goes through many hands.
    pub fn new(asks: Asks, method: &str, params: Object) -> Box<Self> {
        let Asks { caller, protocol, portal, revision, client, .. } = asks;
        let Asks { session, conversation, retry, param_headers, .. } = asks;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut params = params;
        // Several SDKs write absent arguments as null, and servers expect an object.
        if matches!(method, method::TOOLS_CALL | method::PROMPTS_GET)
            && params.get("arguments").is_some_and(Value::is_null)
        {
            params.set("arguments", Object::new());
        }
        Box::new(Self {
            id: CallId::next(),
            caller,
            protocol,
            portal,
            revision,
            client,
            session,
            conversation,
            method: method.into(),
            params,
            retry,
            refused: Vec::new(),
            param_headers,
            started: Instant::now(),
            route: None,
            shown_name: None,
            began: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            notes: Notes::default(),
        })
    }

    /// Until when a server has to answer it, from now.
    pub fn deadline_at(&self, server: &Server) -> Deadline {
        server.deadline(&self.method, &self.params)
    }

    /// The classes of data in the call, where not every replica of the server may receive all: what was found in it, what
    /// the settings say of the tool, and the labels that its caller carries. A label with a dot, such as
    /// `moderation.violence`, and `untrusted` say something else of a text.
    fn classes(&self, server: &Server) -> Option<Arc<BTreeSet<String>>> {
        if !server.restricts_data {
            return None;
        }
        let name = self.params.string("name").or_else(|| self.params.string("uri"));
        let mut classes = server.settings.data_of(&name.unwrap_or_default());
        let labels = self.notes.facts.iter().flat_map(|facts| facts.flow.iter());
        let labels = labels.chain(&self.notes.labels);
        classes.extend(labels.filter(|it| *it != "untrusted" && !it.contains('.')).cloned());
        classes.extend(self.notes.facts.iter().flat_map(|facts| facts.data.iter().cloned()));
        (!classes.is_empty()).then(|| Arc::new(classes))
    }

    /// The call as a server is asked it.
    pub fn asked<'a>(&'a self, server: &Server) -> Asked<'a> {
        Asked {
            method: &self.method,
            params: self.params.clone(),
            client: &self.client,
            principal: &self.caller.principal.id,
            caller: Some(&self.caller.principal),
            // Set where the server is asked on the caller's behalf; lists are the gateway's own to fetch.
            own: None,
            session: self.session.clone(),
            handshake_client: !self.revision.is_modern(),
            retry: self.retry.as_ref(),
            classes: self.classes(server),
            refused: &self.refused,
            deadline: self.notes.deadline.unwrap_or_else(|| self.deadline_at(server)),
            traceparent: self.notes.trace.as_ref().map(|trace| trace.onward().to_string()),
            tool: self.route.as_ref().and_then(|route| route.tool.clone()),
            param_headers: self.param_headers.as_ref(),
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone)]
pub struct Route {
    pub server: Arc<Server>,
    /// For `tools/call`: what the catalogue knows of the tool.
    pub tool: Option<Arc<ToolEntry>>,
    /// For `tools/call`: whether the tool may change something, once it was looked for.
    pub writes: Option<bool>,
}

impl Route {
    pub fn to(server: Arc<Server>) -> Self {
        Self { server, tool: None, writes: None }
    }

    /// To a tool, be it known or not.
    pub fn to_tool(server: Arc<Server>, name: &str, tool: Option<Arc<ToolEntry>>) -> Self {
        let writes = Some(is_write(&server, name, tool.as_deref()));
        Self { server, tool, writes }
    }
}

/// What a call comes to.
#[derive(Debug)]
pub enum Reply {
    /// A complete result, or one that asks for input.
    Result(Object),
    /// `subscriptions/listen`: goes on until one side ends it.
    Listening(Listener),
}
