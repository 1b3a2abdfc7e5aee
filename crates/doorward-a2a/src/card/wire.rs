//! Cards as JSON.

use doorward_mcp::Object;
use doorward_mcp::json::Value;

use super::security::{
    each, from_0_3, requirement_from_0_3, requirement_to_0_3, to_0_3, to_both, to_proto,
};
use super::{AgentCard, Capabilities, Extension, Interface, Skill};
use crate::error::Invalid;
use crate::fields::{Fields, Other, Reading};
use crate::out::Out;
use crate::revision::{Binding, Form, Revision};

impl AgentCard {
    pub(crate) fn read_value(value: &Value) -> Result<Self, Invalid> {
        let object = value.as_object().ok_or_else(|| Invalid::new("must be an object"))?;
        let is_v1 =
            object.contains("supportedInterfaces") || object.contains("supported_interfaces");
        let form = if is_v1 { Form::V1 } else { Form::Kind };
        let mut fields = Fields::open(value, Reading { form, strict: false })?;
        let mut card = Self {
            name: fields.string("name")?.ok_or_else(|| Invalid::at("name", "is required"))?,
            description: fields.text("description")?,
            version: fields.text("version")?,
            provider: fields.object("provider")?,
            documentation_url: fields.string("documentationUrl")?,
            icon_url: fields.string("iconUrl")?,
            capabilities: fields.inner("capabilities", Capabilities::read)?.unwrap_or_default(),
            default_input_modes: fields.strings("defaultInputModes")?,
            default_output_modes: fields.strings("defaultOutputModes")?,
            skills: fields.each("skills", Skill::read)?.unwrap_or_default(),
            signatures: fields.list("signatures")?.unwrap_or_default(),
            security_schemes: fields.object("securitySchemes")?,
            ..Self::default()
        };
        let extended = fields.flag("supportsAuthenticatedExtendedCard")?;
        let old = read_old_interfaces(&mut fields)?;
        let old_security = fields.list("security")?.unwrap_or_default();
        if is_v1 {
            // The members of 0.3 say the same to others.
            card.interfaces =
                fields.each("supportedInterfaces", Interface::read)?.unwrap_or_default();
            card.security = fields.list("securityRequirements")?.unwrap_or_default();
            card.security_schemes = card.security_schemes.map(|all| each(&all, one_form));
        } else {
            card.interfaces = old;
            card.security = old_security.iter().map(requirement_from_0_3).collect();
            card.security_schemes = card.security_schemes.map(|all| each(&all, from_0_3));
            card.capabilities.extended_card = extended;
        }
        if card.interfaces.is_empty() {
            let name = if is_v1 { "supportedInterfaces" } else { "url" };
            return Err(Invalid::at(name, "is required"));
        }
        card.other = fields.rest()?;
        Ok(card)
    }

    pub(crate) fn write(&self, out: &mut Out) {
        match out.form {
            Form::V1 => self.write_v1(out, false),
            Form::Kind | Form::Proto => out.object(|out| {
                self.write_common(out, false);
                self.write_old_interfaces(out);
                out.optional_flag(
                    "supportsAuthenticatedExtendedCard",
                    self.capabilities.extended_card,
                );
                let is_kind = out.form == Form::Kind;
                let scheme = |scheme: &Object| {
                    if is_kind { to_0_3(scheme) } else { to_proto(scheme, false) }
                };
                self.write_schemes(scheme, out);
                write_old_security(&self.security, out);
                out.other(&self.other);
            }),
        }
    }

    /// With `both`, the members of 0.3 stand beside.
    pub(super) fn write_v1(&self, out: &mut Out, both: bool) {
        out.object(|out| {
            self.write_common(out, both);
            out.list("supportedInterfaces", &self.interfaces, Interface::write);
            self.write_schemes(
                |scheme| if both { to_both(scheme) } else { to_proto(scheme, true) },
                out,
            );
            write_security(&self.security, out);
            if both {
                self.write_old_interfaces(out);
                if self.capabilities.extended_card == Some(true) {
                    out.flag("supportsAuthenticatedExtendedCard", true);
                }
                write_old_security(&self.security, out);
            }
            out.other(&self.other);
        });
    }

    fn write_common(&self, out: &mut Out, both: bool) {
        out.string("name", &self.name);
        out.string("description", &self.description);
        out.string("version", &self.version);
        out.optional_value("provider", self.provider.as_ref());
        out.optional("documentationUrl", self.documentation_url.as_ref());
        out.optional("iconUrl", self.icon_url.as_ref());
        out.member("capabilities", |out| self.capabilities.write(out));
        out.all_strings("defaultInputModes", &self.default_input_modes);
        out.all_strings("defaultOutputModes", &self.default_output_modes);
        out.list("skills", &self.skills, |skill, out| skill.write(out, both));
        if !self.signatures.is_empty() {
            out.list("signatures", &self.signatures, |one, out| out.raw(&one.to_bytes()));
        }
    }

    fn write_schemes(&self, translate: impl Fn(&Object) -> Option<Value>, out: &mut Out) {
        if let Some(schemes) = &self.security_schemes {
            out.value("securitySchemes", &each(schemes, translate));
        }
    }

