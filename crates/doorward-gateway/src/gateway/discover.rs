//! The capabilities that the gateway declares at a portal.

use std::collections::HashSet;
use std::sync::Arc;

use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Era, Object, Revision, RpcError, Value, capabilities, meta};
use futures_util::future::join_all;

use super::{Gateway, SERVER_PATIENCE};
use crate::call::{Call, CallError, Portal};
use doorward_upstream::Contact;

/// How long clients may cache the response.
const DISCOVER_TTL_MS: u64 = 60_000;

impl Gateway {
    /// The response to `server/discover` at a portal, in the form of 2026-07-28. It does not fail
    /// if one of several servers is down.
    pub async fn discover(&self, call: &Call) -> Result<Object, CallError> {
        let mut result = match &call.portal {
            Portal::Server(name) => {
                let server =
                    self.server(name).ok_or_else(|| RpcError::invalid_request("Unknown server"))?;
                let server = server.spoken_in(call.revision.era()).await;
                let contact = server.contact().await?;
                let (info, instructions) = self.pins.about(&server, &contact);
                let about = &contact.about;
                let is_same = |one: &Option<Value>, other: &Option<Value>| {
                    one.as_ref().map(Value::to_bytes) == other.as_ref().map(Value::to_bytes)
                };
                let is_whole = !server.is_pinned()
                    && is_same(&info, &about.info)
                    && is_same(&instructions, &about.instructions);
                match is_whole {
                    true => about_server(&contact),
                    false => about.with(info, instructions),
                }
            }
            Portal::Merged | Portal::Named(_) => {
                self.settle().await;
                let seen = self.servers_seen_by(call);
                let mut about = self.about_all(call.revision.era(), seen.as_ref()).await;
                let portal = self.portal(call.portal.name());
                if let Some(text) = portal.and_then(|portal| portal.settings.instructions.clone()) {
                    about.set("instructions", text.as_str());
                }
                about
            }
        };
        // Calls that are held are tasks, whatever the servers do.
        if self.may_hold()
            && let Some(capabilities) = result.object_mut("capabilities")
        {
            capabilities::put_tasks(capabilities);
        }
        result.set("resultType", "complete");
        result.set("supportedVersions", Value::from_serde(&[Revision::NEWEST.as_str()]));
        if CacheHints::read(&result).is_none() {
            CacheHints { ttl_ms: DISCOVER_TTL_MS, public: false }.put(&mut result);
        }
        Ok(result)
    }

    /// Whether policies, inspection or checks can hold calls for approval.
    fn may_hold(&self) -> bool {
        self.kept.store().is_some()
            && (self.policies().set.is_some()
                || self.checks.load().is_some()
                || self.settings().inspection.as_ref().is_some_and(|it| it.approval.is_some()))
    }

    async fn about_all(&self, era: Era, seen: Option<&HashSet<Arc<str>>>) -> Object {
        let servers = self.servers().into_iter();
        let servers = servers.filter(|server| seen.is_none_or(|seen| seen.contains(&server.name)));
        let servers = join_all(servers.map(|server| async move {
            let found = tokio::time::timeout(SERVER_PATIENCE, server.spoken_in(era)).await;
            found.unwrap_or(server)
        }))
        .await;
        let contacts: Vec<_> =
            servers.into_iter().filter_map(|server| Some((server.known()?, server))).collect();
        let mut declared = capabilities::merge(
            contacts.iter().map(|(contact, _)| contact.about.capabilities.clone()),
        );
        // The gateway itself announces servers that are added or removed.
        for group in ["tools", "prompts", "resources"] {
            if let Some(group) = declared.object_mut(group) {
                group.set("listChanged", Value::bool(true));
            }
        }
        let instructions: Vec<String> = contacts
            .iter()
            .filter_map(|(contact, server)| {
                let text = self.pins.about(server, contact).1?.as_str()?.into_owned();
                (!text.trim().is_empty()).then(|| format!("## {}\n\n{text}", server.name))
            })
            .collect();
        let mut result = Object::new();
        result.set("capabilities", declared);
        if !instructions.is_empty() {
            result.set("instructions", instructions.join("\n\n").as_str());
        }
        let mut about = Object::new();
        about.set(meta::SERVER_INFO, self.shared.info.clone());
        result.set("_meta", about);
        result
    }
}

fn about_server(contact: &Contact) -> Object {
    let about = &contact.about;
    if let Some(extra) = &about.extra {
        return extra.clone();
    }
    let mut result = Object::new();
    result.set("capabilities", about.capabilities.clone());
    if let Some(instructions) = &about.instructions {
        result.set("instructions", instructions.clone());
    }
    if let Some(info) = &about.info {
        let mut meta = Object::new();
        meta.set(meta::SERVER_INFO, info.clone());
        result.set("_meta", meta);
    }
    result
}
