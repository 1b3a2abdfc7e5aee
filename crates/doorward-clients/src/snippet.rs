//! What to give to a client or to a program, so that it uses an endpoint. A key is never part of it: it comes from the
//! environment, or is asked for. The console, the portal and the documents show the same words.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::client::{Client, Format};
use crate::entry::{Key, VARIABLE, Wanted, entry, entry_name};
use crate::toml;
use crate::value::{Json, Style, quoted};

/// How a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// It logs in.
    OAuth,
    Key,
    None,
}

/// Who connects: a client, or a program on an official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Client(Client),
    TypeScript,
    Python,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snippet {
    pub name: &'static str,
    /// Where it belongs; `None` for a command or a program.
    pub file: Option<&'static str>,
    pub text: String,
    /// Opens the client, which asks whether to add it.
    pub link: Option<String>,
    /// What to know, as a key of [`NOTES`].
    pub note: Option<&'static str>,
}

/// What to know about a snippet.
pub const NOTES: [(&str, &str); 10] = [
    ("claude-code", "Run it in a terminal. The shell inserts the value of DOORWARD_KEY."),
    ("claude-code-oauth", "Run it in a terminal, then sign in with '/mcp' in Claude Code."),
    ("claude-desktop", "'doorward connect' must be installed on this computer."),
    (
        "claude-desktop-oauth",
        "'doorward connect' does not sign in. Add the URL under Settings > Connectors if the gateway can be reached from the internet, or use a key.",
    ),
    (
        "claude-desktop-key",
        "Claude Desktop does not pass its environment on. Run 'doorward clients setup claude-desktop --key-stdin' on this computer: it writes this entry with the key, in a file that only you can read.",
    ),
    ("vscode-key", "VS Code asks for the key once and stores it in its own secret storage."),
    ("codex-oauth", "Then run 'codex mcp login' with the name of the entry."),
    (
        "zed-key",
        "'doorward connect' must be installed on this computer. It reads the key from DOORWARD_KEY.",
    ),
    ("environment", "Start the client with DOORWARD_KEY in its environment."),
    (
        "sdk-oauth",
        "This sample uses a key. The SDK's documentation shows how a program signs in by OAuth.",
    ),
];

/// What `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

impl Peer {
    pub fn all() -> impl Iterator<Item = Self> {
        Client::ALL.map(Self::Client).into_iter().chain([Self::TypeScript, Self::Python])
    }

    pub const fn id(self) -> &'static str {
        match self {
            Self::Client(client) => client.id(),
            Self::TypeScript => "typescript",
            Self::Python => "python",
        }
    }
}

impl Auth {
    pub const ALL: [Self; 3] = [Self::OAuth, Self::Key, Self::None];

    pub const fn id(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::Key => "key",
            Self::None => "none",
        }
    }
}

/// The snippet by which a peer uses the endpoint `url` under `name`.
pub fn snippet(peer: Peer, url: &str, name: &str, auth: Auth) -> Snippet {
    let client = match peer {
        Peer::Client(client) => client,
        Peer::TypeScript => {
            return program("TypeScript", typescript(url, auth != Auth::None), auth);
        }
        Peer::Python => return program("Python", python(url, auth != Auth::None), auth),
    };
    let has_key = auth == Auth::Key;
    let name = entry_name(name);
    let key = match client {
        // It passes no variable on, and a key is never part of a snippet.
        Client::ClaudeDesktop => Key::None,
        _ if !has_key => Key::None,
        Client::VsCode => Key::Ask,
        _ => Key::Variable(VARIABLE.into()),
    };
    let wanted = Wanted { name, url: url.into(), key, command: "doorward".into() };
    // The keys above are those that each client can get.
    let entry = entry(client, &wanted).ok();
    let value = entry.as_ref().map_or(Json::Bool(false), |entry| entry.value.clone());
    let input = entry.and_then(|entry| entry.input);
    let name = wanted.name;
    let note = match (client, auth) {
        (Client::ClaudeDesktop, Auth::Key) => Some("claude-desktop-key"),
        (Client::ClaudeDesktop, Auth::OAuth) => Some("claude-desktop-oauth"),
        (Client::ClaudeDesktop, Auth::None) => Some("claude-desktop"),
        (Client::ClaudeCode, Auth::Key) => Some("claude-code"),
        (Client::ClaudeCode, Auth::OAuth) => Some("claude-code-oauth"),
        (Client::Codex, Auth::OAuth) => Some("codex-oauth"),
        (Client::VsCode, Auth::Key) => Some("vscode-key"),
        (Client::Zed, Auth::Key) => Some("zed-key"),
        (_, Auth::Key) => Some("environment"),
        _ => None,
    };
    let link = match client {
        Client::Cursor => Some(cursor_link(&name, &value)),
        Client::VsCode => Some(vscode_link(&name, &value, input.as_ref())),
        _ => None,
    };
    let text = match client {
        Client::ClaudeCode => command(&name, url, has_key),
        _ if client.format() == Format::Toml => toml::table(client.parent(), &name, &value),
        _ => {
            let mut members: Vec<_> = input
                .into_iter()
                .map(|input| ("inputs".to_owned(), Json::List(vec![input])))
                .collect();
            members.push((client.parent().into(), Json::Object(vec![(name, value)])));
            Json::Object(members).pretty(&Style::default(), "")
        }
    };
    Snippet { name: client.name(), file: file(client), text, link, note }
}

