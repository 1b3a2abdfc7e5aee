//! A call in progress, in the modern form: caller, protocol, request, and event destination.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use doorward_config::{Discovery, TenantSettings};
pub use doorward_core::{
    CallId, Challenge, Events, Failure, Gone, Pauses, Portal, Protocol, Receipt,
};
use doorward_governance::approvals::{Approval, Edits};
use doorward_guards::inspection::Inspecting;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, RpcError, Value, method};
use doorward_policy::{Decision, Facts, Hold};
pub use doorward_upstream::call_error::CallError;

use crate::access::targets::is_write;
use crate::approvals::approved::{Answered, Approved};
use crate::billing::Reserved;
use crate::cutting::Cutting;
use crate::discovering::Discovering;
use crate::pipeline::cache_lookup::Looked;
use crate::pipeline::checked::Checked;
use crate::trace::Trace;
use doorward_cache::Lead;
use doorward_guards::Conversing;
use doorward_identity::identity::Caller;
use doorward_limits::rates::{Nearest, Taken};
use doorward_observability::audit::Opened;
use doorward_schema::Mismatches;
use doorward_upstream::catalog::ToolEntry;
use doorward_upstream::exchange::Deadline;
use doorward_upstream::state::TaskOf;
use doorward_upstream::switchboard::Listener;
use doorward_upstream::{Asked, Server};

/// One request, in the form of 2026-07-28 whatever the client's revision.
#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    pub caller: Caller,
    pub protocol: Protocol,
    pub portal: Portal,
    /// The client's protocol revision.
    pub revision: Revision,
    pub client: Arc<Client>,
    /// The client's session, if any.
    pub session: Option<Arc<str>>,
    /// The conversation that a client without sessions assigns the call to.
    pub conversation: Option<Box<str>>,
    pub method: Box<str>,
    /// Without the members held in `client` and `retry`.
    pub params: Object,
    pub retry: Option<Retry>,
    /// Requests for input that a handshake-era client answered with an error, by key.
    pub refused: Vec<(String, RpcError)>,
    /// The `Mcp-Param-*` headers of a request over modern HTTP; `None` for other transports.
    pub param_headers: Option<http::HeaderMap>,
    /// How the client wants tools to be offered, if its URL says so.
    pub discovery: Option<Discovery>,
    pub started: Instant,
    /// Set by routing.
    pub route: Option<Route>,
    /// The name that the client used, if routing has replaced it by the server's original name.
    pub shown_name: Option<Box<str>>,
    /// The time of arrival, in microseconds since 1970.
    pub began: i64,
    pub notes: Notes,
}

/// What the stages have found out about a call, for its audit record.
#[derive(Debug, Default)]
pub struct Notes {
    /// It is about one of the tools that find others.
    pub discovering: Option<Box<Discovering>>,
    /// How its result is cut, if it is.
    pub cutting: Option<Box<Cutting>>,
    /// It sets a parameter that callers cannot set at its portal.
    pub unsettable: Option<Box<Mismatches>>,
    /// Facts for policies beyond the call itself.
    pub facts: Option<Box<Facts>>,
    /// What holds for the data of the caller's tenant.
    pub tenant: Option<Arc<TenantSettings>>,
    /// What inspection has found in the result: findings and classes of data.
    pub returned: Option<Box<Facts>>,
    /// The running inspection of the call, and its findings.
    pub inspection: Option<Box<Inspecting>>,
    /// Labels that external checks have given to the call, which its caller then carries.
    pub labels: BTreeSet<String>,
    /// The results of external checks.
    pub checks: Option<Box<Checked>>,
    /// The conversation whose labels and counts apply, if there are flow rules or bounds.
    pub conversing: Option<Box<Conversing>>,
    /// The conversation has exceeded a bound. Reported only to callers who may see the target.
    pub over_bound: Option<Box<Failure>>,
    /// The policies' decision.
    pub decision: Option<Box<Decision>>,
    /// Another stage requires approval by people.
    pub held: Option<Box<Hold>>,
    /// The client's answer to the gateway's own request for approval.
    pub answered: Option<Box<Answered>>,
    /// What the client has sent for its server to continue with, before inspection.
    pub continues: Option<Box<Retry>>,
    /// The task that it is about, if any.
    pub task: Option<Box<AboutTask>>,
    /// Its door takes [`Reply::Held`].
    pub can_be_task: bool,
    /// The ID of the approval that it runs with as a task, and with no other.
    pub runs: Option<Box<str>>,
    /// Arguments edited by an approver, which have replaced the caller's.
    pub edited: Option<Box<Edits>>,
    /// The audit record, while it is open.
    pub opened: Option<Opened>,
    /// The approval with which it continues, if a policy held it.
    pub approval: Option<Box<Approved>>,
    /// The trace that it belongs to, and its spans.
    pub trace_id: Option<[u8; 16]>,
    pub trace: Option<Box<Trace>>,
    /// The duration of the server's part.
    pub upstream: Duration,
    /// The number of retries.
    pub retries: u32,
    /// The deadline of its response, if it has waited for another call.
    pub deadline: Option<Deadline>,
    /// The cache status, if it was answered from the cache.
    pub cached: Option<&'static str>,
    /// The state of its cache lookup, until it ends.
    pub looked: Option<Box<Looked>>,
    /// It refreshes a cached result for others.
    pub refreshes: Option<Lead>,
    /// Its arguments were converted to the types of the tool's schema.
    pub coerced: bool,
    /// The tool's result does not match its output schema.
    pub invalid_result: bool,
    /// The generation of the stops that it was checked against.
    pub stops_seen: u64,
    /// The credit reserved for it.
    pub reserved: Option<Reserved>,
    /// Its slots and counts in limits, for as long as it lasts.
    pub taken: Taken,
    /// Receives what is left of the nearest limit, for protocols that report it.
    pub nearest: Option<Arc<OnceLock<Nearest>>>,
    /// Receives what came of it, for protocols that report it.
    pub receipt: Option<Arc<Receipt>>,
}

