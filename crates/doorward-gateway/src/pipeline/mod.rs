//! The pipeline of every call, whichever protocol it came by.
//!
//! [`STAGES`] is the list. A stage sees the call, may refuse, answer or change it, and may use the reply on its way
//! out. To add one, write its file and add its line at the right place.

mod accounting;
mod arguments;
pub mod cache;
mod cache_key;
mod coercion;
mod dispatch;
mod limits;
mod listening;
mod lists;
mod policy;
mod record;
mod results;
mod routing;
mod uris;

pub use self::uris::check_uri;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Revision, RpcError};
use tracing::Instrument;

use crate::call::{Call, CallError, Events, Failure, Reply};
use crate::gateway::Gateway;
use crate::trace;
use doorward_config::Explain;
use doorward_limits::rates::Limited;
use doorward_schema::Mismatches;

/// The stages in their order. A reply passes those it has reached in reverse.
const STAGES: &[&dyn Stage] = &[
    &record::Record,
    &uris::Uris,
    &routing::Routing,
    &coercion::Coercion,
    &policy::Policy,
    &limits::Limits,
    &arguments::Arguments,
    &lists::Lists,
    &listening::Listening,
    &accounting::Accounting,
    &cache::Cache,
    &results::Results,
    &dispatch::Dispatch,
];

/// What a stage decides: go on (`None`), or the reply.
pub type Decision = Result<Option<Reply>, CallError>;

/// A decision taken at once, or one that needs waiting. The first kind costs nothing.
pub enum Step<'a> {
    Now(Decision),
    Later(Pin<Box<dyn Future<Output = Decision> + Send + 'a>>),
}

impl Step<'_> {
    const CONTINUE: Self = Self::Now(Ok(None));

    fn refuse(error: impl Into<CallError>) -> Self {
        Self::Now(Err(error.into()))
    }
}

/// What a stage does with a reply that has to wait for something.
type Settling<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

pub trait Stage: Sync {
    /// In a word, for traces.
    fn name(&self) -> &'static str;

    fn enter<'a>(
        &self,
        gateway: &'a Arc<Gateway>,
        call: &'a mut Call,
        events: &'a Events,
    ) -> Step<'a>;

    /// Before a reply leaves the stage: what may take longer than a moment.
    fn settle<'a>(
        &self,
        _call: &'a mut Call,
        _reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        None
    }

    fn leave(&self, _gateway: &Gateway, _call: &mut Call, _reply: &mut Result<Reply, CallError>) {}
}

/// An error on its way to a client, with the HTTP status of doors that have one.
#[derive(Debug)]
pub struct Refusal {
    pub error: RpcError,
    pub status: Option<u16>,
    /// The limit that was hit.
    pub limited: Option<Box<Limited>>,
}

impl Refusal {
    fn plain(error: RpcError) -> Self {
        Self { error, status: None, limited: None }
    }
}

/// Takes a call through the stages to its reply. Every line that is logged meanwhile carries its id.
pub fn run(
    gateway: Arc<Gateway>,
    call: Call,
    events: Events,
) -> impl Future<Output = Result<Reply, Refusal>> + Send {
    let span = tracing::info_span!("call", call = %call.id);
    through_stages(gateway, call, events).instrument(span)
}

async fn through_stages(
    gateway: Arc<Gateway>,
    mut call: Call,
    events: Events,
) -> Result<Reply, Refusal> {
    trace::begin(&gateway, &mut call);
    let mut reached = 0;
    let mut reply = Err(Failure::new(Kind::InvalidMessage, "No stage answered the call").into());
    for stage in STAGES {
        reached += 1;
        let began = call.notes.trace.is_some().then(std::time::Instant::now);
        let decision = match stage.enter(&gateway, &mut call, &events) {
            Step::Now(decision) => decision,
            Step::Later(decision) => decision.await,
        };
        if let (Some(began), Some(trace)) = (began, &mut call.notes.trace) {
            trace.stage(stage.name(), began);
        }
        match decision {
            Ok(None) => {}
            Ok(Some(answer)) => {
                reply = Ok(answer);
                break;
            }
            Err(error) => {
                reply = Err(error);
                break;
            }
        }
    }
    for stage in STAGES[..reached].iter().rev() {
        if let Some(settling) = stage.settle(&mut call, &mut reply) {
            settling.await;
        }
        stage.leave(&gateway, &mut call, &mut reply);
    }
    trace::end(&gateway, &mut call, &reply);
    // A model can mend what its client shows it (spec 2025-11-25 server/tools, error handling).
    if let Err(CallError::InvalidArguments(mismatches)) = &reply
        && call.revision >= Revision::V2025_11_25
    {
        return Ok(Reply::Result(invalid_arguments(&call, mismatches)));
    }
    reply.map_err(|error| {
        if let CallError::Denied(decision) = &error {
            let (call, explain) = (call.id.to_string(), gateway.explains());
            return Refusal::plain(policy::denial(decision, explain, &call));
        }
        let server = call.route.as_ref().map_or("", |route| &*route.server.name);
        refusal(error, server, &call.id.to_string())
    })
}

/// The word for arguments that do not fit, in records and errors.
pub const INVALID_ARGUMENTS: &str = "invalid_arguments";
const DO_NOT_MATCH: &str = "The arguments do not match the tool's input schema";

/// The result of a tool that was not called, for its arguments.
fn invalid_arguments(call: &Call, mismatches: &Mismatches) -> Object {
    let text = format!(
        "{DO_NOT_MATCH}; the tool was not called. Correct these values and call again:\n{mismatches}"
    );
    let told = serde_json::json!({ "kind": INVALID_ARGUMENTS, "failures": mismatches.failures, "call": call.id.to_string() });
    let result = serde_json::json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": text }],
        "isError": true,
        "_meta": { "doorward/error": told },
    });
    Object::from_serde(&result).unwrap_or_default()
}

/// An error in the form that clients are told; `server` and `call` are empty where there is none.
pub fn refusal(error: CallError, server: &str, call: &str) -> Refusal {
    let (failure, status) = match error {
        CallError::Rpc(error) => return Refusal::plain(error),
        CallError::Gateway(failure) => (failure, None),
        CallError::Refused { failure, status } => (failure, Some(status)),
        CallError::Denied(decision) => {
            let error = policy::denial(&decision, Explain::Nothing, call);
            return Refusal::plain(error);
        }
        CallError::InvalidArguments(mismatches) => {
            let data = serde_json::json!({ "kind": INVALID_ARGUMENTS, "failures": mismatches.failures, "call": call });
            let error = RpcError::invalid_params(format!("{DO_NOT_MATCH}:\n{mismatches}"));
            return Refusal::plain(error.with_data(&data));
        }
        CallError::Limited(limited) => {
            let error = limited.error(call);
            return Refusal { error, status: Some(429), limited: Some(limited) };
        }
    };
    let Failure { kind, message, retryable, .. } = failure;
    let error = RpcError::gateway(kind, &message, server, retryable, call);
    Refusal { error, status, limited: None }
}
