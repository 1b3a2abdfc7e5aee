//! The scopes of a credential: those of an API key, and those of a token.

use std::collections::BTreeSet;

use doorward_policy::{Action, Target, TargetKind};
use doorward_store::Scopes;

use doorward_core::Portal;
use doorward_core::pattern::matches;

/// Whether a key's scopes cover this.
pub fn in_scope(scopes: &Scopes, portal: &Portal, action: Action, target: &Target) -> bool {
    let listed = |list: &[String], name: &str| {
        list.is_empty() || list.iter().any(|pattern| matches(pattern, name))
    };
    if action.is_administrative() {
        return scopes.admin || scopes.administer;
    }
    if !scopes.portals.is_empty() && !scopes.portals.iter().any(|one| *one == portal.name()) {
        return false;
    }
    let server = if target.kind == TargetKind::Portal { None } else { Some(&target.server) };
    if server.is_some_and(|server| !listed(&scopes.servers, server)) {
        return false;
    }
    if target.kind == TargetKind::Tool {
        let good = !(scopes.read_only && target.write);
        return good && listed(&scopes.tools, &target.id());
    }
    // A key restricted to tools covers nothing else, except listing their server.
    scopes.tools.is_empty()
        || (target.kind == TargetKind::Server
            && scopes.tools.iter().any(|tool| {
                tool.split('/').next().is_some_and(|server| matches(server, &target.server))
            }))
        || target.kind == TargetKind::Portal
}

/// Whether a token has the required scopes. A scope implies those below it: `files` suffices where
/// `files:read` is required (spec 2026-07-28 basic/authorization, scope hierarchies).
pub fn has_scopes(granted: &BTreeSet<String>, needed: &BTreeSet<String>) -> bool {
    needed.iter().all(|needed| {
        let mut scope = needed.as_str();
        loop {
            if granted.contains(scope) {
                return true;
            }
            match scope.rsplit_once(':') {
                Some((above, _)) if !above.is_empty() => scope = above,
                _ => return false,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn a_scope_implies_those_below_it_and_no_other() {
        for (granted, needed, enough) in [
            (&["files:read"][..], &["files:read"][..], true),
            (&["files"], &["files:read"], true),
            (&["files"], &["files:read:own"], true),
            (&["files:read"], &["files"], false),
            (&["files:readwrite-not"], &["files:read"], false),
            (&["Files"], &["files:read"], false),
            (&["file"], &["files"], false),
            (&[""], &[":x"], false),
            (&["a", "b"], &["a:x", "b"], true),
            (&["a"], &["a", "b"], false),
            (&[], &[], true),
        ] {
            assert_eq!(
                has_scopes(&scopes(granted), &scopes(needed)),
                enough,
                "{granted:?} {needed:?}"
            );
        }
    }

    #[test]
    fn a_key_is_good_for_what_its_scopes_say() {
        let key = |json: serde_json::Value| -> Scopes { serde_json::from_value(json).unwrap() };
        let tool =
            |server, name, write| Target { write, ..Target::new(TargetKind::Tool, server, name) };
        let server = Portal::Server("tickets".into());
        for (scopes, portal, action, target, good) in [
            (key(serde_json::json!({})), &Portal::Merged, Action::Call, tool("a", "b", true), true),
            (
                key(serde_json::json!({})),
                &Portal::Merged,
                Action::View,
                Target::new(TargetKind::Gateway, "", ""),
                false,
            ),
            (
                key(serde_json::json!({ "admin": true })),
                &Portal::Merged,
                Action::View,
                Target::new(TargetKind::Gateway, "", ""),
                true,
            ),
            (
                key(serde_json::json!({ "read_only": true })),
                &Portal::Merged,
                Action::Call,
                tool("a", "b", true),
                false,
            ),
            (
                key(serde_json::json!({ "read_only": true })),
                &Portal::Merged,
                Action::Call,
                tool("a", "b", false),
                true,
            ),
            (
                key(serde_json::json!({ "servers": ["tickets"] })),
                &Portal::Merged,
                Action::Call,
                tool("tickets2", "b", false),
                false,
            ),
            (
                key(serde_json::json!({ "servers": ["tickets"] })),
                &Portal::Merged,
                Action::Read,
                Target::new(TargetKind::Resource, "tickets", "x:y"),
                true,
            ),
            (
                key(serde_json::json!({ "portals": ["tickets"] })),
                &Portal::Merged,
                Action::Call,
                tool("tickets", "b", false),
                false,
            ),
            (
                key(serde_json::json!({ "portals": ["tickets"] })),
                &server,
                Action::Call,
                tool("tickets", "b", false),
                true,
            ),
            (
                key(serde_json::json!({ "tools": ["tickets/get_*"] })),
                &server,
                Action::Call,
                tool("tickets", "get_one", false),
                true,
            ),
            (
                key(serde_json::json!({ "tools": ["tickets/get_*"] })),
                &server,
                Action::Call,
                tool("tickets", "close", false),
                false,
            ),
            (
                key(serde_json::json!({ "tools": ["tickets/get_*"] })),
                &server,
                Action::Read,
                Target::new(TargetKind::Resource, "tickets", "x:y"),
                false,
            ),
            (
                key(serde_json::json!({ "tools": ["tickets/get_*"] })),
                &server,
                Action::List,
                Target::new(TargetKind::Server, "tickets", ""),
                true,
            ),
            (
                key(serde_json::json!({ "tools": ["tickets/get_*"] })),
                &server,
                Action::List,
                Target::new(TargetKind::Server, "mail", ""),
                false,
            ),
        ] {
            assert_eq!(in_scope(&scopes, portal, action, &target), good, "{scopes:?} {target:?}");
        }
    }
}
