//! MCP bundles (`.mcpb`): a zip archive with a `manifest.json` that says how the server is started.

use std::collections::BTreeMap;
use std::path::Path;

use doorward_config::{Secret, UserValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::unpack::{Unpacker, read_from_zip, unpack_zip};

const MANIFEST: &str = "manifest.json";
/// Texts that a bundle starts with, and what they become.
const MAX_ARGUMENTS: usize = 1_000;

/// What is kept of a manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(skip_serializing)]
    pub name: String,
    #[serde(skip_serializing)]
    pub version: String,
    server: Server,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    user_config: BTreeMap<String, Wanted>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Server {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry_point: Option<String>,
    mcp_config: Config,
}

/// What runs a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Node,
    Python,
    Binary,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    command: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    platform_overrides: BTreeMap<String, Override>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Override {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
}

/// A value that the user provides.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wanted {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    multiple: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

/// How a bundle is started.
#[derive(Debug)]
pub struct Start {
    pub kind: Kind,
    /// For a binary, its path below the folder.
    pub command: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, Secret>,
}

impl Manifest {
    /// # Errors
    /// If the bundle has none, or one of a kind that is not supported.
    pub fn of_bundle(bytes: &[u8]) -> Result<Self> {
        let text = read_from_zip(bytes, MANIFEST)?;
        let text = text.ok_or_else(|| Error::refused("it has no manifest.json"))?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::unsupported(format!(
                "its manifest.json cannot be used (servers of type node, python and binary can): {error}"
            ))
        })
    }

    /// # Errors
    /// If the lock file has another form of it.
    pub fn of_lock(value: &Value) -> Result<Self> {
        let mut value = value.clone();
        // Neither is needed any more.
        for key in ["name", "version"] {
            value.as_object_mut().map(|value| value.insert(key.into(), "".into()));
        }
        serde_json::from_value(value)
            .map_err(|error| Error::NotLocked(format!("the manifest in the lock file: {error}")))
    }

    /// How the bundle in a folder is started with the values of the user.
    ///
    /// # Errors
    /// If a value is missing, unknown or of another type, or the command is neither the machine's Node or Python nor a file
    /// of the bundle.
    pub fn start(&self, folder: &Path, values: &BTreeMap<String, UserValue>) -> Result<Start> {
        let texts = self.texts(values)?;
        let config = &self.server.mcp_config;
        let none = Override::default();
        let over = config.platform_overrides.get("linux").unwrap_or(&none);
        let command = over.command.as_ref().unwrap_or(&config.command);
        let args = over.args.as_ref().unwrap_or(&config.args);
        let fill = Fill { folder, texts: &texts };
        let mut all = Vec::new();
        for arg in args {
            all.extend(fill.argument(arg)?);
        }
        if all.len() > MAX_ARGUMENTS {
            return Err(Error::refused(format!("more than {MAX_ARGUMENTS} arguments")));
        }
        let mut env = BTreeMap::new();
        for (name, value) in config.env.iter().chain(&over.env) {
            env.insert(name.clone(), Secret(fill.text(value)?));
        }
        let command = match self.server.kind {
            Kind::Node if is_program(command, &["node"]) => String::new(),
            Kind::Python if is_program(command, &["python", "python3"]) => String::new(),
            Kind::Node | Kind::Python => {
                return Err(Error::unsupported(format!(
                    "its command '{command}' is neither 'node' nor 'python'"
                )));
            }
            Kind::Binary => inside(command).ok_or_else(|| {
                Error::unsupported(format!("its command '{command}' is not a file of the bundle"))
            })?,
        };
        Ok(Start { kind: self.server.kind, command, args: all, env })
    }

    /// The user's values as texts, checked against what the manifest wants.
    fn texts(&self, values: &BTreeMap<String, UserValue>) -> Result<BTreeMap<String, Vec<String>>> {
        if let Some(unknown) = values.keys().find(|name| !self.user_config.contains_key(*name)) {
            let names: Vec<&str> = self.user_config.keys().map(String::as_str).collect();
            return Err(Error::unsupported(format!(
                "'user_config.{unknown}' is not known to the bundle; it has: {}",
                names.join(", ")
            )));
        }
        let mut texts = BTreeMap::new();
        for (name, wanted) in &self.user_config {
            let default = wanted.default.clone().map(serde_json::from_value::<UserValue>);
            let value = match (values.get(name).cloned(), default) {
                (Some(value), _) => Some(value),
                (None, Some(Ok(default))) => Some(default),
                (None, _) => None,
            };
            let Some(value) = value else {
                if wanted.required {
                    let why = format!("'user_config.{name}' is required by the bundle");
                    return Err(Error::unsupported(why));
                }
                texts.insert(name.clone(), Vec::new());
                continue;
            };
            let text = wanted
                .check(&value)
                .map_err(|why| Error::unsupported(format!("'user_config.{name}': {why}")))?;
            texts.insert(name.clone(), text);
        }
        Ok(texts)
    }
}

impl Wanted {
    fn check(&self, value: &UserValue) -> Result<Vec<String>, String> {
        let is_text = matches!(self.kind.as_str(), "string" | "directory" | "file");
        match value {
            UserValue::Switch(on) if self.kind == "boolean" => Ok(vec![on.to_string()]),
            UserValue::Number(number) if self.kind == "number" => {
                let value = number.as_f64().unwrap_or(f64::NAN);
                let within = self.min.is_none_or(|min| value >= min)
                    && self.max.is_none_or(|max| value <= max);
                if within { Ok(vec![number.to_string()]) } else { Err("out of range".into()) }
            }
            UserValue::Text(text) if is_text => Ok(vec![text.expose().to_owned()]),
            UserValue::List(list) if is_text && self.multiple => {
                Ok(list.iter().map(|text| text.expose().to_owned()).collect())
            }
            _ => Err(format!("expected a value of type {}", self.kind)),
        }
    }
}

