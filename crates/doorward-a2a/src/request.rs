//! What a client asks for (spec 1.0 §3.1, §3.2).

use doorward_mcp::json::Value;

use crate::fields::Other;
use crate::message::Message;
use crate::push::PushConfig;
use crate::revision::Revision;
use crate::state::TaskState;
use crate::timestamp::Timestamp;

/// The operations, without their parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Send,
    Stream,
    GetTask,
    /// 1.0 only.
    ListTasks,
    CancelTask,
    Subscribe,
    CreatePush,
    GetPush,
    ListPush,
    DeletePush,
    ExtendedCard,
}

/// A request in either revision and binding.
#[derive(Debug, Clone)]
pub struct Request {
    /// 1.0 only: which of several agents behind one URL.
    pub tenant: Option<String>,
    /// An object. 1.0 has it for messages and cancellations only.
    pub metadata: Option<Value>,
    pub operation: Operation,
    pub other: Other,
}

/// An operation with its parameters.
#[derive(Debug, Clone)]
pub enum Operation {
    Send(Box<SendMessage>),
    Stream(Box<SendMessage>),
    GetTask(GetTask),
    ListTasks(ListTasks),
    CancelTask(TaskId),
    Subscribe(TaskId),
    CreatePush(Box<PushConfig>),
    GetPush(PushId),
    ListPush(ListPush),
    DeletePush(PushId),
    ExtendedCard,
}

/// A message to an agent.
#[derive(Debug, Clone)]
pub struct SendMessage {
    pub message: Message,
    pub configuration: Option<Configuration>,
}

/// How a client wants its answer (spec 1.0 §3.2.2).
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// Media types.
    pub accepted_output_modes: Vec<String>,
    pub push: Option<PushConfig>,
    /// See [`history`](crate::history).
    pub history_length: Option<u32>,
    /// Whether the answer may come before the task is over or interrupted. `None` is no.
    pub return_immediately: Option<bool>,
    pub other: Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskId {
    pub id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetTask {
    pub id: String,
    /// See [`history`](crate::history).
    pub history_length: Option<u32>,
}

/// Which tasks, and which part of them (spec 1.0 §3.1.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListTasks {
    pub context_id: Option<String>,
    /// `None` and `Unspecified` are any.
    pub status: Option<TaskState>,
    /// From 1 to 100; see [`ListTasks::page_size`](crate::list).
    pub page_size: Option<u32>,
    /// Opaque: made by whoever has answered with the page before.
    pub page_token: Option<String>,
    pub history_length: Option<u32>,
    /// Tasks whose status is of this time or later.
    pub status_timestamp_after: Option<Timestamp>,
    pub include_artifacts: bool,
}

/// A push configuration of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushId {
    pub task_id: String,
    /// 0.3 allows to leave it out: then the configuration of the task is meant, if it has one only.
    pub id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPush {
    pub task_id: String,
    pub page_size: Option<u32>,
    pub page_token: Option<String>,
}

impl Method {
    pub const ALL: [Self; 11] = [
        Self::Send,
        Self::Stream,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::Subscribe,
        Self::CreatePush,
        Self::GetPush,
        Self::ListPush,
        Self::DeletePush,
        Self::ExtendedCard,
    ];

