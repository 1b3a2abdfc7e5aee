//! The entry that points a client at an endpoint.

use crate::client::Client;
use crate::value::Json;

/// The variable that `doorward connect` reads a key from.
pub const VARIABLE: &str = "DOORWARD_KEY";
/// The input by which VS Code asks for the key.
pub const INPUT: &str = "doorward-key";

/// How a client gets the key that it presents.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// It presents none: it logs in, or the gateway requires nothing.
    None,
    /// From a variable of its environment.
    Variable(String),
    /// It asks for the key, and stores it itself.
    Ask,
    /// From its file.
    Literal(String),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Variable(name) => write!(f, "Variable({name})"),
            Self::Ask => f.write_str("Ask"),
            Self::Literal(_) => f.write_str("Literal(…)"),
        }
    }
}

/// What a client is to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the entry.
    pub name: String,
    pub url: String,
    pub key: Key,
    /// The program `doorward`, for clients that can only start a command.
    pub command: String,
}

/// What is written into a client's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub value: Json,
    /// An item of the file's `inputs` (VS Code).
    pub input: Option<Json>,
}

type Members = Vec<(&'static str, Json)>;
/// How a client writes a variable of its environment.
type Variable = fn(&str) -> String;

/// The entry of a client, or why it cannot get its key that way and what to do.
pub fn entry(client: Client, wanted: &Wanted) -> Result<Entry, String> {
    let url = Json::text(&*wanted.url);
    let bearer =
        |key: String| Json::object([("Authorization", Json::text(format!("Bearer {key}")))]);
    let bridge = |more: Vec<String>, env: Option<(&str, &str)>| {
        let args = ["connect".to_owned(), wanted.url.clone()].into_iter().chain(more);
        let args = Json::List(args.map(Json::Text).collect());
        let mut entry =
            vec![("command".into(), Json::text(&*wanted.command)), ("args".into(), args)];
        if let Some((name, value)) = env {
            entry.push(("env".into(), Json::object([(name, Json::text(value))])));
        }
        Json::Object(entry)
    };
    let plain = |value| Ok(Entry { value, input: None });
    // The members before the headers, and a variable as the client writes it.
    let (mut members, variable): (Members, Variable) = match client {
        Client::ClaudeDesktop => {
            return match &wanted.key {
                Key::None => plain(bridge(Vec::new(), None)),
                Key::Literal(key) => plain(bridge(Vec::new(), Some((VARIABLE, key)))),
                Key::Variable(_) => Err(
                    "Claude Desktop does not pass variables to the programs that it starts; put the key into its file with --key-stdin"
                        .into(),
                ),
                Key::Ask => Err(cannot_ask(client)),
            };
        }
        Client::Zed => match &wanted.key {
            // Zed does not read headers from the environment: the key goes through the command.
            Key::Variable(name) if name == VARIABLE => return plain(bridge(Vec::new(), None)),
            Key::Variable(name) => {
                return plain(bridge(vec!["--key-env".into(), name.clone()], None));
            }
            _ => (vec![("url", url)], |name| name.to_owned()),
        },
        Client::Codex => {
            let mut members = vec![("url", url)];
            match &wanted.key {
                Key::None => {}
                Key::Variable(name) => members.push(("bearer_token_env_var", Json::text(&**name))),
                Key::Literal(key) => members.push(("http_headers", bearer(key.clone()))),
                Key::Ask => return Err(cannot_ask(client)),
            }
            return plain(Json::Object(named(members)));
        }
        Client::ClaudeCode => {
            (vec![("type", Json::text("http")), ("url", url)], |name| format!("${{{name}}}"))
        }
        Client::VsCode => {
            (vec![("type", Json::text("http")), ("url", url)], |name| format!("${{env:{name}}}"))
        }
        Client::Cursor => (vec![("url", url)], |name| format!("${{env:{name}}}")),
        Client::Windsurf => (vec![("serverUrl", url)], |name| format!("${{env:{name}}}")),
        Client::GeminiCli => (vec![("httpUrl", url)], |name| format!("${name}")),
    };
    let mut input = None;
    let header = match &wanted.key {
        Key::None => None,
        Key::Variable(name) => Some(variable(name)),
        Key::Literal(key) => Some(key.clone()),
        Key::Ask if client == Client::VsCode => {
            input = Some(Json::object([
                ("type", Json::text("promptString")),
                ("id", Json::text(INPUT)),
                ("description", Json::text("Doorward API key")),
                ("password", Json::Bool(true)),
            ]));
            Some(format!("${{input:{INPUT}}}"))
        }
        Key::Ask => return Err(cannot_ask(client)),
    };
    if let Some(key) = header {
        members.push(("headers", bearer(key)));
    }
    Ok(Entry { value: Json::Object(named(members)), input })
}

fn named(members: Members) -> Vec<(String, Json)> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn cannot_ask(client: Client) -> String {
    format!("{client} cannot ask for a key; use --key-env VARIABLE, or --key-stdin")
}

/// A name that every client takes: letters, digits, hyphens and underscores.
pub fn entry_name(name: &str) -> String {
    let mut plain = String::new();
    let mut replaced = false;
    for c in name.chars() {
        let is_plain = c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if is_plain {
            plain.push(c);
        } else if !replaced {
            plain.push('-');
        }
        replaced = !is_plain;
    }
    let plain = plain.trim_matches('-');
    let plain = &plain[..plain.len().min(40)];
    if plain.is_empty() { "doorward".into() } else { plain.into() }
}
