//! Names in a merged catalogue: `server__tool`, `server+uri`, and the original names for a single server.
//!
//! A rewriting changes every name and URI, and no other byte.

use std::borrow::Cow;

use crate::json::{Object, Value};
use crate::method;

const NAME_SEPARATOR: &str = "__";
const URI_SEPARATOR: char = '+';

/// Whether a text is a valid server name: 1 to 64 letters, digits, `-` and `.`, starting with a letter. It
/// becomes part of tool names and the start of URI schemes (RFC 3986 section 3.1).
pub fn is_server_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// Makes a server name from any text: invalid characters become `-`.
pub fn server_name_from(text: &str) -> String {
    let mut name: String = text
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' })
        .take(64)
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 's');
        name.truncate(64);
    }
    name
}

/// The name of a tool or prompt in the merged catalogue.
pub fn qualified_name(server: &str, name: &str) -> String {
    format!("{server}{NAME_SEPARATOR}{name}")
}

/// Splits a merged name into server and name. Server names contain no `_`, so the first separator is the right
/// one.
pub fn split_name(name: &str) -> Option<(&str, &str)> {
    name.split_once(NAME_SEPARATOR)
}

pub fn qualified_uri(server: &str, uri: &str) -> String {
    format!("{server}{URI_SEPARATOR}{uri}")
}

/// Splits a merged URI into server and URI.
pub fn split_uri(uri: &str) -> Option<(&str, &str)> {
    uri.split_once(URI_SEPARATOR)
}

/// Rewrites names and URIs of one server for the merged catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Qualifier<'a> {
    pub server: &'a str,
}

