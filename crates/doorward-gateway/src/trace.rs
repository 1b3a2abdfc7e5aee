//! The trace of one call: the gateway's own span, one for each stage that took time, and one for the request to the
//! server (OpenTelemetry's semantic conventions for MCP and GenAI).

use std::time::Instant;

use doorward_mcp::Object;

use doorward_core::random::{STEP, scattered};
use doorward_observability::telemetry::context::{Context, TRACEPARENT};

pub mod spans;

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// The trace of a call in progress.
#[derive(Debug)]
pub struct Trace {
    trace: [u8; 16],
    /// The client's span.
    parent: Option<[u8; 8]>,
    /// The gateway's span, and that of the request to the server.
    span: [u8; 8],
    upstream: [u8; 8],
    ids: Ids,
    state: String,
    began: Instant,
    stages: Vec<(&'static str, Instant, Instant)>,
}

/// One random number; the span ids of a call are derived from it.
#[derive(Debug, Clone, Copy)]
struct Ids(u64);

impl Ids {
    /// The next id; never zero, which would be invalid.
    fn next(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(STEP);
        scattered(self.0).max(1).to_be_bytes()
    }
}

impl Trace {
    /// Begins a trace, or joins the client's, and propagates it to the server.
    pub fn begin(context: Option<Context>, params: &mut Object) -> Option<Box<Self>> {
        let state =
            params.object("_meta").and_then(|meta| Some(meta.string("tracestate")?.into_owned()));
        let mut random = [0; 24];
        getrandom::fill(&mut random).ok()?;
        let (id, seed) = random.split_at(16);
        let mut ids = Ids(u64::from_be_bytes(seed.try_into().ok()?));
        let trace = Self {
            trace: match context {
                Some(context) => context.trace,
                None => id.try_into().ok()?,
            },
            parent: context.map(|context| context.span),
            span: ids.next(),
            upstream: ids.next(),
            ids,
            state: state.unwrap_or_default(),
            began: Instant::now(),
            stages: Vec::with_capacity(10),
        };
        let onward = trace.onward();
        if let Some(meta) = params.object_mut("_meta") {
            meta.set(TRACEPARENT, onward.to_string().as_str());
        }
        Some(Box::new(trace))
    }

    /// The context that the server receives.
    pub fn onward(&self) -> Context {
        Context { trace: self.trace, span: self.upstream, sampled: true }
    }

    pub fn id(&self) -> [u8; 16] {
        self.trace
    }

    pub fn stage(&mut self, name: &'static str, began: Instant) {
        self.stages.push((name, began, Instant::now()));
    }
}
