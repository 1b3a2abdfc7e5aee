//! Tasks of handshake-era servers that are stored for their clients, or whose results are awaited.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_mcp::error::Kind;
use doorward_mcp::tasks::{self, Support};
use doorward_mcp::{Id, Object, RpcError, capabilities, message, method};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::asked::Asked;
use super::exchange::Exchange;
use super::questions::Question;
use super::session::Session;
use doorward_core::Failure;
use doorward_core::share::Bounds;
use doorward_identity::identity::Principal;

/// Whether a call is made as a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsTask {
    Never,
    /// The client supports tasks, and receives it.
    PassedOn,
    /// The tool runs only as a task, which the client does not support: the gateway waits for its
    /// result.
    WaitedFor,
}

impl AsTask {
    /// `server` are the server's capabilities.
    pub fn of(server: &Object, asked: &Asked<'_>) -> Self {
        let support = asked.tool.as_ref().map_or(Support::Forbidden, |tool| tool.task);
        if asked.method != method::TOOLS_CALL || !capabilities::has_tasks(server) {
            return Self::Never;
        }
        match support {
            Support::Forbidden => Self::Never,
            _ if capabilities::has_tasks(&asked.client.capabilities) => Self::PassedOn,
            Support::Required => Self::WaitedFor,
            Support::Optional => Self::Never,
        }
    }
}

/// The principal, server and tool of a call.
#[derive(Debug, Clone)]
pub struct CallOf {
    pub server: Arc<str>,
    pub tool: Option<Box<str>>,
    pub caller: Option<Arc<Principal>>,
}

impl CallOf {
    pub fn new(server: &Arc<str>, asked: &Asked<'_>) -> Self {
        let name = (asked.method == method::TOOLS_CALL).then(|| asked.params.string("name"));
        let tool = name.flatten().map(|name| (*name).into());
        Self { server: server.clone(), tool, caller: asked.caller.cloned() }
    }
}

/// A task whose result is awaited. Dropping it cancels the task at the server.
#[derive(Debug)]
pub struct Errand {
    session: Arc<Session>,
    task: Box<str>,
    open: bool,
}

impl Errand {
    pub fn new(session: &Arc<Session>, task: &Object) -> Result<Self, Failure> {
        let task = id_of(task)?;
        Ok(Self { session: session.clone(), task, open: true })
    }

    pub fn task(&self) -> &str {
        &self.task
    }

    pub fn done(mut self) {
        self.open = false;
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if self.open {
            let id = Id::Number(self.session.next_id());
            let text = message::request(&id, method::TASKS_CANCEL, &tasks::named(&self.task));
            self.session.clone().post_in_background(text);
        }
    }
}

fn id_of(task: &Object) -> Result<Box<str>, Failure> {
    task.string("taskId").map(Box::from).ok_or_else(|| {
        Failure::new(Kind::InvalidMessage, "The server announced a task without an id")
    })
}

/// All stored tasks of a server.
#[derive(Debug, Default)]
pub struct Held(pub(super) Mutex<HashMap<u64, Arc<Task>>>);

#[derive(Debug)]
pub struct Task {
    pub id: Box<str>,
    pub owner: Box<str>,
    pub call: CallOf,
    pub session: Arc<Session>,
    pub until: Instant,
    /// The open request for the result, over which the server also sends its requests for input.
    pub result: tokio::sync::Mutex<Option<Open>>,
}

#[derive(Debug)]
pub struct Open {
    pub exchange: Exchange,
    pub questions: Vec<Question>,
    pub outcome: Option<Result<Object, RpcError>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.session.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Held {
    /// Drops tasks that have expired, or whose session has ended.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.0.lock().retain(|_, task| task.until > now && task.session.is_open());
    }

    /// Cancels tasks at their server, and drops them.
    pub fn end_calls(&self, are_stopped: impl Fn(&CallOf) -> bool) {
        self.0.lock().retain(|_, task| {
            let ends = are_stopped(&task.call);
            if ends {
                drop(Errand { session: task.session.clone(), task: task.id.clone(), open: true });
            }
            !ends
        });
    }

    pub fn clear(&self) {
        self.0.lock().clear();
    }

    pub fn add(&self, task: Task, limit: Bounds) -> Result<u64, Failure> {
        self.sweep();
        let place = getrandom::u64()
            .map_err(|error| Failure::new(Kind::Overloaded, "No randomness").because(error))?;
        let mut held = self.0.lock();
        let own = held.values().filter(|other| other.owner == task.owner).count();
        if held.len() >= limit.whole || own >= limit.of(&task.owner) {
            let most = limit.of(&task.owner);
            let message = format!("The limit of {most} tasks of this server is reached");
            return Err(Failure::new(Kind::Overloaded, message));
        }
        held.insert(place, Arc::new(task));
        Ok(place)
    }
}
