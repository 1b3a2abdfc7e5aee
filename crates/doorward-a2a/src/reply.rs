//! What an operation is answered with, other than a stream (spec 1.0 §3.1).

use bytes::Bytes;
use doorward_mcp::json::{Limits, Value, scan_object};

use crate::card::AgentCard;
use crate::error::{Error, Invalid};
use crate::event::Event;
use crate::fields::{Fields, Other, Reading, list};
use crate::message::Message;
use crate::out::Out;
use crate::push::PushConfig;
use crate::request::Method;
use crate::revision::{Binding, Form, Revision};
use crate::task::Task;

/// A result.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Of a message: the task that it has begun or continued, or a message.
    SentTask(Box<Task>),
    SentMessage(Box<Message>),
    /// Of GetTask and CancelTask.
    Task(Box<Task>),
    Tasks(TaskPage),
    Push(Box<PushConfig>),
    PushList(PushPage),
    Deleted,
    Card(Box<AgentCard>),
}

/// Some tasks of a list. 1.0 only.
#[derive(Debug, Clone, Default)]
pub struct TaskPage {
    pub tasks: Vec<Task>,
    /// Empty on the last page, and always present.
    pub next_page_token: String,
    pub page_size: u32,
    pub total_size: u32,
    pub other: Other,
}

/// The push configurations of a task.
#[derive(Debug, Clone, Default)]
pub struct PushPage {
    pub configs: Vec<PushConfig>,
    /// 0.3 over JSON-RPC has no pages.
    pub next_page_token: Option<String>,
    pub other: Other,
}

impl Reply {
    /// Reads the body of an agent's HTTP response in the HTTP+JSON binding.
    ///
    /// # Errors
    /// `InvalidAgentResponse`, for it is not what the method is answered with.
    pub fn read_http(
        method: Method,
        body: &Bytes,
        revision: Revision,
        limits: Limits,
    ) -> Result<Self, Error> {
        if method == Method::DeletePush {
            return Ok(Self::Deleted);
        }
        let form = Form::of(revision, Binding::HttpJson);
        let object = scan_object(body, limits).map_err(|fault| Invalid::new(fault.to_string()));
        let read = object.and_then(|object| {
            Self::read(method, &Value::Object(object), Reading { form, strict: false })
        });
        read.map_err(|invalid| invalid.of_agent())
    }

    /// The body of an HTTP response in the HTTP+JSON binding, whose status is 200.
    pub fn to_http(&self, revision: Revision) -> Bytes {
        Out::of(Form::of(revision, Binding::HttpJson), |out| self.write(out))
    }

    pub(crate) fn read(method: Method, value: &Value, reading: Reading) -> Result<Self, Invalid> {
        Ok(match method {
            Method::Send | Method::Stream => match Event::read_value(value, reading)? {
                Event::Task(task) => Self::SentTask(task),
                Event::Message(message) => Self::SentMessage(message),
                Event::Status(_) | Event::Artifact(_) => {
                    return Err(Invalid::new("must be a task or a message"));
                }
            },
            Method::GetTask | Method::CancelTask | Method::Subscribe => {
                Self::Task(Task::read(value, reading)?.into())
            }
            Method::ListTasks => Self::Tasks(TaskPage::read(value, reading)?),
            Method::CreatePush | Method::GetPush => {
                Self::Push(PushConfig::read(value, reading)?.into())
            }
            Method::ListPush => Self::PushList(PushPage::read(value, reading)?),
            Method::DeletePush => Self::Deleted,
            Method::ExtendedCard => Self::Card(AgentCard::read_value(value)?.into()),
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        match self {
            Self::SentTask(task) if out.form == Form::Kind => task.write(out),
            Self::SentTask(task) => out.object(|out| out.member("task", |out| task.write(out))),
            Self::SentMessage(message) if out.form == Form::Kind => message.write(out),
            Self::SentMessage(message) => {
                out.object(|out| out.member("message", |out| message.write(out)));
            }
            Self::Task(task) => task.write(out),
            Self::Tasks(page) => page.write(out),
            Self::Push(config) => config.write(None, out),
            Self::PushList(page) => page.write(out),
            Self::Deleted if out.form == Form::Kind => out.raw(b"null"),
            Self::Deleted => out.object(|_| {}),
            Self::Card(card) => card.write(out),
        }
    }
}

impl TaskPage {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        Ok(Self {
            tasks: fields.each("tasks", Task::read)?.unwrap_or_default(),
            next_page_token: fields.string("nextPageToken")?.unwrap_or_default(),
            page_size: fields.count("pageSize")?.unwrap_or_default(),
            total_size: fields.count("totalSize")?.unwrap_or_default(),
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            out.list("tasks", &self.tasks, Task::write);
            out.string("nextPageToken", &self.next_page_token);
            out.count("pageSize", self.page_size.into());
            out.count("totalSize", self.total_size.into());
            out.other(&self.other);
        });
    }
}

impl PushPage {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        if reading.form == Form::Kind {
            let read =
                |(at, config)| PushConfig::read(config, reading).map_err(|e: Invalid| e.item(at));
            let configs = list(value)?.iter().enumerate().map(read).collect::<Result<_, _>>()?;
            return Ok(Self { configs, ..Self::default() });
        }
        let mut fields = Fields::open(value, reading)?;
        Ok(Self {
            configs: fields.each("configs", PushConfig::read)?.unwrap_or_default(),
            next_page_token: fields.string("nextPageToken")?,
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out) {
        let write = |config: &PushConfig, out: &mut Out| config.write(None, out);
        if out.form == Form::Kind {
            return out.array(&self.configs, write);
        }
        out.object(|out| {
            out.list("configs", &self.configs, write);
            out.optional("nextPageToken", self.next_page_token.as_ref());
            out.other(&self.other);
        });
    }
}