    /// The interfaces of 0.3: the first is the card's own URL.
    fn write_old_interfaces(&self, out: &mut Out) {
        let mut old = self.interfaces.iter().filter(|i| i.revision() == Some(Revision::V0_3));
        let Some(first) = old.next() else { return };
        // Older clients compare all three numbers.
        let version = if first.version == "0.3" { "0.3.0" } else { &first.version };
        out.string("protocolVersion", version);
        out.string("url", &first.url);
        out.string("preferredTransport", &first.binding);
        let others: Vec<&Interface> = old.collect();
        if !others.is_empty() {
            out.list("additionalInterfaces", &others, |interface, out| {
                out.object(|out| {
                    out.string("url", &interface.url);
                    out.string("transport", &interface.binding);
                    if out.form != Form::V1 {
                        out.other(&interface.other);
                    }
                });
            });
        }
    }
}

/// A scheme of a card of both revisions, as that of 1.0 alone.
fn one_form(scheme: &Object) -> Option<Value> {
    let both = to_proto(scheme, true);
    let has_type = scheme.string("type").is_some();
    if has_type { both } else { Some(scheme.clone().into()) }
}

fn read_old_interfaces(fields: &mut Fields) -> Result<Vec<Interface>, Invalid> {
    let url = fields.string("url")?;
    let transport = fields.string("preferredTransport")?;
    let version = fields.string("protocolVersion")?;
    let version = version.unwrap_or_else(|| Revision::V0_3.as_str().to_owned());
    let additional = fields.each("additionalInterfaces", |value, reading| {
        let mut fields = Fields::open(value, reading)?;
        Ok(Interface {
            url: fields.text("url")?,
            binding: fields.text("transport")?,
            version: String::new(),
            tenant: None,
            other: fields.rest()?,
        })
    })?;
    let Some(url) = url else { return Ok(Vec::new()) };
    let binding = transport.unwrap_or_else(|| Binding::JsonRpc.as_str().to_owned());
    let first =
        Interface { url, binding, version: version.clone(), tenant: None, other: Other::default() };
    let mut all = vec![first];
    for interface in additional.unwrap_or_default() {
        // Many cards repeat the first.
        if interface.url != all[0].url || interface.binding != all[0].binding {
            all.push(Interface { version: version.clone(), ..interface });
        }
    }
    Ok(all)
}

fn write_security(security: &[Value], out: &mut Out) {
    if !security.is_empty() {
        out.list("securityRequirements", security, |one, out| out.raw(&one.to_bytes()));
    }
}

fn write_old_security(security: &[Value], out: &mut Out) {
    if !security.is_empty() {
        let form = out.form;
        out.list("security", security, |one, out| match form {
            Form::Proto => out.raw(&one.to_bytes()),
            Form::V1 | Form::Kind => out.raw(&requirement_to_0_3(one).to_bytes()),
        });
    }
}

impl Interface {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        Ok(Self {
            url: fields.text("url")?,
            binding: fields.text("protocolBinding")?,
            version: fields.string("protocolVersion")?.unwrap_or_else(|| "1.0".to_owned()),
            tenant: fields.string("tenant")?,
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            out.string("url", &self.url);
            out.string("protocolBinding", &self.binding);
            out.string("protocolVersion", &self.version);
            out.optional("tenant", self.tenant.as_ref());
            out.other(&self.other);
        });
    }
}

impl Capabilities {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        Ok(Self {
            streaming: fields.flag("streaming")?,
            push_notifications: fields.flag("pushNotifications")?,
            extended_card: match reading.form {
                Form::V1 => fields.flag("extendedAgentCard")?,
                Form::Kind | Form::Proto => None,
            },
            extensions: fields.each("extensions", Extension::read)?.unwrap_or_default(),
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.object(|out| {
            out.optional_flag("streaming", self.streaming);
            out.optional_flag("pushNotifications", self.push_notifications);
            if out.form == Form::V1 {
                out.optional_flag("extendedAgentCard", self.extended_card);
            }
            if !self.extensions.is_empty() {
                out.list("extensions", &self.extensions, |one, out| out.raw(&one.value.to_bytes()));
            }
            out.other(&self.other);
        });
    }
}

impl Extension {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        let uri = fields.text("uri")?;
        Ok(Self {
            uri,
            required: fields.flag("required")?.unwrap_or_default(),
            value: value.clone(),
        })
    }
}

impl Skill {
    fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        let security = fields.list("security")?.unwrap_or_default();
        Ok(Self {
            id: fields.required_id("id")?,
            name: fields.text("name")?,
            description: fields.text("description")?,
            tags: fields.strings("tags")?,
            examples: fields.strings("examples")?,
            input_modes: fields.strings("inputModes")?,
            output_modes: fields.strings("outputModes")?,
            security: match reading.form {
                Form::V1 => fields.list("securityRequirements")?.unwrap_or_default(),
                Form::Kind | Form::Proto => security.iter().map(requirement_from_0_3).collect(),
            },
            other: fields.rest()?,
        })
    }

    fn write(&self, out: &mut Out, both: bool) {
        out.object(|out| {
            out.string("id", &self.id);
            out.string("name", &self.name);
            out.string("description", &self.description);
            out.all_strings("tags", &self.tags);
            out.strings("examples", &self.examples);
            out.strings("inputModes", &self.input_modes);
            out.strings("outputModes", &self.output_modes);
            if out.form == Form::V1 {
                write_security(&self.security, out);
            }
            if both || out.form != Form::V1 {
                write_old_security(&self.security, out);
            }
            out.other(&self.other);
        });
    }
}