    /// The method in JSON-RPC; `None` where a revision has none (spec 1.0 §5.3, 0.3 §3.5.6).
    pub const fn name(self, revision: Revision) -> Option<&'static str> {
        Some(match (revision, self) {
            (Revision::V1_0, Self::Send) => "SendMessage",
            (Revision::V1_0, Self::Stream) => "SendStreamingMessage",
            (Revision::V1_0, Self::GetTask) => "GetTask",
            (Revision::V1_0, Self::ListTasks) => "ListTasks",
            (Revision::V1_0, Self::CancelTask) => "CancelTask",
            (Revision::V1_0, Self::Subscribe) => "SubscribeToTask",
            (Revision::V1_0, Self::CreatePush) => "CreateTaskPushNotificationConfig",
            (Revision::V1_0, Self::GetPush) => "GetTaskPushNotificationConfig",
            (Revision::V1_0, Self::ListPush) => "ListTaskPushNotificationConfigs",
            (Revision::V1_0, Self::DeletePush) => "DeleteTaskPushNotificationConfig",
            (Revision::V1_0, Self::ExtendedCard) => "GetExtendedAgentCard",
            (Revision::V0_3, Self::Send) => "message/send",
            (Revision::V0_3, Self::Stream) => "message/stream",
            (Revision::V0_3, Self::GetTask) => "tasks/get",
            (Revision::V0_3, Self::ListTasks) => return None,
            (Revision::V0_3, Self::CancelTask) => "tasks/cancel",
            (Revision::V0_3, Self::Subscribe) => "tasks/resubscribe",
            (Revision::V0_3, Self::CreatePush) => "tasks/pushNotificationConfig/set",
            (Revision::V0_3, Self::GetPush) => "tasks/pushNotificationConfig/get",
            (Revision::V0_3, Self::ListPush) => "tasks/pushNotificationConfig/list",
            (Revision::V0_3, Self::DeletePush) => "tasks/pushNotificationConfig/delete",
            (Revision::V0_3, Self::ExtendedCard) => "agent/getAuthenticatedExtendedCard",
        })
    }

    pub fn of_name(name: &str, revision: Revision) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name(revision) == Some(name))
    }

    /// Whether it is answered with a stream of events.
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::Stream | Self::Subscribe)
    }

    /// Whether it is about push notification configurations, which an agent has to declare.
    pub const fn is_push(self) -> bool {
        matches!(self, Self::CreatePush | Self::GetPush | Self::ListPush | Self::DeletePush)
    }

    /// Whether a repetition changes nothing (spec 1.0 §3.3.1).
    pub const fn is_read_only(self) -> bool {
        !matches!(
            self,
            Self::Send | Self::Stream | Self::CancelTask | Self::CreatePush | Self::DeletePush
        )
    }

    /// Whether a revision has metadata of the request.
    pub(crate) const fn has_metadata(self, revision: Revision) -> bool {
        match (revision, self) {
            (_, Self::Send | Self::Stream | Self::CancelTask) => true,
            (Revision::V1_0, _) | (_, Self::ExtendedCard | Self::CreatePush) => false,
            (Revision::V0_3, _) => true,
        }
    }
}

impl Operation {
    pub const fn method(&self) -> Method {
        match self {
            Self::Send(_) => Method::Send,
            Self::Stream(_) => Method::Stream,
            Self::GetTask(_) => Method::GetTask,
            Self::ListTasks(_) => Method::ListTasks,
            Self::CancelTask(_) => Method::CancelTask,
            Self::Subscribe(_) => Method::Subscribe,
            Self::CreatePush(_) => Method::CreatePush,
            Self::GetPush(_) => Method::GetPush,
            Self::ListPush(_) => Method::ListPush,
            Self::DeletePush(_) => Method::DeletePush,
            Self::ExtendedCard => Method::ExtendedCard,
        }
    }

    /// The task it is about, if it names one.
    pub fn task_id(&self) -> Option<&str> {
        match self {
            Self::Send(send) | Self::Stream(send) => send.message.task_id.as_deref(),
            Self::GetTask(get) => Some(&get.id),
            Self::CancelTask(task) | Self::Subscribe(task) => Some(&task.id),
            Self::CreatePush(config) => config.task_id.as_deref(),
            Self::GetPush(push) | Self::DeletePush(push) => Some(&push.task_id),
            Self::ListPush(list) => Some(&list.task_id),
            Self::ListTasks(_) | Self::ExtendedCard => None,
        }
    }
}

impl Request {
    pub fn new(operation: Operation) -> Self {
        Self { tenant: None, metadata: None, operation, other: Other::default() }
    }

    pub const fn method(&self) -> Method {
        self.operation.method()
    }
}

impl SendMessage {
    pub fn new(message: Message) -> Self {
        Self { message, configuration: None }
    }

    /// Whether the answer may come before the task is over or interrupted.
    pub fn returns_immediately(&self) -> bool {
        self.configuration.as_ref().and_then(|c| c.return_immediately).unwrap_or_default()
    }

    pub fn history_length(&self) -> Option<u32> {
        self.configuration.as_ref()?.history_length
    }
}
