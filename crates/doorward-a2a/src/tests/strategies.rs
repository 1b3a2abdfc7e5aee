//! Random values of the model.

use bytes::Bytes;
use doorward_mcp::json::Value;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::event::{ArtifactUpdate, StatusUpdate};
use crate::push::{Authentication, PushConfig};
use crate::request::{
    Configuration, GetTask, ListPush, ListTasks, Operation, PushId, Request, SendMessage, TaskId,
};
use crate::{
    Artifact, Content, Event, Message, Other, Part, Role, Task, TaskState, TaskStatus, Timestamp,
};

/// What all forms can say, or all that the model can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// What 0.3 and 1.0 can say in JSON-RPC.
    Revisions,
    /// What all three forms can say.
    Forms,
    All,
}

pub fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 :/%.?é\"-]{1,12}".prop_filter("no path", |id| id != "." && id != "..")
}

fn text() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n\u{7}é😀]{1,8}"
}

fn raw(json: impl Into<serde_json::Value>) -> Value {
    Value::Raw(Bytes::from(json.into().to_string()))
}

/// Any JSON, but for names that mean something.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        text().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn metadata() -> impl Strategy<Value = Option<Value>> {
    of(json().prop_map(|value| raw(serde_json::json!({ "k": value }))))
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        text().prop_map(|text| Content::Text(Value::text(&text))),
        vec(any::<u8>(), 0..9).prop_map(|bytes| {
            use base64::Engine;
            Content::Raw(Value::text(&base64::prelude::BASE64_STANDARD.encode(bytes)))
        }),
        text().prop_map(|text| Content::Url(Value::text(&format!("https://a/{text}")))),
        json().prop_map(|json| Content::Data(raw(json))),
    ]
}

pub fn part(range: Range) -> impl Strategy<Value = Part> {
    (content(), metadata(), of(text()), of(text())).prop_map(
        move |(content, metadata, name, media)| {
            let is_file = matches!(content, Content::Raw(_) | Content::Url(_));
            let mut part = Part::new(content);
            part.metadata = metadata;
            if is_file || range == Range::All {
                part.filename = name;
                part.media_type = media;
            }
            part
        },
    )
}

pub fn message(range: Range) -> impl Strategy<Value = Message> {
    let ids = (id(), of(id()), of(id()), any::<bool>());
    let rest = (vec(part(range), 1..3), metadata(), vec(text(), 0..2), vec(id(), 0..2));
    (ids, rest).prop_map(
        move |((id, context, task, user), (parts, metadata, extensions, references))| {
            let mut message = Message::new(id, if user { Role::User } else { Role::Agent }, parts);
            (message.context_id, message.task_id, message.metadata) = (context, task, metadata);
            message.extensions = extensions;
            message.reference_task_ids =
                if range == Range::Forms { Vec::new() } else { references };
            message
        },
    )
}

fn timestamp() -> impl Strategy<Value = Option<Timestamp>> {
    of((0..4_000_000_000_000_i64).prop_map(|millis| Timestamp::of_millis(millis).unwrap()))
}

fn state() -> impl Strategy<Value = TaskState> {
    (0..TaskState::ALL.len()).prop_map(|at| TaskState::ALL[at])
}

fn status(range: Range) -> impl Strategy<Value = TaskStatus> {
    (state(), of(message(range)), timestamp()).prop_map(|(state, message, timestamp)| TaskStatus {
        state,
        message,
        timestamp,
        other: Other::default(),
    })
}

fn artifact(range: Range) -> impl Strategy<Value = Artifact> {
    (id(), of(text()), of(text()), vec(part(range), 1..3), metadata(), vec(text(), 0..2)).prop_map(
        |(id, name, description, parts, metadata, extensions)| Artifact {
            name,
            description,
            metadata,
            extensions,
            ..Artifact::new(id, parts)
        },
    )
}

pub fn task(range: Range) -> impl Strategy<Value = Task> {
    let lists = (of(vec(artifact(range), 0..2)), of(vec(message(range), 0..2)));
    (id(), of(id()), status(range), lists, metadata()).prop_map(
        |(id, context_id, status, (artifacts, history), metadata)| Task {
            context_id,
            status,
            artifacts,
            history,
            metadata,
            ..Task::new(id, "", TaskState::Working)
        },
    )
}

