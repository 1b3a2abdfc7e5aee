//! Records in the Open Cybersecurity Schema Framework, version 1.3 (https://schema.ocsf.io/1.3.0): calls are API
//! Activity (6003), failed authentications and sessions Authentication (3002), administrative actions Entity Management
//! (3004), starts and stops of gateways and servers Application Lifecycle (6002). What the framework does not define is
//! under `unmapped`.

use serde_json::{Map, Value, json};

const VERSION: &str = "1.3.0";

/// Classes of events, each with its category.
const API_ACTIVITY: (i64, i64) = (6003, 6);
const AUTHENTICATION: (i64, i64) = (3002, 3);
const ENTITY_MANAGEMENT: (i64, i64) = (3004, 3);
const APPLICATION_LIFECYCLE: (i64, i64) = (6002, 6);

/// Activities, by their numbers in the classes above.
const CREATE: i64 = 1;
const READ: i64 = 2;
const UPDATE: i64 = 3;
const DELETE: i64 = 4;
const OTHER: i64 = 99;

/// The event of a record; `None` for records about the audit log itself.
pub fn event(line: &str) -> Option<Value> {
    let record: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let (class, activity, mut event) = match text("kind") {
        "call" | "opened" | "closed" | "late" => {
            let writes =
                record.get("write").and_then(Value::as_bool).unwrap_or(text("class") == "writes");
            let target = [text("server"), text("target")].join("/");
            let operation = [text("method"), target.trim_matches('/')].join(" ");
            let api = json!({
                "operation": operation.trim(),
                "service": { "name": text("server") },
                "version": text("revision"),
            });
            let activity = if writes { UPDATE } else { READ };
            (API_ACTIVITY, activity, json!({ "api": api, "actor": actor(&record) }))
        }
        "act" => {
            let (what, verb) = text("act").split_once('.').unwrap_or((text("act"), ""));
            let activity = match verb {
                "create" | "register" | "apply" | "hold" => CREATE,
                "remove" | "revoke" | "release" | "retention" => DELETE,
                _ => UPDATE,
            };
            let entity = json!({ "name": text("subject"), "type": what });
            let by = record.get("actor").cloned().unwrap_or_default();
            let actor = json!({ "user": { "name": by["name"] }, "app_name": by["via"] });
            (
                ENTITY_MANAGEMENT,
                activity,
                json!({ "entity": entity, "actor": actor, "comment": text("act") }),
            )
        }
        "event" => match text("event") {
            "caller.refused" | "session.open" => {
                (AUTHENTICATION, 1, json!({ "user": user(&record) }))
            }
            "session.end" => (AUTHENTICATION, 2, json!({ "user": user(&record) })),
            "server.up" => (APPLICATION_LIFECYCLE, 3, json!({ "app": { "name": text("server") } })),
            "server.down" => {
                (APPLICATION_LIFECYCLE, 4, json!({ "app": { "name": text("server") } }))
            }
            _ => (APPLICATION_LIFECYCLE, OTHER, json!({ "app": { "name": "doorward" } })),
        },
        "start" => (APPLICATION_LIFECYCLE, 3, json!({ "app": { "name": "doorward" } })),
        "end" => (APPLICATION_LIFECYCLE, 4, json!({ "app": { "name": "doorward" } })),
        _ => return None,
    };
    let at = text("at").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
    let outcome = text("outcome");
    let failed = matches!(outcome, "denied" | "failed" | "refused" | "error" | "tool_error")
        || text("event") == "caller.refused";
    let denied = outcome == "denied" || text("event") == "caller.refused";
    let (class_uid, category_uid) = class;
    let seq = record.get("seq").and_then(Value::as_i64).unwrap_or_default();
    let more = json!({
        "class_uid": class_uid,
        "category_uid": category_uid,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "time": at,
        "severity_id": if denied { 3 } else if failed { 2 } else { 1 },
        "status_id": if failed { 2 } else { 1 },
        "metadata": {
            "version": VERSION,
            "uid": format!("{}/{seq}", text("writer")),
            "correlation_uid": text("id"),
            "product": { "name": "Doorward", "vendor_name": "Doorward", "version": env!("CARGO_PKG_VERSION") },
            "tenant_uid": text("tenant"),
        },
        "src_endpoint": { "ip": text("address") },
        "unmapped": record,
    });
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
        if !outcome.is_empty() {
            event.insert("status".into(), outcome.into());
        }
    }
    Some(event)
}

fn user(record: &Map<String, Value>) -> Value {
    let text =
        |name: &str| record.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("user").or(text("service_account")).or(text("agent")).unwrap_or("unknown");
    json!({ "name": name, "credential_uid": text("key"), "type": text("authentication") })
}

fn actor(record: &Map<String, Value>) -> Value {
    let text =
        |name: &str| record.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    json!({
        "user": user(record),
        "app_name": text("agent").unwrap_or_default(),
        "session": { "uid": text("session").unwrap_or_default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_call_is_a_failed_api_activity() {
        let line = r#"{"writer":"w","seq":7,"prev":"","kind":"call","id":"aa","at":"2026-11-21T10:00:00.000000Z","class":"writes","tenant":"acme","user":"alice","agent":"bot","server":"tickets","target":"close","address":"10.0.0.1","method":"tools/call","revision":"2026-07-28","write":true,"outcome":"denied","hash":"h"}"#;
        let event = event(line).unwrap();
        assert_eq!(event["type_uid"], 600_303);
        assert_eq!(event["status_id"], 2);
        assert_eq!(event["time"], 1_795_255_200_000_i64);
        assert_eq!(event["metadata"]["uid"], "w/7");
        assert_eq!(event["api"]["operation"], "tools/call tickets/close");
        assert_eq!(event["actor"]["user"]["name"], "alice");
        assert_eq!(event["src_endpoint"]["ip"], "10.0.0.1");
        assert!(super::event(r#"{"writer":"w","seq":7,"kind":"checkpoint"}"#).is_none());
    }
}
