//! Configuration files of other programs: `mcpServers` (Claude Desktop, Claude Code, Cursor, Windsurf and most others)
//! and `servers` (VS Code), translated into the gateway's own; and the registry's `server.json`, by [`registry`].

use std::collections::BTreeSet;
use std::path::Path;

use doorward_mcp::names;

use crate::expand::Surroundings;
use crate::tree::{Content, Key, Node};
use crate::{Finding, registry};

/// Keys of a server's entry that only the agent or editor itself acts upon.
const WITHOUT_MEANING: [&str; 13] = [
    "name",
    "description",
    "icon",
    "gallery",
    "version",
    "alwaysAllow",
    "autoApprove",
    "disabledTools",
    "dev",
    "trust",
    "scope",
    "tools",
    "fromGalleryId",
];

/// Whether a file is one of those: `mcpServers`, `servers` as VS Code writes them, or a `server.json`.
pub fn is_foreign(tree: &Node) -> bool {
    servers(tree).is_some() || registry::is_server(tree)
}

fn servers(tree: &Node) -> Option<&Node> {
    if let Some(servers) = tree.get("mcpServers") {
        return Some(servers);
    }
    // VS Code's own settings file holds the same one level deeper.
    let in_settings = tree.get("mcp").and_then(|mcp| mcp.get("servers"));
    let servers = in_settings.or_else(|| tree.get("servers"))?;
    let has = |key: &str| servers.entries().iter().any(|(_, server)| server.get(key).is_some());
    let is_code = in_settings.is_some()
        || tree.get("inputs").is_some()
        || ["type", "envFile", "gallery", "dev"].iter().any(|key| has(key));
    is_code.then_some(servers)
}

/// A tree of the gateway's own form, and what was noticed.
pub fn translate(tree: &Node, around: &Surroundings) -> Result<(Node, Vec<String>), Vec<Finding>> {
    let Some(servers) = servers(tree) else { return registry::translate(tree) };
    let mut notices = Vec::new();
    let mut findings = Vec::new();
    let mut names = BTreeSet::new();
    let mut out = Vec::new();
    for (key, server) in servers.entries() {
        let name = unused_name(&key.name, &mut names);
        if name != key.name {
            notices.push(format!("the server '{}' is renamed to '{name}'", key.name));
        }
        let mut entry = Entry { name: &key.name, fields: Vec::new(), around };
        entry.read(server, &mut notices, &mut findings);
        let content = Content::Map(entry.fields);
        out.push((Key { name, place: key.place }, Node { content, place: server.place }));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let key = Key { name: "servers".into(), place: servers.place };
    let servers = Node { content: Content::Map(out), place: servers.place };
    Ok((Node { content: Content::Map(vec![(key, servers)]), place: tree.place }, notices))
}

/// A name the gateway can take that no other server of the file has.
pub fn unused_name(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let base =
        if names::is_server_name(wanted) { wanted.into() } else { names::server_name_from(wanted) };
    let mut name = base.clone();
    let mut count = 1;
    while !taken.insert(name.to_ascii_lowercase()) {
        count += 1;
        let end = format!("-{count}");
        name = format!("{}{end}", &base[..base.len().min(64 - end.len())]);
    }
    name
}

/// One server's entry on its way.
struct Entry<'a> {
    name: &'a str,
    fields: Vec<(Key, Node)>,
    around: &'a Surroundings,
}

impl Entry<'_> {
    fn read(&mut self, server: &Node, notices: &mut Vec<String>, findings: &mut Vec<Finding>) {
        let mut wrong = |key: &str, node: &Node, problem: String| {
            let key = format!("{}.{key}", self.name);
            findings.push(Finding { key, problem, place: node.place });
        };
        if !matches!(server.content, Content::Map(_)) {
            return wrong("", server, "expected a server's settings".into());
        }
        let mut add = |name: &str, key: &Key, node: &Node| {
            let key = Key { name: name.into(), place: key.place };
            self.fields.push((key, node.clone()));
        };
        for (key, node) in server.entries() {
            match key.name.as_str() {
                "command" | "args" | "cwd" | "url" | "disabled" => add(&key.name, key, node),
                "serverUrl" | "httpUrl" => add("url", key, node),
                "headers" | "env" => add(&key.name, key, &texts(node)),
                "enabled" => {
                    let content = Content::Bool(node.content == Content::Bool(false));
                    add("disabled", key, &Node { content, place: node.place });
                }
                "envFile" => match read_env_file(node, self.around) {
                    Ok(env) => add("envFile", key, &env),
                    Err(problem) => wrong("envFile", node, problem),
                },
                // Streamable HTTP and HTTP+SSE are told apart by asking.
                "type" | "transport" | "transportType" => {
                    let kind = node.as_text().unwrap_or_default();
                    let known = [
                        "stdio",
                        "http",
                        "sse",
                        "streamable-http",
                        "streamableHttp",
                        "streamable_http",
                    ];
                    if !known.contains(&kind) {
                        let problem =
                            format!("'{kind}' is not supported; expected stdio, http or sse");
                        wrong(&key.name, node, problem);
                    }
                }
                known if WITHOUT_MEANING.contains(&known) => {}
                other => notices.push(format!(
                    "the key '{other}' of the server '{}' is not supported and is ignored",
                    self.name
                )),
            }
        }
        self.merge_env_file();
    }

    /// What `env` says comes before what its file says.
    fn merge_env_file(&mut self) {
        let Some(at) = self.fields.iter().position(|(key, _)| key.name == "envFile") else {
            return;
        };
        let (key, file) = self.fields.remove(at);
        let mut all = file.entries().to_vec();
        if let Some(at) = self.fields.iter().position(|(key, _)| key.name == "env") {
            let (_, env) = self.fields.remove(at);
            all.retain(|(key, _)| env.get(&key.name).is_none());
            all.extend(env.entries().to_vec());
        }
        let content = Content::Map(all);
        let env = Node { content, place: file.place };
        self.fields.push((Key { name: "env".into(), place: key.place }, env));
    }
}

