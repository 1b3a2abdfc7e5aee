//! Events as they happen, as server-sent events: calls that end, servers whose health changes, and what waits for a
//! decision.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use doorward_gateway::Gateway;
use doorward_observability::in_flight::{EndedCall, Watch};
use doorward_policy::Action;
use doorward_store::now;
use futures_util::stream;
use http::{HeaderValue, header};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::desk::{self, Desk, Who};
use crate::listener::caller;
use crate::problem::{Code, Problem};

/// Where they are.
pub const PATH: &str = "/admin/v1/events";
/// Streams at a time.
const MOST: usize = 64;
/// How often health is compared, and how often a quiet stream shows that it lives.
const LOOK: Duration = Duration::from_secs(1);
const KEEP_ALIVE: u32 = 15;

#[derive(Clone)]
struct Served {
    gateway: Arc<Gateway>,
    places: Arc<Semaphore>,
}

pub fn router(gateway: Arc<Gateway>) -> Router {
    let served = Served { gateway, places: Arc::new(Semaphore::new(MOST)) };
    Router::new().route(PATH, get(events)).with_state(served)
}

async fn events(State(served): State<Served>, request: Request) -> Response {
    let Some(caller) = caller(&request) else {
        return Problem::new(Code::Unauthenticated, "there is no caller").into_response();
    };
    let desk = Desk::of_caller(served.gateway.clone(), caller, None);
    // Who sees neither the gateway nor their own tenant sees no events.
    if let Err(problem) = desk.visible(Action::View, Vec::<()>::new(), |()| desk::gateway()) {
        return problem.into_response();
    }
    let Ok(place) = served.places.try_acquire_owned() else {
        let why = format!("{MOST} event streams are open, the maximum");
        return Problem::new(Code::TooManyRequests, why).into_response();
    };
    let stream = Stream::new(desk, served.gateway, place);
    let chunks = stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), stream))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Stream {
    desk: Desk,
    gateway: Arc<Gateway>,
    watch: Watch,
    looks: Interval,
    quiet: u32,
    health: BTreeMap<String, &'static str>,
    waiting: Vec<String>,
    decisions: Value,
    approvals: i64,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    fn new(desk: Desk, gateway: Arc<Gateway>, place: OwnedSemaphorePermit) -> Self {
        let watch = gateway.live.watch();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            desk,
            watch,
            looks,
            quiet: 0,
            health: BTreeMap::new(),
            waiting: vec![": events\n\n".into()],
            decisions: json!({ "proposals": [], "definitions": {}, "approvals": 0 }),
            approvals: 0,
            gateway,
            _place: place,
        }
    }

    /// The next piece of the stream; `None` at its end: the credential is no longer valid, or the gateway closes.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(waiting) = self.waiting.pop() {
                self.quiet = 0;
                return Some(waiting);
            }
            let Who::Caller(caller) = self.desk.who() else { return None };
            let lease = caller.lease.clone();
            tokio::select! {
                () = self.gateway.closing.cancelled() => return None,
                () = lease.token().cancelled() => return None,
                call = self.watch.calls.recv() => match call {
                    Ok(call) => self.tell_call(&call),
                    Err(RecvError::Lagged(missed)) => {
                        self.waiting.push(event("missed", &json!({ "calls": missed })));
                    }
                    Err(RecvError::Closed) => return None,
                },
                _ = self.looks.tick() => {
                    self.count_approvals().await;
                    self.look();
                }
            }
        }
    }

    fn tell_call(&mut self, call: &EndedCall) {
        let about = desk::of_tenant(call.tenant.as_deref());
        if self.desk.may(Action::View, &desk::gateway()) || self.desk.may(Action::View, &about) {
            let call = serde_json::to_value(call).unwrap_or_default();
            self.waiting.push(event("call", &call));
        }
    }

    fn look(&mut self) {
        let mut now = BTreeMap::new();
        for state in self.gateway.states() {
            if !self.desk.may(Action::View, &self.desk.server(&state.name)) {
                continue;
            }
            if self.health.get(&state.name) != Some(&state.state) {
                let text = json!({
                    "server": state.name,
                    "state": state.state,
                    "problem": state.problem,
                });
                self.waiting.push(event("health", &text));
            }
            now.insert(state.name, state.state);
        }
        for gone in self.health.keys().filter(|name| !now.contains_key(*name)) {
            self.waiting.push(event("health", &json!({ "server": gone, "state": "removed" })));
        }
        self.health = now;
        let decisions = self.decisions();
        if decisions != self.decisions {
            self.waiting.push(event("waiting", &decisions));
            self.decisions = decisions;
        }
        self.quiet += 1;
        if self.quiet >= KEEP_ALIVE && self.waiting.is_empty() {
            self.waiting.push(": \n\n".into());
        }
    }
}

impl Stream {
    /// What waits for somebody: proposals by name, and how many definitions of which servers.
    fn decisions(&self) -> Value {
        let sees = |name: &str| self.desk.may(Action::View, &self.desk.server(name));
        let served = self.gateway.life.served();
        let proposals = served.withheld.iter().filter(|it| it.state.is_open() && sees(&it.name));
        let proposals: Vec<_> =
            proposals.map(|it| json!({ "server": it.name, "state": it.state })).collect();
        let mut definitions = self.gateway.pins.withheld();
        definitions.retain(|name, _| sees(name));
        json!({ "proposals": proposals, "definitions": definitions, "approvals": self.approvals })
    }

    /// How many calls wait for approval; what cannot be counted stays as it was.
    async fn count_approvals(&mut self) {
        if !self.desk.may(Action::View, &desk::gateway()) {
            return;
        }
        if let Some(store) = self.desk.maybe_store()
            && let Ok(waiting) = store.waiting_approvals(now()).await
        {
            self.approvals = waiting;
        }
    }
}

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
