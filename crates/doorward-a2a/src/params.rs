//! The parameters of operations as JSON.

use doorward_mcp::json::Value;

use crate::error::Invalid;
use crate::fields::{Fields, Reading};
use crate::message::Message;
use crate::out::Out;
use crate::push::PushConfig;
use crate::request::{
    Configuration, GetTask, ListPush, ListTasks, Method, Operation, PushId, Request, SendMessage,
    TaskId,
};
use crate::revision::Form;
use crate::state::TaskState;
use crate::timestamp::Timestamp;

/// Most tasks of a page (spec 1.0 §3.1.4).
pub(crate) const LARGEST_PAGE: u32 = 100;

/// Reads parameters: of JSON-RPC, of a body, or of a path and a query, whose names are those of 1.0.
pub(crate) fn read(method: Method, mut fields: Fields) -> Result<Request, Invalid> {
    let form = fields.form();
    let tenant = if form == Form::V1 { fields.id("tenant")? } else { None };
    if method == Method::CreatePush {
        let config = PushConfig::take(fields)?;
        if config.task_id.is_none() {
            return Err(Invalid::at("taskId", "is required"));
        }
        return Ok(Request { tenant, ..Request::new(Operation::CreatePush(config.into())) });
    }
    let metadata =
        if method.has_metadata(form.revision()) { fields.object("metadata")? } else { None };
    let operation = match method {
        Method::Send => Operation::Send(read_send(&mut fields)?.into()),
        Method::Stream => Operation::Stream(read_send(&mut fields)?.into()),
        Method::GetTask => Operation::GetTask(GetTask {
            id: fields.required_id("id")?,
            history_length: history_length(&mut fields)?,
        }),
        Method::ListTasks => Operation::ListTasks(read_list(&mut fields)?),
        Method::CancelTask => Operation::CancelTask(TaskId { id: fields.required_id("id")? }),
        Method::Subscribe => Operation::Subscribe(TaskId { id: fields.required_id("id")? }),
        Method::GetPush => Operation::GetPush(read_push_id(&mut fields, false)?),
        Method::DeletePush => Operation::DeletePush(read_push_id(&mut fields, true)?),
        Method::ListPush => Operation::ListPush(ListPush {
            task_id: fields.required_id(if form == Form::Kind { "id" } else { "taskId" })?,
            page_size: if form == Form::Kind { None } else { fields.count("pageSize")? },
            page_token: if form == Form::Kind { None } else { fields.string("pageToken")? },
        }),
        Method::ExtendedCard | Method::CreatePush => Operation::ExtendedCard,
    };
    Ok(Request { tenant, metadata, operation, other: fields.rest()? })
}

fn read_send(fields: &mut Fields) -> Result<SendMessage, Invalid> {
    let message = match fields.form() {
        Form::Proto => fields.either(&["message", "request"])?,
        Form::V1 | Form::Kind => fields.value("message")?,
    };
    let message = message.ok_or_else(|| Invalid::at("message", "is required"))?;
    let message = Message::read(&message, fields.reading).map_err(|e| e.within("message"))?;
    Ok(SendMessage { message, configuration: fields.inner("configuration", Configuration::read)? })
}

fn read_push_id(fields: &mut Fields, is_required: bool) -> Result<PushId, Invalid> {
    let (task, id) = push_names(fields.form());
    let is_required = is_required || fields.form() != Form::Kind;
    let task_id = fields.required_id(task)?;
    let id = if is_required { Some(fields.required_id(id)?) } else { fields.id(id)? };
    Ok(PushId { task_id, id })
}

/// The names of a task's id and of a configuration's.
fn push_names(form: Form) -> (&'static str, &'static str) {
    if form == Form::Kind { ("id", "pushNotificationConfigId") } else { ("taskId", "id") }
}

/// In 0.3's ProtoJSON a number that is zero cannot be told from none.
fn history_length(fields: &mut Fields) -> Result<Option<u32>, Invalid> {
    let length = fields.count("historyLength")?;
    Ok(length.filter(|length| *length > 0 || fields.form() != Form::Proto))
}

