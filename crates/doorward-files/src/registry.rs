//! The `server.json` of the MCP registry, translated into the gateway's own configuration. Values that the user must
//! provide come from the environment.

use std::collections::BTreeSet;

use crate::Finding;
use crate::foreign::unused_name;
use crate::tree::{Content, Key, Node, Place};

/// Whether a file describes one server as the registry does.
pub fn is_server(tree: &Node) -> bool {
    tree.get("name").is_some() && (tree.get("packages").is_some() || tree.get("remotes").is_some())
}

/// A tree of the gateway's own form, and what was noticed: the first remote is taken, or else the
/// first package that a program at hand can run.
pub fn translate(tree: &Node) -> Result<(Node, Vec<String>), Vec<Finding>> {
    let full = text(tree, "name").unwrap_or_default();
    let name = unused_name(full.rsplit('/').next().unwrap_or(full), &mut BTreeSet::new());
    let (remotes, packages) = (items(tree, "remotes"), items(tree, "packages"));
    let mut entry = Entry { fields: Vec::new(), notices: Vec::new() };
    let chosen = if let Some(remote) = remotes.first() {
        entry.remote(remote);
        *remote
    } else {
        let runs = |package: &&&Node| {
            let kind = package.get("transport").and_then(|transport| text(transport, "type"));
            runner(package).is_some() && kind.unwrap_or("stdio") == "stdio"
        };
        let Some(package) = packages.iter().find(runs) else {
            let problem = "it has no remote, and no package of npm, PyPI, NuGet or a container \
                registry with the stdio transport";
            let finding = Finding { key: full.into(), problem: problem.into(), place: tree.place };
            return Err(vec![finding]);
        };
        entry.package(package);
        *package
    };
    let others = remotes.len() + packages.len() - 1;
    if others > 0 {
        let what = if remotes.is_empty() { "package" } else { "remote" };
        entry.notices.push(format!(
            "the first {what} is used; {others} other ways to reach '{full}' are ignored"
        ));
    }
    let place = chosen.place;
    let server = Node { content: Content::Map(entry.fields), place };
    let servers = map(vec![(key(&name, place), server)], place);
    Ok((map(vec![(key("servers", place), servers)], tree.place), entry.notices))
}

/// The program that fetches and runs a package of a kind.
fn runner(package: &Node) -> Option<&str> {
    match text(package, "registryType").or_else(|| text(package, "registry_type"))? {
        "npm" => Some("npx"),
        "pypi" => Some("uvx"),
        "oci" => Some("docker"),
        "nuget" => Some("dnx"),
        _ => None,
    }
}

struct Entry {
    fields: Vec<(Key, Node)>,
    notices: Vec<String>,
}

impl Entry {
    fn add(&mut self, name: &str, node: Node) {
        self.fields.push((key(name, node.place), node));
    }

    fn remote(&mut self, remote: &Node) {
        let url = self.filled(text(remote, "url").unwrap_or_default(), remote);
        self.add("url", Node::text(url, remote.place));
        let headers = self.inputs(remote, "headers");
        if !headers.is_empty() {
            self.add("headers", texts(headers, remote.place));
        }
    }

    fn package(&mut self, package: &Node) {
        let place = package.place;
        let program = runner(package).unwrap_or_default();
        let identifier = text(package, "identifier").unwrap_or_default();
        let version = text(package, "version").filter(|version| *version != "latest");
        let env = self.inputs(package, "environmentVariables");
        let mut args = self.arguments(package, "runtimeArguments");
        match program {
            "npx" => {
                if !args.iter().any(|arg| arg == "-y" || arg == "--yes") {
                    args.insert(0, "-y".into());
                }
                args.push(joined(identifier, "@", version));
            }
            "uvx" => args.push(joined(identifier, "==", version)),
            "dnx" => args.extend([joined(identifier, "@", version), "--yes".into()]),
            _ => {
                args.splice(0..0, ["run".into(), "-i".into(), "--rm".into()]);
                // The program's own environment is not the container's.
                args.extend(env.iter().flat_map(|(name, _)| ["-e".into(), name.clone()]));
                let tagged =
                    identifier.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
                args.push(if tagged {
                    identifier.into()
                } else {
                    joined(identifier, ":", version)
                });
            }
        }
        args.extend(self.arguments(package, "packageArguments"));
        self.add("command", Node::text(program, place));
        let args = args.into_iter().map(|arg| Node::text(arg, place)).collect();
        self.add("args", Node { content: Content::List(args), place });
        if !env.is_empty() {
            self.add("env", texts(env, place));
        }
    }

    /// Positional and named arguments, as a command line has them.
    fn arguments(&mut self, package: &Node, part: &str) -> Vec<String> {
        let mut out = Vec::new();
        for argument in items(package, part) {
            let named = text(argument, "type") == Some("named");
            let name = text(argument, "name").unwrap_or_default();
            let hint = text(argument, "valueHint").unwrap_or(name);
            let value = self.value(argument, hint);
            match (named, value) {
                (true, Some(value)) => out.extend([name.to_owned(), value]),
                // A switch, which has no value.
                (true, None)
                    if text(argument, "format").is_none_or(|format| format == "boolean") =>
                {
                    out.push(name.to_owned());
                }
                (false, Some(value)) => out.push(value),
                (_, None) => self.left_out(hint),
            }
        }
        out
    }

