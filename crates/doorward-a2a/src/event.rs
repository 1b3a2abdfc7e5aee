//! What a stream and a push notification carry (spec 1.0 §3.2.3, §4.2; 0.3 §7.2).

use bytes::Bytes;
use doorward_mcp::json::{Limits, Value, scan_object};

use crate::error::Invalid;
use crate::fields::{Fields, Other, Reading};
use crate::message::{Message, expect_kind};
use crate::out::Out;
use crate::revision::{Binding, Form, Revision};
use crate::task::{Artifact, Task, TaskStatus, write_context};

/// One item of a stream.
#[derive(Debug, Clone)]
pub enum Event {
    Task(Box<Task>),
    Message(Box<Message>),
    Status(Box<StatusUpdate>),
    Artifact(Box<ArtifactUpdate>),
}

/// A task has another status.
#[derive(Debug, Clone)]
pub struct StatusUpdate {
    pub task_id: String,
    /// Required in both revisions.
    pub context_id: Option<String>,
    pub status: TaskStatus,
    /// 0.3 only: the stream ends with this event. Of an event of 1.0, whether its state is terminal; a door that ends a
    /// stream at an interrupted state sets it.
    pub is_final: bool,
    /// An object.
    pub metadata: Option<Value>,
    pub other: Other,
}

/// A task has another artifact, or more of one.
#[derive(Debug, Clone)]
pub struct ArtifactUpdate {
    pub task_id: String,
    /// Required in both revisions.
    pub context_id: Option<String>,
    pub artifact: Artifact,
    /// The parts follow those of the artifact with the same id.
    pub append: bool,
    pub last_chunk: bool,
    /// An object.
    pub metadata: Option<Value>,
    pub other: Other,
}

impl Event {
    /// Reads an event of an agent: the data of an SSE event over HTTP+JSON, or the body of a push notification.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn read(
        text: &Bytes,
        revision: Revision,
        binding: Binding,
        limits: Limits,
    ) -> Result<Self, Invalid> {
        let object = scan_object(text, limits).map_err(|fault| Invalid::new(fault.to_string()))?;
        let form = Form::of(revision, binding);
        Self::read_value(&Value::Object(object), Reading { form, strict: false })
    }

    pub(crate) fn read_value(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        if reading.form == Form::Kind {
            return Self::read_kind(value, reading);
        }
        let mut fields = Fields::open(value, reading)?;
        let task = fields.inner("task", Task::read)?.map(|task| Self::Task(task.into()));
        let message = match reading.form {
            Form::Proto => fields.either(&["message", "msg"])?,
            Form::V1 | Form::Kind => fields.value("message")?,
        };
        let message = message.map(|m| Message::read(&m, reading)).transpose();
        let message = message.map_err(|e| e.within("message"))?.map(|m| Self::Message(m.into()));
        let status = fields.inner("statusUpdate", StatusUpdate::read)?;
        let status = status.map(|update| Self::Status(update.into()));
        let artifact = fields.inner("artifactUpdate", ArtifactUpdate::read)?;
        let artifact = artifact.map(|update| Self::Artifact(update.into()));
        let mut given = [task, message, status, artifact].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(event), None) => Ok(event),
            _ => Err(Invalid::new(
                "must have exactly one of 'task', 'message', 'statusUpdate' and 'artifactUpdate'",
            )),
        }
    }

    fn read_kind(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let object = value.as_object().ok_or_else(|| Invalid::new("must be an object"))?;
        match object.string("kind").as_deref() {
            Some("task") => Task::read(value, reading).map(|task| Self::Task(task.into())),
            Some("message") => Message::read(value, reading).map(|m| Self::Message(m.into())),
            Some("status-update") => {
                StatusUpdate::read(value, reading).map(|u| Self::Status(u.into()))
            }
            Some("artifact-update") => {
                ArtifactUpdate::read(value, reading).map(|u| Self::Artifact(u.into()))
            }
            _ => Err(Invalid::at(
                "kind",
                "must be 'task', 'message', 'status-update' or 'artifact-update'",
            )),
        }
    }

    /// The data of an SSE event over HTTP+JSON, or the body of a push notification. For JSON-RPC, see
    /// [`rpc::write_event`](crate::rpc::write_event).
    pub fn to_bytes(&self, revision: Revision, binding: Binding) -> Bytes {
        Out::of(Form::of(revision, binding), |out| self.write(out))
    }

    /// The body of a push notification: 1.0 sends what a stream sends (spec 1.0 §4.3.3); 0.3 sends the task, in the form
    /// with `kind` (0.3 §9.5), and so gets the event in this form.
    pub fn to_notification(&self, revision: Revision) -> Bytes {
        self.to_bytes(revision, Binding::JsonRpc)
    }

    pub(crate) fn write(&self, out: &mut Out) {
        let write_inner = |out: &mut Out| match self {
            Self::Task(task) => task.write(out),
            Self::Message(message) => message.write(out),
            Self::Status(update) => update.write(out),
            Self::Artifact(update) => update.write(out),
        };
        let name = match self {
            _ if out.form == Form::Kind => return write_inner(out),
            Self::Task(_) => "task",
            Self::Message(_) => "message",
            Self::Status(_) => "statusUpdate",
            Self::Artifact(_) => "artifactUpdate",
        };
        out.object(|out| out.member(name, write_inner));
    }
}

impl StatusUpdate {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        if reading.form == Form::Kind {
            expect_kind(&mut fields, "status-update")?;
        }
        let status = fields
            .inner("status", TaskStatus::read)?
            .ok_or_else(|| Invalid::at("status", "is required"))?;
        Ok(Self {
            task_id: fields.required_id("taskId")?,
            context_id: fields.id("contextId")?,
            is_final: match reading.form {
                Form::V1 => status.state.is_terminal(),
                Form::Kind | Form::Proto => fields.flag("final")?.unwrap_or_default(),
            },
            status,
            metadata: fields.object("metadata")?,
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            if out.form == Form::Kind {
                out.string("kind", "status-update");
            }
            out.string("taskId", &self.task_id);
            write_context(self.context_id.as_ref(), out);
            out.member("status", |out| self.status.write(out));
            if out.form != Form::V1 {
                out.flag("final", self.is_final);
            }
            out.optional_value("metadata", self.metadata.as_ref());
            out.other(&self.other);
        });
    }
}

impl ArtifactUpdate {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        if reading.form == Form::Kind {
            expect_kind(&mut fields, "artifact-update")?;
        }
        Ok(Self {
            task_id: fields.required_id("taskId")?,
            context_id: fields.id("contextId")?,
            artifact: fields
                .inner("artifact", Artifact::read)?
                .ok_or_else(|| Invalid::at("artifact", "is required"))?,
            append: fields.flag("append")?.unwrap_or_default(),
            last_chunk: fields.flag("lastChunk")?.unwrap_or_default(),
            metadata: fields.object("metadata")?,
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            if out.form == Form::Kind {
                out.string("kind", "artifact-update");
            }
            out.string("taskId", &self.task_id);
            write_context(self.context_id.as_ref(), out);
            out.member("artifact", |out| self.artifact.write(out));
            out.optional_flag("append", self.append.then_some(true));
            out.optional_flag("lastChunk", self.last_chunk.then_some(true));
            out.optional_value("metadata", self.metadata.as_ref());
            out.other(&self.other);
        });
    }
}
