//! The pipeline of every call, whichever protocol it came by.
//!
//! [`STAGES`] is the list. A stage sees the call, may refuse, answer or change it, and may use the reply on its way
//! out. To add one, write its file and add its line at the right place.

mod accounting;
mod answers;
mod approval;
mod arguments;
pub mod cache;
mod cache_key;
pub mod cache_lookup;
pub mod checked;
mod checks;
mod coercion;
pub(crate) mod cut;
mod discovery;
mod dispatch;
mod flow;
mod inspection;
mod limits;
mod listening;
mod lists;
mod parameters;
mod policy;
mod record;
pub mod refusal;
mod results;
mod resumption;
mod routing;
mod stops;
mod uris;

pub use self::refusal::{INVALID_ARGUMENTS, Refusal, refusal};
pub use self::uris::check_uri;

use self::refusal::{DO_NOT_MATCH, denial};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Revision};
use tracing::Instrument;

use crate::call::{Call, CallError, Events, Failure, Reply};
use crate::gateway::Gateway;
use crate::stops::admit::failure;
use crate::trace;
use doorward_schema::Mismatches;

/// The stages in their order. A reply passes those it has reached in reverse.
const STAGES: &[&dyn Stage] = &[
    &record::Record,
    &cut::Cut,
    &stops::Stops,
    &discovery::Discovery,
    &uris::Uris,
    &routing::Routing,
    &resumption::Resumption,
    &parameters::Parameters,
    &coercion::Coercion,
    &inspection::Inspection,
    &flow::Flow,
    &policy::Policy,
    &limits::Limits,
    &approval::HeldTasks,
    &arguments::Arguments,
    &checks::Checks,
    &approval::Approval,
    &flow::Marks,
    &lists::Lists,
    &listening::Listening,
    &accounting::Accounting,
    &answers::Answers,
    &cache::Cache,
    &results::Results,
    &dispatch::Dispatch,
];

/// What a call passes once more, after a check has changed its arguments or has learnt what they contain.
const CHANGED: &[&dyn Stage] = &[&inspection::Inspection, &policy::Policy, &arguments::Arguments];

/// Takes a changed call through the stages that decide about its arguments, once.
async fn again(gateway: &Arc<Gateway>, call: &mut Call, events: &Events) -> Decision {
    for stage in CHANGED {
        if let Some(reply) = stage.enter(gateway, call, events).decision().await? {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

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

    async fn decision(self) -> Decision {
        match self {
            Self::Now(decision) => decision,
            Self::Later(decision) => decision.await,
        }
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

/// Takes a call through the stages to its reply. Every line that is logged meanwhile carries its id.
pub fn run(
    gateway: Arc<Gateway>,
    call: Box<Call>,
    events: Events,
) -> impl Future<Output = Result<Reply, Refusal>> + Send {
    let span = tracing::info_span!("call", call = %call.id);
    through_stages(gateway, call, events).instrument(span)
}

async fn through_stages(
    gateway: Arc<Gateway>,
    mut call: Box<Call>,
    events: Events,
) -> Result<Reply, Refusal> {
    trace::spans::begin(&gateway, &mut call);
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
    // Nothing that was begun before a stop is let through after it, unless the stop lets it end.
    let concerned = match &reply {
        Ok(Reply::Result(_) | Reply::Held(_)) => gateway.stop_since(&call, false),
        Ok(Reply::Listening(_)) => gateway.stop_since(&call, true),
        // The server was taken out of service before it was called.
        Err(CallError::Gateway(why)) if why.kind == Kind::Closing => {
            gateway.stop_since(&call, true)
        }
        Err(_) => None,
    };
    if let Some(stop) = concerned {
        reply = Err(failure(&stop).into());
    }
    for stage in STAGES[..reached].iter().rev() {
        if let Some(settling) = stage.settle(&mut call, &mut reply) {
            settling.await;
        }
        stage.leave(&gateway, &mut call, &mut reply);
    }
    trace::spans::end(&gateway, &mut call, &reply);
    // A model can mend what its client shows it (spec 2025-11-25 server/tools, error handling).
    if let Err(CallError::InvalidArguments(mismatches)) = &reply
        && call.revision >= Revision::V2025_11_25
    {
        return Ok(Reply::Result(invalid_arguments(&call, mismatches)));
    }
    reply.map_err(|error| {
        if let CallError::Denied(decision) = &error {
            let (call, explain) = (call.id.to_string(), gateway.explains());
            return Refusal::plain(denial(decision, explain, &call));
        }
        let server = call.route.as_ref().map_or("", |route| &*route.server.name);
        refusal(error, server, &call.id.to_string())
    })
}

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
