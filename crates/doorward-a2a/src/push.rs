//! Push notification configurations (spec 1.0 §4.3, 0.3 §6.8 to §6.10).

use doorward_mcp::json::Value;

use crate::error::Invalid;
use crate::fields::{Fields, LONGEST_ID, Other, Reading};
use crate::out::Out;
use crate::revision::Form;

/// Where an agent reports the changes of a task.
#[derive(Debug, Clone, Default)]
pub struct PushConfig {
    /// Set by the agent if the client sets none.
    pub id: Option<String>,
    /// The task; `None` within a message that creates one.
    pub task_id: Option<String>,
    pub url: String,
    /// A secret of the client, which the agent returns with each notification.
    pub token: Option<String>,
    pub authentication: Option<Authentication>,
    pub other: Other,
    /// Members that the protocol does not define of the object around it, in 0.3.
    pub outer: Other,
}

/// What an agent presents to the receiver of its notifications.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// HTTP schemes, such as `Bearer`. 1.0 has one; 0.3 several, of which 1.0 gets the first.
    pub schemes: Vec<String>,
    /// A secret.
    pub credentials: Option<String>,
    pub other: Other,
}

impl PushConfig {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// As it stands for itself: `TaskPushNotificationConfig` in both revisions.
    pub(crate) fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        Self::take(Fields::open(value, reading)?)
    }

    /// The same, with members that may also come from a path.
    pub(crate) fn take(mut fields: Fields) -> Result<Self, Invalid> {
        let mut config =
            match fields.form() {
                Form::V1 => return Self::take_inner(fields),
                Form::Kind | Form::Proto => fields
                    .inner("pushNotificationConfig", Self::read_inner)?
                    .ok_or_else(|| Invalid::at("pushNotificationConfig", "is required"))?,
            };
        config.task_id = fields.id("taskId")?;
        if fields.form() == Form::Proto
            && let Some(name) = fields.string("name")?
        {
            let (task_id, id) = split_name(&name).ok_or_else(|| {
                Invalid::at("name", "must be 'tasks/{id}/pushNotificationConfigs/{id}'")
            })?;
            for (own, named) in [(&mut config.task_id, task_id), (&mut config.id, id)] {
                if named.is_empty() {
                    continue;
                }
                if named.len() > LONGEST_ID {
                    return Err(Invalid::at(
                        "name",
                        format!("ids must have at most {LONGEST_ID} bytes"),
                    ));
                }
                if own.as_deref().is_some_and(|own| own != named) {
                    return Err(Invalid::at("name", "names another task or another configuration"));
                }
                *own = Some(named.to_owned());
            }
        }
        config.outer = fields.rest()?;
        Ok(config)
    }

    /// As it stands within the configuration of a message.
    pub(crate) fn read_inner(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        Self::take_inner(Fields::open(value, reading)?)
    }

    fn take_inner(mut fields: Fields) -> Result<Self, Invalid> {
        if fields.form() == Form::V1 {
            // A request has its tenant from elsewhere; in an answer it says nothing new.
            fields.id("tenant")?;
        }
        Ok(Self {
            id: fields.id("id")?,
            task_id: if fields.form() == Form::V1 { fields.id("taskId")? } else { None },
            url: fields.string("url")?.ok_or_else(|| Invalid::at("url", "is required"))?,
            token: fields.string("token")?,
            authentication: fields.inner("authentication", Authentication::read)?,
            other: fields.rest()?,
            outer: Other::default(),
        })
    }

    /// As it stands for itself. The tenant is of the request that creates it.
    pub(crate) fn write(&self, tenant: Option<&String>, out: &mut Out) {
        if out.form == Form::V1 {
            return self.write_inner(tenant, out);
        }
        out.object(|out| {
            if out.form == Form::Proto {
                let part = |id: &Option<String>| id.clone().unwrap_or_default();
                let name = format!(
                    "tasks/{}/pushNotificationConfigs/{}",
                    part(&self.task_id),
                    part(&self.id)
                );
                out.string("name", &name);
            } else {
                out.string("taskId", self.task_id.as_deref().unwrap_or_default());
            }
            out.member("pushNotificationConfig", |out| self.write_inner(None, out));
            out.other(&self.outer);
        });
    }

    pub(crate) fn write_inner(&self, tenant: Option<&String>, out: &mut Out) {
        out.object(|out| {
            if out.form == Form::V1 {
                out.optional("tenant", tenant);
            }
            out.optional("id", self.id.as_ref());
            if out.form == Form::V1 {
                out.optional("taskId", self.task_id.as_ref());
            }
            out.string("url", &self.url);
            out.optional("token", self.token.as_ref());
            if let Some(authentication) = &self.authentication {
                out.member("authentication", |out| authentication.write(out));
            }
            out.other(&self.other);
        });
    }
}

/// The ids in a name of 0.3's ProtoJSON.
fn split_name(name: &str) -> Option<(&str, &str)> {
    let (task, id) = name.strip_prefix("tasks/")?.split_once("/pushNotificationConfigs/")?;
    (!id.contains('/') && !task.contains('/')).then_some((task, id))
}

impl Authentication {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        let schemes = match reading.form {
            Form::V1 => fields.string("scheme")?.into_iter().collect(),
            Form::Kind | Form::Proto => fields.strings("schemes")?,
        };
        let credentials = fields.string("credentials")?;
        if schemes.is_empty() && reading.strict {
            let name = if reading.form == Form::V1 { "scheme" } else { "schemes" };
            return Err(Invalid::at(name, "is required"));
        }
        Ok(Self { schemes, credentials, other: fields.rest()? })
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            match out.form {
                Form::V1 => out.optional("scheme", self.schemes.first()),
                Form::Kind | Form::Proto => out.all_strings("schemes", &self.schemes),
            }
            out.optional("credentials", self.credentials.as_ref());
            out.other(&self.other);
        });
    }
}