/// The file that people know.
const fn file(client: Client) -> Option<&'static str> {
    match client {
        Client::ClaudeCode => None,
        Client::ClaudeDesktop => Some("claude_desktop_config.json"),
        Client::Cursor => Some("~/.cursor/mcp.json"),
        Client::VsCode => Some(".vscode/mcp.json"),
        Client::Windsurf => Some("~/.codeium/windsurf/mcp_config.json"),
        Client::Codex => Some("~/.codex/config.toml"),
        Client::GeminiCli => Some("~/.gemini/settings.json"),
        Client::Zed => Some("~/.config/zed/settings.json"),
    }
}

fn command(name: &str, url: &str, has_key: bool) -> String {
    let header = format!(" --header \"Authorization: Bearer ${VARIABLE}\"");
    let more = if has_key { &*header } else { "" };
    format!("claude mcp add --transport http {name} {}{more}", word(url))
}

/// A word of a command, for POSIX shells.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

fn cursor_link(name: &str, server: &Json) -> String {
    use base64::Engine as _;
    let config = base64::engine::general_purpose::STANDARD.encode(server.compact());
    let (name, config) = (component(name), component(&config));
    format!("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={config}")
}

fn vscode_link(name: &str, server: &Json, input: Option<&Json>) -> String {
    let mut members = vec![("name".to_owned(), Json::text(name))];
    if let Json::Object(server) = server {
        members.extend(server.iter().cloned());
    }
    members.extend(input.map(|input| ("inputs".to_owned(), Json::List(vec![input.clone()]))));
    format!("vscode:mcp/install?{}", component(&Json::Object(members).compact()))
}

fn program(name: &'static str, text: String, auth: Auth) -> Snippet {
    let note = match auth {
        Auth::OAuth => Some("sdk-oauth"),
        Auth::Key => Some("environment"),
        Auth::None => None,
    };
    Snippet { name, file: None, text, link: None, note }
}

fn typescript(url: &str, has_key: bool) -> String {
    let options = format!(
        ", {{\n  requestInit: {{ headers: {{ Authorization: `Bearer ${{process.env.{VARIABLE}}}` }} }},\n}}"
    );
    let options = if has_key { &*options } else { "" };
    let url = quoted(url);
    format!(
        r#"// npm install @modelcontextprotocol/client
import {{ Client, StreamableHTTPClientTransport }} from "@modelcontextprotocol/client";

const client = new Client({{ name: "my-agent", version: "1.0.0" }});
await client.connect(new StreamableHTTPClientTransport(new URL({url}){options}));
const {{ tools }} = await client.listTools();
console.log(tools.map((tool) => tool.name));
await client.close();"#
    )
}

fn python(url: &str, has_key: bool) -> String {
    let url = quoted(url);
    let list = |indent: &str| {
        format!(
            "{indent}found = await client.list_tools()\n{indent}print([tool.name for tool in found.tools])"
        )
    };
    let (first, transport, body) = if has_key {
        (
            "import asyncio\nimport os\n\nimport httpx2",
            "\nfrom mcp.client.streamable_http import streamable_http_client",
            format!(
                r#"    headers = {{"Authorization": f"Bearer {{os.environ['{VARIABLE}']}}"}}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client({url}, http_client=http)) as client:
{}"#,
                list("            ")
            ),
        )
    } else {
        let body = format!("    async with Client({url}) as client:\n{}", list("        "));
        ("import asyncio\n", "", body)
    };
    format!(
        "# pip install \"mcp>=2\"\n{first}\nfrom mcp import Client{transport}\n\n\nasync def main():\n{body}\n\n\nasyncio.run(main())"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same for every pair of an address and a name: read by the console's tests, too.
    const ALL: &str = include_str!("../../doorward-console/app/tests/fixtures/snippets.json");
    const ENDPOINTS: [(&str, &str); 3] = [
        ("http://127.0.0.1:7300/mcp", "doorward"),
        ("https://tools.example.com/mcp/support", "support"),
        ("https://e.example/mcp/$(id)'\"`\\ä", "x\"; rm -rf ~; '$(id)' - `id` ]\n[a"),
    ];

    #[test]
    fn they_are_those_that_the_console_shows() {
        let mut all = Vec::new();
        for (url, name) in ENDPOINTS {
            for peer in Peer::all() {
                for auth in Auth::ALL {
                    let made = snippet(peer, url, name, auth);
                    all.push(serde_json::json!({
                        "client": peer.id(), "url": url, "name": name, "auth": auth.id(), "snippet": made,
                    }));
                }
            }
        }
        let notes: serde_json::Map<_, _> =
            NOTES.into_iter().map(|(key, note)| (key.into(), note.into())).collect();
        let made = serde_json::json!({ "notes": notes, "snippets": all });
        if std::env::var_os("DOORWARD_WRITE_SNIPPETS").is_some() {
            let path = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../doorward-console/app/tests/fixtures/snippets.json"
            );
            std::fs::write(path, format!("{made:#}\n")).unwrap();
            return;
        }
        let written: serde_json::Value = serde_json::from_str(ALL).unwrap();
        let same = made == written;
        assert!(same, "write them with DOORWARD_WRITE_SNIPPETS=1, then run 'npm test' in app");
    }

    #[test]
    fn they_parse_whatever_the_address_is() {
        for (url, name) in ENDPOINTS {
            for client in Client::ALL {
                for auth in Auth::ALL {
                    let text = snippet(Peer::Client(client), url, name, auth).text;
                    match client.format() {
                        _ if client == Client::ClaudeCode => assert!(!text.contains('\n')),
                        Format::Toml => {
                            assert_eq!(toml::entries(&text, "mcp_servers").unwrap().len(), 1);
                        }
                        Format::Json => {
                            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                            assert!(value[client.parent()][entry_name(name)].is_object());
                        }
                    }
                    assert!(auth == Auth::Key || !text.contains(VARIABLE), "{text}");
                }
            }
        }
    }
}