/// The call that has created a task, which another is about.
#[derive(Debug)]
pub struct AboutTask {
    pub of: TaskOf,
    /// What the catalogue knows of the tool.
    pub tool: Option<Arc<ToolEntry>>,
}

/// What a protocol adapter knows of a call.
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
    pub discovery: Option<Discovery>,
}

impl Call {
    /// A new call. Boxed, because it is large and moved often. Doors use [`Gateway::call`](crate::Gateway::call).
    pub(crate) fn new(asks: Asks, method: &str, params: Object) -> Box<Self> {
        let Asks { caller, protocol, portal, revision, client, .. } = asks;
        let Asks { session, conversation, retry, param_headers, discovery, .. } = asks;
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
            discovery,
            started: Instant::now(),
            route: None,
            shown_name: None,
            began: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            notes: Notes::default(),
        })
    }

    /// The deadline of a server's response, from now.
    pub fn deadline_at(&self, server: &Server) -> Deadline {
        server.deadline(&self.method, &self.params)
    }

    /// The classes of data in the call, if not every replica of the server may receive all: those
    /// found in it, those configured for the tool, and the labels that its caller carries.
    /// `untrusted` and labels with a dot, such as `moderation.violence`, do not denote data and are
    /// excluded.
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
        classes.extend(self.notes.tenant.iter().flat_map(|tenant| tenant.data.iter().cloned()));
        (!classes.is_empty()).then(|| Arc::new(classes))
    }

    /// The request to the server.
    pub fn asked<'a>(&'a self, server: &Server) -> Asked<'a> {
        Asked {
            method: &self.method,
            params: self.params.clone(),
            client: &self.client,
            principal: &self.caller.principal.id,
            caller: Some(&self.caller.principal),
            // Set when called on behalf of the caller; the gateway itself fetches lists.
            own: None,
            session: self.session.clone(),
            handshake_client: !self.revision.is_modern(),
            retry: self.retry.as_ref(),
            classes: self.classes(server),
            tenant: self.notes.tenant.as_deref(),
            refused: &self.refused,
            deadline: self.notes.deadline.unwrap_or_else(|| self.deadline_at(server)),
            traceparent: self.notes.trace.as_ref().map(|trace| trace.onward().to_string()),
            tool: self.route.as_ref().and_then(|route| route.tool.clone()),
            param_headers: self.param_headers.as_ref(),
        }
    }
}

/// The destination of a call.
#[derive(Debug, Clone)]
pub struct Route {
    pub server: Arc<Server>,
    /// For `tools/call`: the tool's properties from the catalogue.
    pub tool: Option<Arc<ToolEntry>>,
    /// For `tools/call`: whether the tool may have side effects, once determined.
    pub writes: Option<bool>,
}

impl Route {
    pub fn to(server: Arc<Server>) -> Self {
        Self { server, tool: None, writes: None }
    }

    /// To a tool, which may be unknown.
    pub fn to_tool(server: Arc<Server>, name: &str, tool: Option<Arc<ToolEntry>>) -> Self {
        let writes = Some(is_write(&server, name, tool.as_deref()));
        Self { server, tool, writes }
    }
}

/// The reply to a call.
#[derive(Debug)]
pub enum Reply {
    /// A complete result, or one that asks for input.
    Result(Object),
    /// `subscriptions/listen`: continues until one side ends it.
    Listening(Listener),
    /// A held call as a task: answered by the door, which has the call as it came.
    Held(HeldTask),
}

/// What a call has to do with a held call that is a task.
#[derive(Debug)]
pub enum HeldTask {
    /// It is held, and becomes one.
    Begins(Box<Approval>),
    /// It asks about the task with this ID.
    Named(String),
}