fn is_program(command: &str, names: &[&str]) -> bool {
    names.contains(&command)
}

/// A path of the bundle's own, from the folder on.
fn inside(command: &str) -> Option<String> {
    let path = command.strip_prefix("${__dirname}/")?;
    let plain = !path.is_empty() && !path.contains("${") && !path.contains('\\');
    (plain && path.split('/').all(|part| !matches!(part, "" | "." | ".."))).then(|| path.into())
}

struct Fill<'a> {
    folder: &'a Path,
    texts: &'a BTreeMap<String, Vec<String>>,
}

impl Fill<'_> {
    /// An argument; one that is nothing but a value with several texts becomes several.
    fn argument(&self, text: &str) -> Result<Vec<String>> {
        let name = text.strip_prefix("${user_config.").and_then(|rest| rest.strip_suffix('}'));
        match name.and_then(|name| self.texts.get(name)) {
            Some(values) => Ok(values.clone()),
            None => Ok(vec![self.text(text)?]),
        }
    }

    fn text(&self, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let end = inner
                .find('}')
                .ok_or_else(|| Error::unsupported(format!("'{text}' has a '${{' without '}}'")))?;
            let name = &inner[..end];
            match (name, name.strip_prefix("user_config.").and_then(|it| self.texts.get(it))) {
                (_, Some(values)) => out.push_str(&values.join(",")),
                ("__dirname", _) => out.push_str(&self.folder.display().to_string()),
                ("/" | "pathSeparator", _) => out.push('/'),
                ("HOME", _) => out.push_str(&std::env::var("HOME").unwrap_or_default()),
                _ => return Err(Error::unsupported(format!("'${{{name}}}' is not known"))),
            }
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Unpacks a bundle. What it starts is made a program, whatever the archive says.
///
/// # Errors
/// If its archive is refused.
pub fn unpack(unpacker: &mut Unpacker, bytes: &[u8], manifest: &Manifest) -> Result<()> {
    let config = &manifest.server.mcp_config;
    let over = config.platform_overrides.get("linux").and_then(|over| over.command.as_ref());
    let program = inside(over.unwrap_or(&config.command));
    unpack_zip(unpacker, bytes, |name, executable| {
        let is_program = program.as_deref() == Some(name);
        Some((name.to_owned(), executable || is_program))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value)]
    fn manifest(server: Value, user_config: Value) -> Manifest {
        let whole =
            json!({"name": "x", "version": "1", "server": server, "user_config": user_config});
        let read: Manifest = serde_json::from_value(whole).unwrap();
        // The manifest as it is read back from the lock file.
        Manifest::of_lock(&serde_json::to_value(read).unwrap()).unwrap()
    }

    fn values(value: Value) -> BTreeMap<String, UserValue> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_bundle_is_started_with_the_users_values() {
        let server = json!({"type": "node", "entry_point": "server/index.js", "mcp_config": {
            "command": "node",
            "args": ["${__dirname}/server/index.js", "--n=${user_config.n}", "${user_config.folders}"],
            "env": {"KEY": "${user_config.key}"},
            "platform_overrides": {"linux": {"env": {"ON": "linux"}}, "win32": {"command": "node.exe"}},
        }});
        let wanted = json!({
            "n": {"type": "number", "min": 1, "max": 5, "default": 3},
            "folders": {"type": "directory", "multiple": true, "required": true},
            "key": {"type": "string", "sensitive": true, "required": true},
        });
        let manifest = manifest(server, wanted);
        let given = values(json!({"folders": ["/a b", "/c"], "key": "k"}));
        let start = manifest.start(Path::new("/p"), &given).unwrap();
        assert_eq!(start.args, ["/p/server/index.js", "--n=3", "/a b", "/c"]);
        assert_eq!((start.env["KEY"].expose(), start.env["ON"].expose()), ("k", "linux"));
        for (given, said) in [
            (json!({"folders": ["/a"]}), "'user_config.key' is required"),
            (json!({"folders": ["/a"], "key": true}), "type string"),
            (json!({"folders": ["/a"], "key": "k", "n": 9}), "out of range"),
            (json!({"folders": ["/a"], "key": "k", "other": 1}), "is not known to the bundle"),
        ] {
            let refused = manifest.start(Path::new("/p"), &values(given)).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
        // Values are not expanded again.
        let given = values(json!({"folders": ["${HOME}"], "key": "${__dirname}"}));
        let start = manifest.start(Path::new("/p"), &given).unwrap();
        assert_eq!(start.env["KEY"].expose(), "${__dirname}");
    }

    #[test]
    fn only_the_machines_programs_and_its_own_are_started() {
        for (kind, command, good) in [
            ("node", "node", true),
            ("python", "python3", true),
            ("binary", "${__dirname}/bin/serve", true),
            ("node", "/bin/sh", false),
            ("node", "npx", false),
            ("python", "uv", false),
            ("binary", "/bin/sh", false),
            ("binary", "sh", false),
            ("binary", "${__dirname}/../../bin/sh", false),
            ("binary", "${__dirname}/${user_config.x}", false),
        ] {
            let server = json!({"type": kind, "mcp_config": {"command": command}});
            let started = manifest(server, json!({})).start(Path::new("/p"), &BTreeMap::new());
            assert_eq!(started.is_ok(), good, "{kind} {command}");
        }
        let unknown =
            json!({"name": "x", "version": "1", "server": {"type": "uv", "mcp_config": {}}});
        assert!(serde_json::from_value::<Manifest>(unknown).is_err());
    }
}