    /// Headers or environment variables with what they hold.
    fn inputs(&mut self, owner: &Node, part: &str) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for input in items(owner, part) {
            let name = text(input, "name").unwrap_or_default();
            match self.value(input, name) {
                Some(value) => out.push((name.to_owned(), value)),
                None => self.left_out(name),
            }
        }
        out
    }

    /// What an input holds: what its author says, or where it must be said, what the environment does.
    fn value(&mut self, input: &Node, hint: &str) -> Option<String> {
        if let Some(value) = text(input, "value").or_else(|| text(input, "default")) {
            return Some(self.filled(value, input));
        }
        let required = input.get("isRequired").or_else(|| input.get("is_required"));
        let required = required.is_some_and(|node| node.content == Content::Bool(true));
        required.then(|| self.asked_for(hint))
    }

    /// A text in which `{name}` stands for one of the input's variables.
    fn filled(&mut self, value: &str, input: &Node) -> String {
        let mut out = value.replace("${", "$${");
        for (name, variable) in input.get("variables").map(Node::entries).unwrap_or_default() {
            let place = format!("{{{}}}", name.name);
            if out.contains(&place) {
                let said = text(variable, "value").or_else(|| text(variable, "default"));
                let said = said.map(str::to_owned);
                let said = said.unwrap_or_else(|| self.asked_for(&name.name));
                out = out.replace(&place, &said);
            }
        }
        out
    }

    fn asked_for(&mut self, hint: &str) -> String {
        let letters =
            |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = hint.trim_start_matches('-').chars().map(letters).collect();
        self.notices.push(format!("the environment variable {name} must be set"));
        format!("${{env:{name}}}")
    }

    fn left_out(&mut self, what: &str) {
        self.notices.push(format!("'{what}' is omitted: it is optional and has no default"));
    }
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name)?.as_text()
}

fn items<'a>(node: &'a Node, name: &str) -> Vec<&'a Node> {
    match node.get(name).map(|list| &list.content) {
        Some(Content::List(items)) => items.iter().collect(),
        _ => Vec::new(),
    }
}

fn joined(identifier: &str, by: &str, version: Option<&str>) -> String {
    version.map_or_else(|| identifier.to_owned(), |version| format!("{identifier}{by}{version}"))
}

fn key(name: &str, place: Place) -> Key {
    Key { name: name.into(), place }
}

fn map(entries: Vec<(Key, Node)>, place: Place) -> Node {
    Node { content: Content::Map(entries), place }
}

fn texts(entries: Vec<(String, String)>, place: Place) -> Node {
    map(
        entries
            .into_iter()
            .map(|(name, value)| (key(&name, place), Node::text(value, place)))
            .collect(),
        place,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::parse;
    use serde_json::json;

    fn translated(text: &str) -> Result<(serde_json::Value, Vec<String>), Vec<Finding>> {
        let tree = parse(text).unwrap();
        assert!(is_server(&tree));
        translate(&tree).map(|(tree, notices)| (tree.to_json(), notices))
    }

    #[test]
    fn a_package_becomes_the_command_that_runs_it() {
        for (package, server) in [
            (
                r#"{"registryType": "npm", "identifier": "@acme/weather", "version": "1.2.0",
                    "transport": {"type": "stdio"},
                    "packageArguments": [
                        {"type": "positional", "value": "start"},
                        {"type": "named", "name": "--units", "default": "metric"},
                        {"type": "named", "name": "--region", "isRequired": true, "format": "string"}],
                    "environmentVariables": [
                        {"name": "WEATHER_KEY", "isRequired": true, "isSecret": true},
                        {"name": "WEATHER_LOG"}]}"#,
                json!({
                    "command": "npx",
                    "args": ["-y", "@acme/weather@1.2.0", "start", "--units", "metric",
                        "--region", "${env:REGION}"],
                    "env": { "WEATHER_KEY": "${env:WEATHER_KEY}" },
                }),
            ),
            (
                r#"{"registryType": "pypi", "identifier": "weather", "version": "1.2.0"}"#,
                json!({ "command": "uvx", "args": ["weather==1.2.0"] }),
            ),
            (
                r#"{"registryType": "oci", "identifier": "docker.io/acme/weather:1.2.0",
                    "environmentVariables": [{"name": "K", "value": "v"}]}"#,
                json!({
                    "command": "docker",
                    "args": ["run", "-i", "--rm", "-e", "K", "docker.io/acme/weather:1.2.0"],
                    "env": { "K": "v" },
                }),
            ),
        ] {
            let file =
                format!("{{\"name\": \"io.github.acme/weather\", \"packages\": [{package}]}}");
            let (tree, _) = translated(&file).unwrap();
            assert_eq!(tree, json!({ "servers": { "weather": server } }));
        }
    }

    #[test]
    fn a_remote_comes_first_and_what_is_not_taken_is_said() {
        let (tree, notices) = translated(
            r#"{"name": "com.acme/weather",
                "packages": [{"registryType": "npm", "identifier": "w"}],
                "remotes": [{"type": "streamable-http", "url": "https://{region}.acme.example/mcp",
                    "variables": {"region": {"default": "eu"}},
                    "headers": [{"name": "Authorization", "value": "Bearer {key}", "isSecret": true,
                        "variables": {"key": {"isRequired": true}}}]}]}"#,
        )
        .unwrap();
        assert_eq!(
            tree,
            json!({ "servers": { "weather": {
                "url": "https://eu.acme.example/mcp",
                "headers": { "Authorization": "Bearer ${env:KEY}" } } } })
        );
        assert_eq!(notices.len(), 2, "{notices:?}");
    }

    #[test]
    fn a_server_that_nothing_at_hand_can_run_is_refused() {
        let findings = translated(
            r#"{"name": "a/b", "packages": [
                {"registryType": "mcpb", "identifier": "https://a.example/b.mcpb"},
                {"registryType": "npm", "identifier": "b", "transport": {"type": "sse"}}]}"#,
        )
        .unwrap_err();
        assert!(findings[0].problem.contains("has no remote"), "{}", findings[0].problem);
    }
}
