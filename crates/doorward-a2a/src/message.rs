//! Messages (spec 1.0 §4.1.4, 0.3 §6.4).

use doorward_mcp::json::Value;

use crate::error::Invalid;
use crate::fields::{Fields, Other, Reading};
use crate::out::Out;
use crate::part::Part;
use crate::revision::Form;

/// Who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    User,
    Agent,
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
pub struct Message {
    pub message_id: String,
    pub context_id: Option<String>,
    pub task_id: Option<String>,
    pub role: Role,
    pub parts: Vec<Part>,
    /// An object.
    pub metadata: Option<Value>,
    /// URIs of extensions.
    pub extensions: Vec<String>,
    /// 0.3 over HTTP+JSON cannot say it.
    pub reference_task_ids: Vec<String>,
    pub other: Other,
}

impl Message {
    pub fn new(message_id: impl Into<String>, role: Role, parts: Vec<Part>) -> Self {
        Self {
            message_id: message_id.into(),
            context_id: None,
            task_id: None,
            role,
            parts,
            metadata: None,
            extensions: Vec::new(),
            reference_task_ids: Vec::new(),
            other: Other::default(),
        }
    }

    pub(crate) fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        if reading.form == Form::Kind {
            expect_kind(&mut fields, "message")?;
        }
        let parts = match reading.form {
            Form::Proto => fields.each("content", Part::read)?,
            Form::V1 | Form::Kind => fields.each("parts", Part::read)?,
        };
        let parts = parts.unwrap_or_default();
        if parts.is_empty() && reading.strict {
            let name = if reading.form == Form::Proto { "content" } else { "parts" };
            return Err(Invalid::at(name, "at least one part is required"));
        }
        let role = match fields.value("role")? {
            Some(role) => Role::read(&role, reading).map_err(|e| e.within("role"))?,
            None if reading.strict => return Err(Invalid::at("role", "is required")),
            None => Role::Agent,
        };
        Ok(Self {
            message_id: fields.required_id("messageId")?,
            context_id: fields.id("contextId")?,
            task_id: fields.id("taskId")?,
            role,
            parts,
            metadata: fields.object("metadata")?,
            extensions: fields.strings("extensions")?,
            reference_task_ids: match reading.form {
                Form::Proto => Vec::new(),
                Form::V1 | Form::Kind => fields.strings("referenceTaskIds")?,
            },
            other: fields.rest()?,
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.object(|out| {
            if out.form == Form::Kind {
                out.string("kind", "message");
            }
            out.string("messageId", &self.message_id);
            out.optional("contextId", self.context_id.as_ref());
            out.optional("taskId", self.task_id.as_ref());
            out.string("role", self.role.name(out.form));
            let parts = if out.form == Form::Proto { "content" } else { "parts" };
            out.list(parts, &self.parts, Part::write);
            out.optional_value("metadata", self.metadata.as_ref());
            out.strings("extensions", &self.extensions);
            if out.form != Form::Proto {
                out.strings("referenceTaskIds", &self.reference_task_ids);
            }
            out.other(&self.other);
        });
    }
}

impl Role {
    const fn name(self, form: Form) -> &'static str {
        match (form, self) {
            (Form::Kind, Self::User) => "user",
            (Form::Kind, Self::Agent) => "agent",
            (_, Self::User) => "ROLE_USER",
            (_, Self::Agent) => "ROLE_AGENT",
        }
    }

    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let [user, agent] = [Self::User, Self::Agent].map(|role| role.name(reading.form));
        match value.as_str().as_deref() {
            Some(name) if name == user => Ok(Self::User),
            Some(name) if name == agent => Ok(Self::Agent),
            Some("ROLE_UNSPECIFIED") if !reading.strict => Ok(Self::Agent),
            None if reading.form.is_proto() && value.as_u64() == Some(1) => Ok(Self::User),
            None if reading.form.is_proto() && value.as_u64() == Some(2) => Ok(Self::Agent),
            _ => Err(Invalid::new(format!("must be '{user}' or '{agent}'"))),
        }
    }
}

/// Takes the member `kind`: it may be missing, and must not be another.
pub(crate) fn expect_kind(fields: &mut Fields, kind: &str) -> Result<(), Invalid> {
    match fields.string("kind")? {
        Some(given) if given != kind => Err(Invalid::at("kind", format!("must be '{kind}'"))),
        _ => Ok(()),
    }
}
