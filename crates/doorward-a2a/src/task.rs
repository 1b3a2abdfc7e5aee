//! Tasks, their status and their artifacts (spec 1.0 §4.1, 0.3 §6.1).

use doorward_mcp::json::Value;

use crate::error::Invalid;
use crate::fields::{Fields, Other, Reading};
use crate::message::{Message, expect_kind};
use crate::out::Out;
use crate::part::Part;
use crate::revision::Form;
use crate::state::TaskState;
use crate::timestamp::Timestamp;

/// A unit of work of an agent.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: String,
    /// Required in 0.3.
    pub context_id: Option<String>,
    pub status: TaskStatus,
    /// `None` is not the same as none: a list of tasks leaves them out unless they are asked for.
    pub artifacts: Option<Vec<Artifact>>,
    pub history: Option<Vec<Message>>,
    /// An object.
    pub metadata: Option<Value>,
    pub other: Other,
}

/// What state a task is in, since when, and what the agent says about it.
#[derive(Debug, Clone, Default)]
pub struct TaskStatus {
    pub state: TaskState,
    pub message: Option<Message>,
    pub timestamp: Option<Timestamp>,
    pub other: Other,
}

/// What a task has produced.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub artifact_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub parts: Vec<Part>,
    /// An object.
    pub metadata: Option<Value>,
    /// URIs of extensions.
    pub extensions: Vec<String>,
    pub other: Other,
}

impl Task {
    pub fn new(id: impl Into<String>, context_id: impl Into<String>, state: TaskState) -> Self {
        Self {
            id: id.into(),
            context_id: Some(context_id.into()),
            status: TaskStatus { state, ..TaskStatus::default() },
            artifacts: None,
            history: None,
            metadata: None,
            other: Other::default(),
        }
    }

    pub(crate) fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        if reading.form == Form::Kind {
            expect_kind(&mut fields, "task")?;
        }
        Ok(Self {
            id: fields.required_id("id")?,
            context_id: fields.id("contextId")?,
            status: fields
                .inner("status", TaskStatus::read)?
                .ok_or_else(|| Invalid::at("status", "is required"))?,
            artifacts: fields.each("artifacts", Artifact::read)?,
            history: fields.each("history", Message::read)?,
            metadata: fields.object("metadata")?,
            other: fields.rest()?,
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.object(|out| {
            if out.form == Form::Kind {
                out.string("kind", "task");
            }
            out.string("id", &self.id);
            write_context(self.context_id.as_ref(), out);
            out.member("status", |out| self.status.write(out));
            if let Some(artifacts) = &self.artifacts {
                out.list("artifacts", artifacts, Artifact::write);
            }
            if let Some(history) = &self.history {
                out.list("history", history, Message::write);
            }
            out.optional_value("metadata", self.metadata.as_ref());
            out.other(&self.other);
        });
    }
}

/// 0.3 requires a context, which 1.0 does not.
pub(crate) fn write_context(context_id: Option<&String>, out: &mut Out) {
    match context_id {
        Some(id) => out.string("contextId", id),
        None if out.form == Form::Kind => out.string("contextId", ""),
        None => {}
    }
}

impl TaskStatus {
    pub(crate) fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        // ProtoJSON leaves the first name of an enum out.
        let state = fields.inner("state", |value, reading| TaskState::read(value, reading.form))?;
        let message = match reading.form {
            Form::Proto => fields.either(&["message", "update"])?,
            Form::V1 | Form::Kind => fields.value("message")?,
        };
        let message = message.map(|m| Message::read(&m, reading)).transpose();
        let timestamp = match fields.string("timestamp")? {
            None => None,
            Some(text) => match Timestamp::parse(&text) {
                None if reading.strict => {
                    return Err(Invalid::at(
                        "timestamp",
                        "must be a time such as 2025-10-28T10:30:00Z",
                    ));
                }
                read => read,
            },
        };
        Ok(Self {
            state: state.unwrap_or_default(),
            message: message.map_err(|e| e.within("message"))?,
            timestamp,
            other: fields.rest()?,
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.object(|out| {
            out.string("state", self.state.name(out.form));
            if let Some(message) = &self.message {
                out.member("message", |out| message.write(out));
            }
            if let Some(timestamp) = &self.timestamp {
                match out.form {
                    Form::Kind => out.string("timestamp", timestamp.as_str()),
                    Form::V1 | Form::Proto => out.string("timestamp", &timestamp.in_utc()),
                }
            }
            out.other(&self.other);
        });
    }
}

impl Artifact {
    pub fn new(artifact_id: impl Into<String>, parts: Vec<Part>) -> Self {
        Self {
            artifact_id: artifact_id.into(),
            name: None,
            description: None,
            parts,
            metadata: None,
            extensions: Vec::new(),
            other: Other::default(),
        }
    }

    pub(crate) fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        Ok(Self {
            artifact_id: fields.required_id("artifactId")?,
            name: fields.string("name")?,
            description: fields.string("description")?,
            parts: fields.each("parts", Part::read)?.unwrap_or_default(),
            metadata: fields.object("metadata")?,
            extensions: fields.strings("extensions")?,
            other: fields.rest()?,
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.object(|out| {
            out.string("artifactId", &self.artifact_id);
            out.optional("name", self.name.as_ref());
            out.optional("description", self.description.as_ref());
            out.list("parts", &self.parts, Part::write);
            out.optional_value("metadata", self.metadata.as_ref());
            out.strings("extensions", &self.extensions);
            out.other(&self.other);
        });
    }
}
