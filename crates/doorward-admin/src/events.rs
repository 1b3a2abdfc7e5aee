//! Events as they happen, as server-sent events: calls that end, servers whose health changes, and what waits for a
//! decision.
//!
//! A client that reads slowly, or more calls than anybody can follow, make a stream a sample: `missed` says how many calls
//! it left out. A client that comes back is told since when it knows nothing (`resumed`).

use std::collections::{BTreeMap, HashMap, VecDeque};
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
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::desk::{self, Desk, Who};
use crate::problem::{Code, Problem};
use crate::served::caller;

/// Where they are.
pub const PATH: &str = "/admin/v1/events";
/// Streams at a time, in total and of one administrator.
const MOST: usize = 64;
const MOST_OF_CALLER: usize = 8;
/// Calls that a stream has in a second; the others are counted.
const CALLS: u32 = 50;
/// Tenants whose visibility is remembered for a second.
const TENANTS: usize = 1_000;
/// After how many milliseconds a client that lost its stream comes back.
const RETRY: u32 = 2_000;
/// How often health is compared, and how often a quiet stream shows that it lives.
const LOOK: Duration = Duration::from_secs(1);
const KEEP_ALIVE: u32 = 15;

#[derive(Clone)]
struct Served {
    gateway: Arc<Gateway>,
    places: Arc<Semaphore>,
    open: Open,
}

/// How many streams each administrator has open.
type Open = Arc<Mutex<HashMap<Arc<str>, usize>>>;

/// A place among the streams, of all and of one administrator.
struct Place {
    open: Open,
    who: Arc<str>,
    _place: OwnedSemaphorePermit,
}

impl Place {
    fn take(served: &Served, who: &Arc<str>) -> Result<Self, Problem> {
        let full = |most: usize, whose: &str| {
            let why = format!("{most} event streams {whose} are open, the maximum");
            Problem::new(Code::TooManyRequests, why)
        };
        let place = served.places.clone().try_acquire_owned().map_err(|_| full(MOST, "of all"))?;
        let mut open = served.open.lock();
        let count = open.entry(who.clone()).or_default();
        if *count >= MOST_OF_CALLER {
            return Err(full(MOST_OF_CALLER, "of yours"));
        }
        *count += 1;
        Ok(Self { open: served.open.clone(), who: who.clone(), _place: place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

pub fn router(gateway: Arc<Gateway>) -> Router {
    let places = Arc::new(Semaphore::new(MOST));
    let served = Served { gateway, places, open: Open::default() };
    Router::new().route(PATH, get(events)).with_state(served)
}

async fn events(State(served): State<Served>, request: Request) -> Response {
    let Some(caller) = caller(&request) else {
        return Problem::new(Code::Unauthenticated, "there is no caller").into_response();
    };
    let who = caller.principal.id.clone();
    let desk = Desk::of_caller(served.gateway.clone(), caller, None);
    // Who sees neither the gateway nor their own tenant sees no events.
    if let Err(problem) = desk.visible(Action::View, Vec::<()>::new(), |()| desk::gateway()) {
        return problem.into_response();
    }
    let place = match Place::take(&served, &who) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let last = last.and_then(|id| id.parse::<i64>().ok());
    let stream = Stream::new(desk, served.gateway, place, last);
    let chunks = stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), stream))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Stream {
    desk: Desk,
    gateway: Arc<Gateway>,
    watch: Watch,
    looks: Interval,
    quiet: u32,
    health: BTreeMap<String, &'static str>,
    waiting: VecDeque<String>,
    decisions: Value,
    approvals: i64,
    requests: i64,
    /// Calls of this second, and those left out since the last `missed`.
    calls: u32,
    missed: u64,
    /// Whether calls of a tenant are visible, as of this second.
    visible: HashMap<Option<String>, bool>,
    _place: Place,
}

impl Stream {
    /// `last` is when the client last had an event, if it had a stream before.
    fn new(desk: Desk, gateway: Arc<Gateway>, place: Place, last: Option<i64>) -> Self {
        let watch = gateway.live.watch();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = VecDeque::from([format!(": events\nretry: {RETRY}\n\n")]);
        waiting.extend(last.map(|since| event("resumed", &json!({ "since_ms": since }))));
        Self {
            desk,
            watch,
            looks,
            quiet: 0,
            health: BTreeMap::new(),
            waiting,
            decisions: json!({ "proposals": [], "definitions": {}, "approvals": 0, "requests": 0 }),
            approvals: 0,
            requests: 0,
            calls: 0,
            missed: 0,
            visible: HashMap::new(),
            gateway,
            _place: place,
        }
    }

    /// The next piece of the stream; `None` at its end: the credential is no longer valid, or the gateway closes.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(waiting) = self.waiting.pop_front() {
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
                    Err(RecvError::Lagged(missed)) => self.missed += missed,
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
        if !self.sees(call.tenant.as_deref()) {
            return;
        }
        if self.calls >= CALLS {
            self.missed += 1;
            return;
        }
        self.calls += 1;
        let call = serde_json::to_value(call).unwrap_or_default();
        self.waiting.push_back(event("call", &call));
    }

    /// Whether calls of a tenant are visible. Policies are asked once a second, however many calls there are.
    fn sees(&mut self, tenant: Option<&str>) -> bool {
        let tenant = tenant.map(str::to_owned);
        if let Some(sees) = self.visible.get(&tenant) {
            return *sees;
        }
        let about = desk::of_tenant(tenant.as_deref());
        let sees =
            self.desk.may(Action::View, &desk::gateway()) || self.desk.may(Action::View, &about);
        if self.visible.len() < TENANTS {
            self.visible.insert(tenant, sees);
        }
        sees
    }

    fn look(&mut self) {
        self.calls = 0;
        self.visible.clear();
        match std::mem::take(&mut self.missed) {
            0 => {}
            missed => self.waiting.push_back(event("missed", &json!({ "calls": missed }))),
        }
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
                self.waiting.push_back(event("health", &text));
            }
            now.insert(state.name, state.state);
        }
        for gone in self.health.keys().filter(|name| !now.contains_key(*name)) {
            self.waiting.push_back(event("health", &json!({ "server": gone, "state": "removed" })));
        }
        self.health = now;
        let decisions = self.decisions();
        if decisions != self.decisions {
            self.waiting.push_back(event("waiting", &decisions));
            self.decisions = decisions;
        }
        self.quiet += 1;
        if self.quiet >= KEEP_ALIVE && self.waiting.is_empty() {
            self.waiting.push_back(": \n\n".into());
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
        json!({
            "proposals": proposals,
            "definitions": definitions,
            "approvals": self.approvals,
            "requests": self.requests,
        })
    }

    /// How many calls wait for approval, and how many requests for a decision; what cannot be counted stays as it was.
    async fn count_approvals(&mut self) {
        if !self.desk.may(Action::View, &desk::gateway()) {
            return;
        }
        let Some(store) = self.desk.maybe_store() else { return };
        if let Ok(waiting) = store.waiting_approvals(now()).await {
            self.approvals = waiting;
        }
        if let Ok(waiting) = store.waiting_requests(now()).await {
            self.requests = waiting;
        }
    }
}

/// An event; its ID is the time in milliseconds since 1970.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\nid: {}\ndata: {data}\n\n", Timestamp::now().as_millisecond())
}