fn read_list(fields: &mut Fields) -> Result<ListTasks, Invalid> {
    let status = fields.inner("status", |value, reading: Reading| {
        // An empty one is none, as any string of ProtoJSON.
        match value.as_str().as_deref() {
            Some("") => Ok(TaskState::Unspecified),
            _ => TaskState::read(value, reading.form),
        }
    })?;
    let page_size = fields.count("pageSize")?;
    if page_size.is_some_and(|size| !(1..=LARGEST_PAGE).contains(&size)) {
        return Err(Invalid::at("pageSize", format!("must be between 1 and {LARGEST_PAGE}")));
    }
    let after = fields.string("statusTimestampAfter")?;
    let after = after.map(|text| {
        Timestamp::parse(&text).ok_or_else(|| {
            Invalid::at("statusTimestampAfter", "must be a time such as 2025-10-28T10:30:00Z")
        })
    });
    Ok(ListTasks {
        context_id: fields.id("contextId")?,
        status: status.filter(|status| *status != TaskState::Unspecified),
        page_size,
        page_token: fields.id("pageToken")?,
        history_length: fields.count("historyLength")?,
        status_timestamp_after: after.transpose()?,
        include_artifacts: fields.flag("includeArtifacts")?.unwrap_or_default(),
    })
}

impl Configuration {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        let push = match reading.form {
            Form::V1 => "taskPushNotificationConfig",
            Form::Kind => "pushNotificationConfig",
            Form::Proto => "pushNotification",
        };
        let mut configuration = Self {
            accepted_output_modes: fields.strings("acceptedOutputModes")?,
            push: fields.inner(push, PushConfig::read_inner)?,
            history_length: history_length(&mut fields)?,
            return_immediately: match reading.form {
                Form::V1 => fields.flag("returnImmediately")?,
                Form::Kind | Form::Proto => fields.flag("blocking")?.map(|blocking| !blocking),
            },
            other: fields.rest()?,
        };
        // ProtoJSON leaves `false` out. An empty object is what clients write who want nothing.
        if reading.form == Form::Proto
            && value.as_object().is_some_and(|object| !object.is_empty())
            && configuration.return_immediately.is_none()
        {
            configuration.return_immediately = Some(true);
        }
        Ok(configuration)
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            out.strings("acceptedOutputModes", &self.accepted_output_modes);
            if let Some(push) = &self.push {
                let name = match out.form {
                    Form::V1 => "taskPushNotificationConfig",
                    Form::Kind => "pushNotificationConfig",
                    Form::Proto => "pushNotification",
                };
                out.member(name, |out| push.write_inner(None, out));
            }
            out.optional_count("historyLength", self.history_length);
            match out.form {
                Form::V1 => out.optional_flag("returnImmediately", self.return_immediately),
                Form::Kind => {
                    out.optional_flag("blocking", self.return_immediately.map(|now| !now));
                }
                // Without it, the agent would not wait.
                Form::Proto => out.flag("blocking", !self.return_immediately.unwrap_or_default()),
            }
            out.other(&self.other);
        });
    }
}

/// Writes the parameters of JSON-RPC, or the body of a request with one.
pub(crate) fn write(request: &Request, out: &mut Out) {
    if let Operation::CreatePush(config) = &request.operation {
        return config.write(request.tenant.as_ref(), out);
    }
    out.object(|out| {
        if out.form == Form::V1 {
            out.optional("tenant", request.tenant.as_ref());
        }
        match &request.operation {
            Operation::Send(send) | Operation::Stream(send) => {
                out.member("message", |out| send.message.write(out));
                if let Some(configuration) = &send.configuration {
                    out.member("configuration", |out| configuration.write(out));
                }
            }
            Operation::GetTask(get) => {
                out.string("id", &get.id);
                out.optional_count("historyLength", get.history_length);
            }
            Operation::ListTasks(list) => write_list(list, out),
            Operation::CancelTask(task) | Operation::Subscribe(task) => out.string("id", &task.id),
            Operation::GetPush(push) | Operation::DeletePush(push) => {
                let (task, id) = push_names(out.form);
                out.string(task, &push.task_id);
                out.optional(id, push.id.as_ref());
            }
            Operation::ListPush(list) if out.form == Form::Kind => out.string("id", &list.task_id),
            Operation::ListPush(list) => {
                out.string("taskId", &list.task_id);
                out.optional_count("pageSize", list.page_size);
                out.optional("pageToken", list.page_token.as_ref());
            }
            Operation::CreatePush(_) | Operation::ExtendedCard => {}
        }
        if request.method().has_metadata(out.form.revision()) {
            out.optional_value("metadata", request.metadata.as_ref());
        }
        out.other(&request.other);
    });
}

fn write_list(list: &ListTasks, out: &mut Out) {
    out.optional("contextId", list.context_id.as_ref());
    if let Some(status) = list.status {
        out.string("status", status.name(out.form));
    }
    out.optional_count("pageSize", list.page_size);
    out.optional("pageToken", list.page_token.as_ref());
    out.optional_count("historyLength", list.history_length);
    if let Some(after) = &list.status_timestamp_after {
        out.string("statusTimestampAfter", &after.in_utc());
    }
    out.optional_flag("includeArtifacts", list.include_artifacts.then_some(true));
}
