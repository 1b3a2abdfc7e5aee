//! What a proposal of a server may say. Whoever proposes one is not the operator: it can name a URL and how its tools are
//! treated, and nothing that runs on the gateway's machine, reads from it, or makes the gateway vouch for anybody.

use serde_json::{Map, Value};

use super::{Lifecycle, Problem, ServerSettings};

/// Deepest nesting of a proposal; documents of APIs have the most.
const MOST_DEPTH: usize = 64;

/// What may be said of a server.
const SERVER: [&str; 24] = [
    "url",
    "replicas",
    "lost_session",
    "public_only",
    "headers",
    "personal",
    "openapi",
    "start",
    "affinity",
    "client_capabilities",
    "timeout",
    "list_ttl",
    "environment",
    "region",
    "data_classes",
    "data",
    "owner",
    "contact",
    "risk",
    "tags",
    "scopes",
    "tools",
    "review_by",
    "notes",
];

/// What may be said of parts of it.
const PARTS: [(&str, &[&str]); 3] = [
    ("replicas", &["url", "dns", "group", "region", "data_classes"]),
    ("personal", &["header", "scheme", "required"]),
    (
        "openapi",
        &[
            "description",
            "from",
            "operations",
            "tags",
            "paths",
            "methods",
            "except",
            "deprecated",
            "names",
            "descriptions",
            "pages",
        ],
    ),
];

/// Of a tool, only what makes policies stricter: that it does not write is its own word, or the operator's.
const TOOL: [&str; 4] = ["risk", "tags", "data", "scopes"];

/// Headers that carry credentials. Callers' own are stored encrypted (`personal`).
const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"];

/// Reads the settings of a proposal. Everything that is not permitted is refused by name. The server is at public addresses
/// only, whatever the proposal says.
pub fn proposal(spec: &Value) -> Result<ServerSettings, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |path: &[&str], problem: String| {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        problems.push(Problem { path, problem });
    };
    let Value::Object(members) = spec else {
        wrong(&[], "expected an object with the settings of a server".into());
        return Err(problems);
    };
    if is_deeper(spec, MOST_DEPTH) {
        wrong(&[], format!("is nested deeper than {MOST_DEPTH} levels"));
        return Err(problems);
    }
    for (name, value) in members {
        if !SERVER.contains(&name.as_str()) {
            wrong(
                &[name],
                "cannot be part of a proposal: only the configuration file may say it".into(),
            );
            continue;
        }
        let known = PARTS.iter().find(|(part, _)| part == name).map(|(_, known)| *known);
        let parts: Vec<&Map<String, Value>> = match value {
            Value::Object(part) => vec![part],
            Value::Array(items) => items.iter().filter_map(Value::as_object).collect(),
            _ => Vec::new(),
        };
        for part in parts.iter().filter(|_| known.is_some()).flat_map(|part| part.keys()) {
            if !known.is_some_and(|known| known.contains(&part.as_str())) {
                wrong(&[name, part], "cannot be part of a proposal".into());
            }
        }
        if name == "tools" {
            for (tool, said) in parts.into_iter().flatten() {
                let said = said.as_object().into_iter().flat_map(Map::keys);
                for key in said.filter(|key| !TOOL.contains(&key.as_str())) {
                    wrong(&[name, tool, key], "cannot be part of a proposal".into());
                }
            }
        } else if name == "headers" {
            for header in parts.into_iter().flat_map(Map::keys) {
                if CREDENTIALS.iter().any(|it| it.eq_ignore_ascii_case(header)) {
                    let why = "carries a credential: callers provide theirs with 'personal'";
                    wrong(&[name, header], why.into());
                }
            }
        }
    }
    if members.get("public_only").is_some_and(|only| *only != Value::Bool(true)) {
        let why =
            "a proposed server is at public addresses only, unless its reviewer allows others";
        wrong(&["public_only"], why.into());
    }
    let from = members.get("openapi").and_then(|openapi| openapi.get("from")?.as_str());
    if let Some(url) = from.and_then(|from| url::Url::parse(from).ok())
        && let Some(why) = super::problem_of(&url, true)
    {
        wrong(&["openapi", "from"], why);
    }
    let mut path = Vec::new();
    references(spec, &mut path, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut members = members.clone();
    members.insert("public_only".into(), true.into());
    read(Value::Object(members))
}

/// Settings that were checked when they were proposed, as they are served: at public addresses only, unless the reviewer
/// has allowed what their names resolve to. They are checked again, for the rules may have become stricter.
pub fn approved(spec: &str, allow_private: bool) -> Result<ServerSettings, Vec<Problem>> {
    let spec = serde_json::from_str(spec)
        .map_err(|error| vec![Problem { path: Vec::new(), problem: error.to_string() }])?;
    let lifecycle = Some(Lifecycle::Reviewed);
    Ok(ServerSettings { public_only: !allow_private, lifecycle, ..proposal(&spec)? })
}

