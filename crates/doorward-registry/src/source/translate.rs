//! An entry of another registry as settings of a server that is proposed.
//!
//! A registry is not trusted: what it says can name a public URL, headers that are no credentials, and a header in which
//! each caller presents their own credential. Packages are never run for it.

use doorward_config::proposal;
use doorward_mcp::display;
use doorward_store::MOST_SPEC;
use serde_json::{Map, Value, json};

use super::entry::Listed;

/// Longest reason and description, in characters.
const LONGEST: usize = 500;

/// What can be proposed for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Settings as JSON.
    pub spec: String,
    pub digest: String,
}

/// Settings for an entry of a registry, or why there are none.
pub fn translate(registry: &str, listed: &Listed) -> Result<Offer, String> {
    let remotes = listed.server.get("remotes").and_then(Value::as_array);
    let remotes = remotes.map_or(&[][..], Vec::as_slice);
    let of_kind = |kind: &str| {
        remotes.iter().filter_map(Value::as_object).find(|it| text(it, "type") == Some(kind))
    };
    let Some(remote) = of_kind("streamable-http").or_else(|| of_kind("sse")) else {
        let has_packages = listed.server.get("packages").is_some_and(|it| *it != json!([]));
        return Err(match has_packages {
            true => "it has packages only: a package is run from the configuration file alone",
            false => "it has no remote of a known type",
        }
        .into());
    };
    let mut spec = Map::new();
    let url = filled(text(remote, "url").unwrap_or_default(), remote)
        .ok_or("its URL has variables that somebody has to fill in")?;
    spec.insert("url".into(), url.into());
    let mut headers = Map::new();
    for header in remote.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let Some(header) = header.as_object() else { continue };
        take_header(header, &mut headers, &mut spec)?;
    }
    if !headers.is_empty() {
        spec.insert("headers".into(), headers.into());
    }
    let said = text(&listed.server, "description").unwrap_or_default();
    let said: String = said.chars().take(LONGEST).collect();
    let (name, version) = (&listed.name, &listed.version);
    let notes =
        format!("{name} {version} of the registry '{registry}': {}", display::harmless_line(&said));
    spec.insert("notes".into(), notes.replace("${", "$ {").into());
    let spec = Value::Object(spec);
    let text = spec.to_string();
    if text.len() > MOST_SPEC {
        return Err(format!("its settings have more than {MOST_SPEC} bytes"));
    }
    match proposal::proposal(&spec) {
        Ok(settings) => Ok(Offer { digest: settings.approval_digest(), spec: text }),
        Err(problems) => {
            let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err(display::harmless_line(&why.join("; ")).chars().take(LONGEST).collect())
        }
    }
}

/// A header with a value is sent as it is; one that users have to fill in carries the credential of each caller.
fn take_header(
    header: &Map<String, Value>,
    headers: &mut Map<String, Value>,
    spec: &mut Map<String, Value>,
) -> Result<(), String> {
    let Some(name) = text(header, "name") else { return Err("a header has no name".into()) };
    let is = |member: &str| header.get(member) == Some(&Value::Bool(true));
    let said = text(header, "value").or_else(|| text(header, "default"));
    if let Some(value) = said.and_then(|value| filled(value, header)).filter(|_| !is("isSecret")) {
        headers.insert(name.to_owned(), value.into());
        return Ok(());
    }
    if !is("isRequired") && !is("isSecret") && said.is_none() {
        return Ok(());
    }
    // Such as `Bearer {token}`: one variable, with a word before it at most.
    let template = said.unwrap_or("{value}");
    let scheme = match template.split_once('{').and_then(|(before, rest)| {
        let (_, after) = rest.split_once('}')?;
        after.is_empty().then(|| before.trim_end())
    }) {
        Some(scheme) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => scheme,
        _ => {
            return Err(format!(
                "nobody can fill in its header '{}'",
                display::harmless_line(name)
            ));
        }
    };
    let scheme = if scheme.is_empty() { Value::Null } else { scheme.into() };
    let own = json!({ "header": name, "scheme": scheme, "required": is("isRequired") });
    if spec.insert("personal".into(), own).is_some() {
        return Err("it has several headers that users have to fill in".into());
    }
    Ok(())
}

