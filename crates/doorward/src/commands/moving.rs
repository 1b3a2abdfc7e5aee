//! `doorward clients setup --move`: servers of a client's file as servers of the gateway.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorward_clients::{Client, others};
use serde_json::{Value, json};

use crate::config;

/// What can be moved, and what cannot.
#[derive(Default)]
pub struct Found {
    /// The name in the client's file, the name at the gateway, and the settings.
    pub servers: Vec<(String, String, Value)>,
    /// With the reason.
    pub left: Vec<(String, String)>,
}

/// Translates servers of a client's file. What the gateway would not run in the same way stays where it is.
pub fn translated(client: Client, others: Vec<(String, Value)>) -> Found {
    let mut found = Found::default();
    for (name, value) in others {
        match translate(client, &name, value) {
            Ok((at_gateway, settings)) => found.servers.push((name, at_gateway, settings)),
            Err(why) => found.left.push((name, why)),
        }
    }
    found
}

fn translate(client: Client, name: &str, mut value: Value) -> Result<(String, Value), String> {
    if value.get("args").and_then(|args| args.get(0)).is_some_and(|first| first == "connect") {
        return Err("it goes through Doorward already".into());
    }
    if client == Client::Codex {
        others::as_others_write_it(&mut value);
    }
    if client == Client::GeminiCli && others::refers_bare(&value) {
        return Err("it refers to variables as $NAME; write ${NAME} first".into());
    }
    let file = json!({ "mcpServers": { name: value } });
    let mut temporary = tempfile().map_err(|error| error.to_string())?;
    temporary.file.write_all(file.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let loaded = config::load_for_import(&temporary.path)
        .map_err(|report| report.lines().next().unwrap_or_default())?;
    // What is ignored could be what it needs.
    if let Some(notice) = loaded.notices.iter().find(|notice| notice.contains("ignored")) {
        return Err(notice.clone());
    }
    let (at_gateway, settings) =
        loaded.settings.servers.into_iter().next().ok_or("it is not a server")?;
    let settings = serde_json::to_value(settings).map_err(|error| error.to_string())?;
    Ok((at_gateway, settings))
}

struct Temporary {
    path: std::path::PathBuf,
    file: std::fs::File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file that only this user can read: entries contain credentials.
fn tempfile() -> std::io::Result<Temporary> {
    use std::os::unix::fs::OpenOptionsExt;
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = jiff::Timestamp::now().as_nanosecond();
    let name = format!(".doorward-{}-{now}-{count}.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok(Temporary { path, file })
}