fn read(spec: Value) -> Result<ServerSettings, Vec<Problem>> {
    let settings: ServerSettings = serde_json::from_value(spec)
        .map_err(|error| vec![Problem { path: Vec::new(), problem: error.to_string() }])?;
    // That only servers with an address have one says nothing more where there is none.
    let without = settings.address().is_none();
    let problems = settings.problems().into_iter();
    let problems = problems.filter(|(key, _)| !(without && *key == "public_only"));
    let problems: Vec<_> =
        problems.map(|(key, problem)| Problem { path: vec![key.into()], problem }).collect();
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// References to the gateway's environment, files and vault. They are not resolved in a proposal, and must not be once it is
/// exported to a file.
fn references(value: &Value, path: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let refers = |text: &str| text.contains("${");
    let wrong = |path: &[String]| Problem {
        path: path.to_vec(),
        problem: "'${…}' cannot be part of a proposal: it refers to the gateway's machine".into(),
    };
    match value {
        Value::String(text) if refers(text) => problems.push(wrong(path)),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                references(item, path, problems);
                path.pop();
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name.clone());
                if refers(name) {
                    problems.push(wrong(path));
                }
                references(member, path, problems);
                path.pop();
            }
        }
        _ => {}
    }
}

fn is_deeper(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(items) => most == 0 || items.iter().any(|item| is_deeper(item, most - 1)),
        Value::Object(members) => {
            most == 0 || members.values().any(|member| is_deeper(member, most - 1))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const URL: &str = "https://tickets.example/mcp";

    fn refused(spec: &Value) -> String {
        let problems = proposal(spec).expect_err(&spec.to_string());
        problems.iter().map(|problem| problem.path.join(".")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_proposal_names_a_url_and_what_people_should_know() {
        let spec = json!({
            "url": URL, "owner": "support", "contact": "support@example.com", "risk": "low",
            "environment": "production", "tags": ["tickets"], "review_by": "2027-01-31",
            "notes": "For the help desk", "headers": { "x-tenant": "acme" },
            "personal": { "header": "authorization", "scheme": "Bearer", "required": true },
            "tools": { "delete_*": { "risk": "high", "tags": ["destructive"] } },
        });
        let settings = proposal(&spec).unwrap();
        assert!(settings.public_only && settings.url.is_some());
        let api =
            json!({ "url": URL, "openapi": { "from": "https://tickets.example/openapi.json" } });
        assert!(proposal(&api).is_ok());
    }

    #[test]
    fn nothing_that_runs_or_reads_on_the_gateways_machine_can_be_proposed() {
        // Every key of a server's settings is either permitted above or refused here by name.
        let settings = serde_json::to_value(schemars::schema_for!(ServerSettings)).unwrap();
        for key in settings["properties"].as_object().unwrap().keys() {
            if !SERVER.contains(&key.as_str()) {
                assert!(refused(&json!({ "url": URL, key: null })).contains(key), "{key}");
            }
        }
        for key in
            ["command", "args", "env", "cwd", "package", "confine", "sample", "credential", "tls"]
        {
            assert_eq!(refused(&json!({ "url": URL, key: "x" })), key);
        }
        for (spec, path) in [
            (json!({ "replicas": [{ "file": "/etc/passwd" }] }), "replicas.file"),
            (json!({ "url": URL, "openapi": { "security": { "k": "v" } } }), "openapi.security"),
            (json!({ "url": URL, "delegated": { "scopes": ["a"] } }), "delegated"),
            (json!({ "url": URL, "assertion": {} }), "assertion"),
            (
                json!({ "url": URL, "openapi": { "from": "https://10.1.2.3/openapi.json" } }),
                "openapi.from",
            ),
            (json!({ "url": URL, "tools": { "x": { "write": false } } }), "tools.x.write"),
            (
                json!({ "url": URL, "headers": { "Authorization": "Bearer x" } }),
                "headers.Authorization",
            ),
            (json!({ "url": URL, "headers": { "x": "${env:HOME}" } }), "headers.x"),
            (json!({ "url": URL, "headers": { "x": "a$${file:/etc/passwd}" } }), "headers.x"),
            (
                json!({ "url": URL, "openapi": { "description": "${file:/etc/passwd}" } }),
                "openapi.description",
            ),
            (json!({ "url": URL, "tags": ["${env:X}"] }), "tags.0"),
            (json!({ "url": URL, "public_only": false }), "public_only"),
            (json!({ "url": "https://u:p@tickets.example/" }), "url"),
            (json!({ "url": "http://127.0.0.1:8080/mcp" }), "url"),
            (json!({ "url": "http://[fd00:ec2::254]/" }), "url"),
            (json!({ "url": "http://169.254.169.254/latest" }), "url"),
            (json!({ "url": "file:///etc/passwd" }), "url"),
            (json!({}), "url"),
            (json!([]), ""),
        ] {
            assert_eq!(refused(&spec), path, "{spec}");
        }
    }

    #[test]
    fn a_reviewer_may_allow_private_addresses_and_nothing_else() {
        let named = r#"{"url":"http://tickets.internal/mcp"}"#;
        assert!(approved(named, false).unwrap().public_only);
        assert!(!approved(named, true).unwrap().public_only);
        for spec in [
            r#"{"command":"sh"}"#,
            r#"{"url":"http://169.254.169.254/"}"#,
            r#"{"url":"file:///x"}"#,
            "nonsense",
            "null",
        ] {
            assert!(approved(spec, true).is_err(), "{spec}");
        }
    }

    #[test]
    fn a_proposal_is_not_nested_without_end() {
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert!(proposal(&json!({ "url": URL, "notes": deep })).is_err());
    }
}