/// A text in which `{name}` stands for one of the variables, all of which must have a value or default. Other braces stay as
/// they are.
fn filled(template: &str, owner: &Map<String, Value>) -> Option<String> {
    let variables = owner.get("variables").and_then(Value::as_object);
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let end = rest[at..].find('}')?;
        let name = &rest[at + 1..at + end];
        let variable = variables.and_then(|variables| variables.get(name)?.as_object());
        let value = variable.and_then(|it| text(it, "value").or_else(|| text(it, "default")))?;
        out.push_str(&rest[..at]);
        out.push_str(value);
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

fn text<'a>(owner: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    owner.get(member)?.as_str()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value)]

    use super::*;
    use crate::source::entry;
    use proptest::prelude::*;

    fn offered(server: Value) -> Result<Value, String> {
        let mut whole = json!({ "name": "io.github.acme/weather", "version": "1.2.0",
            "description": "Weather" });
        whole.as_object_mut().unwrap().extend(server.as_object().unwrap().clone());
        let page = json!({ "servers": [{ "server": whole }] }).to_string();
        let page = entry::read(page.as_bytes()).unwrap();
        let offer = translate("public", &page.entries[0])?;
        let mut spec: Value = serde_json::from_str(&offer.spec).unwrap();
        let notes = spec.as_object_mut().unwrap().remove("notes").unwrap();
        assert_eq!(notes, "io.github.acme/weather 1.2.0 of the registry 'public': Weather");
        Ok(spec)
    }

    #[test]
    fn a_remote_becomes_a_proposal() {
        const URL: &str = "https://weather.example/mcp";
        for (remotes, spec) in [
            (json!([{ "type": "streamable-http", "url": URL }]), json!({ "url": URL })),
            (
                json!([{ "type": "sse", "url": "https://old.example/sse" },
                    { "type": "streamable-http", "url": URL }]),
                json!({ "url": URL }),
            ),
            (json!([{ "type": "sse", "url": URL }]), json!({ "url": URL })),
            (
                json!([{ "type": "streamable-http", "url": "https://{region}.weather.example/mcp",
                    "variables": { "region": { "default": "eu" } } }]),
                json!({ "url": "https://eu.weather.example/mcp" }),
            ),
            (
                json!([{ "type": "streamable-http", "url": URL, "headers": [
                    { "name": "X-Units", "value": "metric" },
                    { "name": "X-Optional" },
                    { "name": "Authorization", "value": "Bearer {token}", "isRequired": true,
                        "variables": { "token": { "isSecret": true } } }] }]),
                json!({ "url": URL, "headers": { "X-Units": "metric" },
                    "personal": { "header": "Authorization", "scheme": "Bearer", "required": true } }),
            ),
            (
                json!([{ "type": "streamable-http", "url": URL,
                    "headers": [{ "name": "X-Key", "isSecret": true }] }]),
                json!({ "url": URL,
                    "personal": { "header": "X-Key", "scheme": null, "required": false } }),
            ),
        ] {
            assert_eq!(offered(json!({ "remotes": remotes })), Ok(spec), "{remotes}");
        }
    }

    #[test]
    fn what_cannot_be_proposed_is_skipped_with_the_reason() {
        let remote = |url: &str| json!({ "remotes": [{ "type": "streamable-http", "url": url }] });
        let headers = |headers: Value| {
            json!({ "remotes": [{ "type": "streamable-http", "url": "https://a.example",
                "headers": headers }] })
        };
        for (server, reason) in [
            (
                json!({ "packages": [{ "registryType": "npm", "identifier": "x" }] }),
                "packages only",
            ),
            (json!({}), "no remote"),
            (json!({ "remotes": [] }), "no remote"),
            (json!({ "remotes": [{ "type": "stdio", "command": "sh" }] }), "no remote"),
            (remote("https://{host}/mcp"), "variables"),
            (remote("https://127.0.0.1/mcp"), "url"),
            (remote("http://169.254.169.254/latest"), "url"),
            (remote("file:///etc/passwd"), "url"),
            (remote("https://a.example/${env:HOME}"), "variables"),
            (remote("https://u:p@a.example/"), "url"),
            (headers(json!([{ "name": "Authorization", "value": "Bearer x" }])), "credential"),
            (headers(json!([{ "name": "x", "value": "a{b}c", "isRequired": true }])), "fill in"),
            (
                headers(
                    json!([{ "name": "x", "isRequired": true }, { "name": "y", "isRequired": true }]),
                ),
                "several headers",
            ),
            (headers(json!([{ "value": "x" }])), "no name"),
            (headers(json!([{ "name": "x", "value": "y".repeat(300 << 10) }])), "more than"),
        ] {
            let why = offered(server.clone()).unwrap_err();
            assert!(why.contains(reason), "{server}: {why}");
        }
    }

    #[test]
    fn nothing_of_an_entry_can_run_or_read_here() {
        // Members other than the remotes are ignored.
        let spec = offered(json!({ "command": "sh", "env": { "A": "b" },
            "packages": [{ "registryType": "npm", "identifier": "x" }],
            "remotes": [{ "type": "streamable-http", "url": "https://a.example/mcp",
                "command": "sh", "public_only": false }] }));
        assert_eq!(spec, Ok(json!({ "url": "https://a.example/mcp" })));
    }

    fn words() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "streamable-http",
            "sse",
            "stdio",
            "https://a.example/mcp",
            "https://{x}.example/mcp",
            "http://127.0.0.1/",
            "file:///etc/passwd",
            "${env:HOME}",
            "${file:/etc/passwd}",
            "{x}",
            "Bearer {x}",
            "Authorization",
            "x-a",
            "sh",
        ]);
        words.prop_map(Value::from)
    }

    /// An endpoint and a header, both of which are often valid.
    fn endpoint() -> impl Strategy<Value = (Value, Value)> {
        let url = prop_oneof![
            2 => Just(Value::from("https://a.example/mcp")),
            1 => words(),
            1 => anything()
        ];
        let header = (words(), words(), anything()).prop_map(|(name, value, variables)| {
            json!({ "name": name, "value": value, "variables": variables })
        });
        (url, prop_oneof![header, anything()])
    }

    /// Any value that a registry may send, built from words that have a meaning here.
    fn anything() -> impl Strategy<Value = Value> {
        let keys = prop::sample::select(vec![
            "type",
            "url",
            "headers",
            "name",
            "value",
            "default",
            "variables",
            "x",
            "isSecret",
            "isRequired",
            "command",
            "args",
            "env",
            "package",
            "packages",
            "remotes",
            "confine",
            "description",
            "notes",
            "public_only",
            "$schema",
            "_meta",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            words(),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|members| {
                    Value::Object(members.into_iter().map(|(key, it)| (key.into(), it)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_entry_has_anything_run_or_read_here(
            parts in prop::collection::vec((endpoint(), anything()), 1..3),
            description in anything(), command in anything(),
        ) {
            let remotes: Vec<Value> = parts
                .into_iter()
                .map(|((url, headers), rest)| {
                    let mut remote = json!({ "type": "streamable-http", "url": url,
                        "headers": [headers] });
                    if let (Some(all), Value::Object(rest)) = (remote.as_object_mut(), rest) {
                        all.extend(rest);
                    }
                    remote
                })
                .collect();
            let server = json!({ "name": "a.b/c", "version": "1", "remotes": remotes,
                "description": description, "command": command });
            let page = json!({ "servers": [{ "server": server }] }).to_string();
            let page = entry::read(page.as_bytes()).unwrap();
            if let Ok(offer) = translate("public", &page.entries[0]) {
                let spec: Map<String, Value> = serde_json::from_str(&offer.spec).unwrap();
                let known = ["url", "headers", "personal", "notes"];
                prop_assert!(spec.keys().all(|key| known.contains(&key.as_str())), "{offer:?}");
                prop_assert!(!offer.spec.contains("${"), "{offer:?}");
                let settings = proposal::approved(&offer.spec, false).unwrap();
                prop_assert!(settings.command.is_none() && settings.package.is_none());
                prop_assert!(settings.public_only && settings.env.is_empty());
            }
        }
    }
}