/// Numbers and booleans as the texts that environments and headers hold; `null` is left out.
fn texts(node: &Node) -> Node {
    let Content::Map(entries) = &node.content else { return node.clone() };
    let entries = entries.iter().filter_map(|(key, node)| {
        let text = match &node.content {
            Content::Null => return None,
            Content::Number(number) => number.to_string(),
            Content::Bool(value) => value.to_string(),
            _ => return Some((key.clone(), node.clone())),
        };
        Some((key.clone(), Node::text(text, node.place)))
    });
    Node { content: Content::Map(entries.collect()), place: node.place }
}

/// A file of `NAME=value` lines.
fn read_env_file(node: &Node, around: &Surroundings) -> Result<Node, String> {
    let path = node.as_text().ok_or("expected the path of a file")?;
    let path = path.replace("${workspaceFolder}", &around.workspace.to_string_lossy());
    let path = around.workspace.join(Path::new(&path));
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
    let mut entries = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("a line of {} is not NAME=value", path.display()))?;
        let value = value.trim();
        let unquoted = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
            .unwrap_or(value);
        // What stands in the file is meant as it stands.
        let value = unquoted.replace("${", "$${");
        entries.push((
            Key { name: name.trim().to_owned(), place: node.place },
            Node::text(value, node.place),
        ));
    }
    Ok(Node { content: Content::Map(entries), place: node.place })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::parse;

    fn translated(text: &str) -> Result<(serde_json::Value, Vec<String>), Vec<Finding>> {
        let around = Surroundings::of(Path::new("/nowhere/mcp.json"));
        translate(&parse(text).unwrap(), &around).map(|(tree, notices)| (tree.to_json(), notices))
    }

    #[test]
    fn files_of_agents_and_editors_are_told_from_our_own() {
        for (text, foreign) in [
            ("{\"mcpServers\": {}}", true),
            ("{\"servers\": {\"a\": {\"type\": \"http\", \"url\": \"u\"}}}", true),
            ("{\"mcp\": {\"servers\": {}}}", true),
            ("{\"servers\": {\"a\": {\"url\": \"u\"}}}", false),
            ("servers: {a: {command: x}}", false),
            ("listen: 127.0.0.1:1", false),
        ] {
            assert_eq!(is_foreign(&parse(text).unwrap()), foreign, "{text}");
        }
    }

    #[test]
    fn entries_are_translated_and_nothing_is_lost_in_silence() {
        let (tree, notices) = translated(
            r#"{"mcpServers": {
                "my server": {"command": "x", "env": {"N": 1, "B": null}, "alwaysAllow": []},
                "Web": {"serverUrl": "https://a/", "headers": {"K": "v"}, "oauth": {}},
                "web": {"type": "sse", "url": "https://b/", "enabled": false}
            }}"#,
        )
        .unwrap();
        assert_eq!(
            tree,
            serde_json::json!({ "servers": {
                "my-server": { "command": "x", "env": { "N": "1" } },
                "Web": { "url": "https://a/", "headers": { "K": "v" } },
                "web-2": { "url": "https://b/", "disabled": true },
            }})
        );
        assert_eq!(notices.len(), 3, "{notices:?}");
        assert!(notices.iter().any(|notice| notice.contains("oauth")));
    }

    #[test]
    fn an_unknown_transport_is_refused_in_its_place() {
        let findings =
            translated("{\"mcpServers\": {\"a\":\n {\"type\": \"ws\", \"url\": \"u\"}}}")
                .unwrap_err();
        assert_eq!((findings[0].key.as_str(), findings[0].place.line), ("a.type", 2));
    }
}
