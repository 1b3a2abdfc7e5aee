//! Tasks as they are stored: sealed, for their creator alone.

use bytes::Bytes;
use doorward_a2a::request::Method;
use doorward_a2a::timestamp::Timestamp;
use doorward_a2a::{Part, Reply, Revision, Task, TaskState, TaskStatus};
use doorward_mcp::json::{Limits, Names};
use doorward_store::{AgentTask, AgentTaskState, now, sha256_hex};
use serde::{Deserialize, Serialize};

use super::Door;
use super::fail::{Fail, unavailable};
use super::result::said;

/// How long a task is stored after its last change, in seconds.
pub const KEPT: i64 = 24 * 60 * 60;
/// How long a task counts as worked on without a sign of life, in seconds.
pub const LEASE: i64 = 6;
/// The longest task that is stored, sealed, in bytes.
const LONGEST: usize = 1 << 20;

/// How deep the content of a result is within a task.
const AROUND: usize = 16;

const LOST: &str = "The gateway that made this call has ended. The tool may have been executed";
const UNREADABLE: &str = "What this task contains cannot be read: the gateway was started without the 'state_key' that it was stored with";
const TOO_LONG: &str = "doorward/not_stored";

/// How a task goes on that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Next {
    /// Its client chooses a tool.
    Choice,
    /// Its client answers what is asked for.
    Input {
        /// The parameters of the call, and the names of its tool.
        params: String,
        told: String,
        shown: String,
        /// What was asked for, and the state that is sent back with the answers.
        requests: String,
        state: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "t")]
    task: String,
    #[serde(rename = "n")]
    next: Option<Next>,
}

/// A task, and what the store has of it.
#[derive(Debug, Clone)]
pub struct Kept {
    pub row: AgentTask,
    pub task: Task,
    pub next: Option<Next>,
}

pub fn context_hash(context: &str) -> String {
    sha256_hex(context.as_bytes())
}

fn purpose(id: &str) -> String {
    format!("a2a-task:{id}")
}

pub fn stored_state(state: TaskState) -> Option<AgentTaskState> {
    Some(match state {
        TaskState::Working => AgentTaskState::Working,
        TaskState::InputRequired => AgentTaskState::Input,
        TaskState::AuthRequired => AgentTaskState::Auth,
        TaskState::Completed => AgentTaskState::Completed,
        TaskState::Failed => AgentTaskState::Failed,
        TaskState::Rejected => AgentTaskState::Rejected,
        TaskState::Canceled => AgentTaskState::Canceled,
        TaskState::Submitted | TaskState::Unspecified => return None,
    })
}

fn failed(task: &mut Task, why: &str, millis: i64) {
    if let Some(before) = task.status.message.take() {
        task.history.get_or_insert_default().push(before);
    }
    let mut message = said(vec![Part::text(why)]);
    message.task_id = Some(task.id.clone());
    message.context_id.clone_from(&task.context_id);
    task.status = TaskStatus {
        state: TaskState::Failed,
        message: Some(message),
        timestamp: Timestamp::of_millis(millis),
        ..TaskStatus::default()
    };
}

impl Door {
    /// A task as a row. One that is too long is stored without what it has produced, and says so.
    pub fn row(&self, task: &Task, next: Option<&Next>, version: i64) -> AgentTask {
        let content = self.seal(task, next);
        let content = match content.len() > LONGEST {
            false => content,
            true => {
                let mut short = task.clone();
                short.artifacts = None;
                short.history = None;
                if let Some(message) = &mut short.status.message {
                    message.parts = vec![Part::text("This message was too long to be stored")];
                }
                let mut metadata = short
                    .metadata
                    .as_ref()
                    .and_then(|it| it.as_object().map(std::borrow::Cow::into_owned))
                    .unwrap_or_default();
                metadata.set(TOO_LONG, true_value());
                short.metadata = Some(metadata.into());
                self.seal(&short, next)
            }
        };
        let timestamp = task.status.timestamp.as_ref().map(Timestamp::nanos).unwrap_or_default();
        let state = stored_state(task.status.state).unwrap_or(AgentTaskState::Failed);
        let works = state == AgentTaskState::Working;
        AgentTask {
            id: task.id.clone(),
            owner: self.owner.clone(),
            portal: self.visit.portal.name().to_owned(),
            context: context_hash(task.context_id.as_deref().unwrap_or_default()),
            state,
            version,
            updated: i64::try_from(timestamp / 1_000_000).unwrap_or_default(),
            expires: now() + KEPT,
            lease: if works { now() + LEASE } else { 0 },
            content,
        }
    }

    fn seal(&self, task: &Task, next: Option<&Next>) -> String {
        let text = Reply::Task(Box::new(task.clone())).to_http(Revision::V1_0);
        let text = String::from_utf8_lossy(&text).into_owned();
        let content = Content { task: text, next: next.cloned() };
        let principal = &self.visit.caller.principal.id;
        self.visit.gateway.shared.sealer.seal(&content, principal, &purpose(&task.id), None)
    }

    /// A row as a task.
    pub fn open(&self, row: AgentTask) -> Kept {
        let principal = &self.visit.caller.principal.id;
        let opened: Option<Content> =
            self.visit.gateway.shared.sealer.open(&row.content, principal, &purpose(&row.id)).ok();
        let read = opened.and_then(|content| {
            // It was written here around what was bounded when it came in.
            let depth = self.visit.gateway.shared.limits.json_depth + AROUND;
            let limits = Limits { depth, names: Names::StrictEnvelope };
            let text = Bytes::from(content.task);
            match Reply::read_http(Method::GetTask, &text, Revision::V1_0, limits) {
                Ok(Reply::Task(task)) => Some((*task, content.next)),
                _ => None,
            }
        });
        let Some((mut task, next)) = read else {
            let mut task = Task::new(row.id.clone(), row.id.clone(), TaskState::Failed);
            failed(&mut task, UNREADABLE, row.updated);
            return Kept { row, task, next: None };
        };
        if row.state == AgentTaskState::Lost {
            failed(&mut task, LOST, row.updated);
            return Kept { row, task, next: None };
        }
        Kept { row, task, next }
    }

    /// A task of the caller at this portal.
    pub async fn kept(&self, id: &str) -> Result<Kept, Fail> {
        let (owner, portal) = (&self.owner, self.visit.portal.name());
        let row = self
            .store
            .agent_task(id, owner, portal, now())
            .await
            .map_err(|error| unavailable(&error))?;
        let row = row.ok_or_else(doorward_a2a::Error::task_not_found)?;
        Ok(self.open(row))
    }
}

fn true_value() -> doorward_mcp::Value {
    doorward_mcp::Value::bool(true)
}