pub fn event(range: Range) -> impl Strategy<Value = Event> {
    let status =
        (id(), id(), status(range), metadata()).prop_map(|(task_id, context, status, metadata)| {
            let (context_id, is_final) = (Some(context), status.state.is_terminal());
            let other = Other::default();
            Event::Status(
                StatusUpdate { task_id, context_id, status, is_final, metadata, other }.into(),
            )
        });
    let chunk = (any::<bool>(), any::<bool>(), metadata());
    let artifact =
        (id(), id(), artifact(range), chunk).prop_map(|(task_id, context, artifact, chunk)| {
            let ((append, last_chunk, metadata), other) = (chunk, Other::default());
            let context_id = Some(context);
            Event::Artifact(
                ArtifactUpdate {
                    task_id,
                    context_id,
                    artifact,
                    append,
                    last_chunk,
                    metadata,
                    other,
                }
                .into(),
            )
        });
    prop_oneof![
        task(range).prop_map(|task| Event::Task(task.into())),
        message(range).prop_map(|message| Event::Message(message.into())),
        status,
        artifact,
    ]
}

pub fn push() -> impl Strategy<Value = PushConfig> {
    let authentication = of((text(), of(text())).prop_map(|(scheme, credentials)| {
        Authentication { schemes: vec![scheme], credentials, other: Other::default() }
    }));
    // Of a name in 0.3's ProtoJSON ids are parts.
    let plain = "[a-z0-9-]{1,8}";
    (plain, plain, text(), of(text()), authentication).prop_map(
        |(id, task, url, token, authentication)| PushConfig {
            id: Some(id),
            task_id: Some(task),
            token,
            authentication,
            ..PushConfig::new(format!("https://{url}"))
        },
    )
}

fn configuration(range: Range) -> impl Strategy<Value = Configuration> {
    (vec(text(), 0..2), of(push()), of(0..9_u32), of(any::<bool>())).prop_map(
        move |(accepted_output_modes, push, history_length, return_immediately)| Configuration {
            accepted_output_modes,
            push: push.map(|push| PushConfig { task_id: None, ..push }),
            history_length: history_length.filter(|length| range != Range::Forms || *length > 0),
            return_immediately: return_immediately.or((range == Range::Forms).then_some(false)),
            other: Other::default(),
        },
    )
}

fn send(range: Range) -> impl Strategy<Value = Box<SendMessage>> {
    (message(range), of(configuration(range)))
        .prop_map(|(message, configuration)| Box::new(SendMessage { message, configuration }))
}

fn list() -> impl Strategy<Value = ListTasks> {
    let texts = (of(id()), of(id()));
    (texts, of(state()), of(1..=100_u32), of(0..9_u32), timestamp(), any::<bool>()).prop_map(
        |(
            (context_id, page_token),
            status,
            page_size,
            history_length,
            after,
            include_artifacts,
        )| ListTasks {
            context_id,
            status: status.filter(|status| *status != TaskState::Unspecified),
            page_size,
            page_token,
            history_length,
            status_timestamp_after: after,
            include_artifacts,
        },
    )
}

/// A request of 1.0 with all that it can say, or one that all revisions have.
pub fn request(range: Range) -> impl Strategy<Value = Request> {
    let push_id = || (id(), id()).prop_map(|(task_id, id)| PushId { task_id, id: Some(id) });
    let everywhere = prop_oneof![
        send(range).prop_map(Operation::Send),
        send(range).prop_map(Operation::Stream),
        (id(), of(1..9_u32))
            .prop_map(|(id, history_length)| Operation::GetTask(GetTask { id, history_length })),
        id().prop_map(|id| Operation::CancelTask(TaskId { id })),
        id().prop_map(|id| Operation::Subscribe(TaskId { id })),
        push().prop_map(|push| Operation::CreatePush(push.into())),
        push_id().prop_map(Operation::GetPush),
        push_id().prop_map(Operation::DeletePush),
        id().prop_map(|task_id| Operation::ListPush(ListPush {
            task_id,
            page_size: None,
            page_token: None
        })),
        Just(Operation::ExtendedCard),
    ];
    let operation = if range == Range::All {
        prop_oneof![9 => everywhere, 1 => list().prop_map(Operation::ListTasks)].boxed()
    } else {
        everywhere.boxed()
    };
    (operation, of(id()), metadata()).prop_map(move |(operation, tenant, metadata)| {
        let mut request = Request::new(operation);
        let is_send = matches!(request.operation, Operation::Send(_) | Operation::Stream(_));
        request.tenant = tenant.filter(|_| range == Range::All);
        request.metadata = metadata.filter(|_| is_send);
        request
    })
}