impl Qualifier<'_> {
    fn name(&self, object: &mut Object, member: &str) -> bool {
        let Some(name) = object.string(member).map(|name| qualified_name(self.server, &name))
        else {
            return false;
        };
        object.set(member, name.as_str());
        true
    }

    fn uri(&self, object: &mut Object, member: &str) -> bool {
        let Some(uri) = object.string(member).map(|uri| qualified_uri(self.server, &uri)) else {
            return false;
        };
        object.set(member, uri.as_str());
        true
    }

    /// Rewrites an item of a list: a tool, prompt, resource or template.
    pub fn item(&self, list: &str, item: &mut Object) {
        match list {
            method::TOOLS_LIST => {
                self.name(item, "name");
                self.app_resource(item);
            }
            method::PROMPTS_LIST => {
                self.name(item, "name");
            }
            method::RESOURCES_LIST => {
                self.uri(item, "uri");
            }
            method::TEMPLATES_LIST => {
                self.uri(item, "uriTemplate");
            }
            _ => {}
        }
    }

    /// Rewrites the view of a tool (extension MCP Apps): `_meta.ui.resourceUri`, and the flat key for older hosts.
    fn app_resource(&self, tool: &mut Object) {
        let named = |meta: &Object| {
            meta.contains("ui/resourceUri")
                || meta.object("ui").is_some_and(|ui| ui.contains("resourceUri"))
        };
        if !tool.object("_meta").is_some_and(|meta| named(&meta)) {
            return;
        }
        let Some(meta) = tool.object_mut("_meta") else { return };
        self.uri(meta, "ui/resourceUri");
        if meta.contains("ui")
            && let Some(ui) = meta.object_mut("ui")
        {
            self.uri(ui, "resourceUri");
        }
    }

    /// Rewrites a complete result of `tools/call`, `prompts/get` or `resources/read`.
    pub fn result(&self, of: &str, result: &mut Object) {
        match of {
            method::TOOLS_CALL => {
                self.each(result, "content", |item| self.content(item));
            }
            method::PROMPTS_GET => self.each(result, "messages", |message| {
                let Some(content) = message.get("content") else { return false };
                if content.as_array().is_some() {
                    return self.each_changed(message, "content", |item| self.content(item));
                }
                let Some(mut content) = content.as_object().map(Cow::into_owned) else {
                    return false;
                };
                let changed = self.content(&mut content);
                if changed {
                    message.set("content", content);
                }
                changed
            }),
            method::RESOURCES_READ => {
                self.each(result, "contents", |item| self.uri(item, "uri"));
            }
            _ => {}
        }
    }

    /// Resource links and embedded resources; other content has no URIs.
    fn content(&self, content: &mut Object) -> bool {
        match content.string("type").as_deref() {
            Some("resource_link") => self.uri(content, "uri"),
            Some("resource") => {
                content.object_mut("resource").is_some_and(|resource| self.uri(resource, "uri"))
            }
            _ => false,
        }
    }

    fn each(&self, object: &mut Object, member: &str, change: impl FnMut(&mut Object) -> bool) {
        self.each_changed(object, member, change);
    }

    fn each_changed(
        &self,
        object: &mut Object,
        member: &str,
        mut change: impl FnMut(&mut Object) -> bool,
    ) -> bool {
        let Some(array) = object.get(member) else { return false };
        // Most results contain only text. A search in the bytes avoids parsing them.
        if let Value::Raw(text) = array
            && member == "content"
            && memchr::memmem::find(text, b"resource").is_none()
        {
            return false;
        }
        let Some(mut items) = array.as_array() else { return false };
        let mut changed = false;
        for item in &mut items {
            let Some(mut inner) = item.as_object().map(Cow::into_owned) else { continue };
            if change(&mut inner) {
                *item = Value::Object(inner);
                changed = true;
            }
        }
        if changed {
            object.set(member, Value::array(&items));
        }
        changed
    }

    /// Rewrites a notification about a resource.
    pub fn notification(&self, notification: &str, params: &mut Object) {
        if notification == method::RESOURCE_UPDATED {
            self.uri(params, "uri");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const Q: Qualifier<'static> = Qualifier { server: "fs" };

    fn object(text: &'static str) -> Object {
        Object::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn splitting_reverses_joining() {
        assert_eq!(split_name(&qualified_name("a.b-c", "x__y")), Some(("a.b-c", "x__y")));
        assert_eq!(split_uri(&qualified_uri("fs", "git+file:///a")), Some(("fs", "git+file:///a")));
        assert_eq!(split_name("plain"), None);
    }

    #[test]
    fn any_text_gives_a_server_name() {
        for (text, name) in [
            ("My Server", "My-Server"),
            ("everything_2", "everything-2"),
            ("7zip", "s7zip"),
            ("ж", "s-"),
        ] {
            assert_eq!(server_name_from(text), name);
            assert!(is_server_name(name));
        }
    }

    #[test]
    fn all_names_and_uris_are_rewritten_and_nothing_else() {
        for (of, before, after) in [
            (
                method::TOOLS_CALL,
                r#"{"content":[{"type":"text","text":"resource"},{"type":"resource_link","uri":"a:b","x":1.0},{"type":"resource","resource":{"uri":"a:c","text":""}}]}"#,
                r#"{"content":[{"type":"text","text":"resource"},{"type":"resource_link","uri":"fs+a:b","x":1.0},{"type":"resource","resource":{"uri":"fs+a:c","text":""}}]}"#,
            ),
            (
                method::PROMPTS_GET,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:c"}}},{"role":"user","content":{"type":"text"}}]}"#,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"fs+a:c"}}},{"role":"user","content":{"type":"text"}}]}"#,
            ),
            (
                method::RESOURCES_READ,
                r#"{"contents":[{"uri":"a:b"}],"ttlMs":1}"#,
                r#"{"contents":[{"uri":"fs+a:b"}],"ttlMs":1}"#,
            ),
        ] {
            let mut result = object(before);
            Q.result(of, &mut result);
            assert_eq!(result.to_bytes(), after);
        }
        let mut tool = object(r#"{"name":"t","_meta":{"ui":{"resourceUri":"ui://x","csp":{}}}}"#);
        Q.item(method::TOOLS_LIST, &mut tool);
        assert_eq!(
            tool.to_bytes(),
            r#"{"name":"fs__t","_meta":{"ui":{"resourceUri":"fs+ui://x","csp":{}}}}"#
        );
    }
}
