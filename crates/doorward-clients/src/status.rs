//! Which clients are here, and whether they go through Doorward.

use std::path::PathBuf;

use serde::Serialize;

use crate::client::{Client, Scope};
use crate::disk;
use crate::document::{self, Server};
use crate::error::Error;
use crate::places::{Surroundings, is_here, places};
use crate::receipts::Receipts;

/// One file of a client.
#[derive(Debug, Serialize)]
pub struct Status {
    pub client: &'static str,
    pub name: &'static str,
    pub file: PathBuf,
    /// Entries that lead to Doorward.
    pub through: Vec<String>,
    /// Servers that the client connects to by itself.
    pub around: Vec<String>,
    /// Why the file cannot be read.
    pub problem: Option<String>,
}

/// The clients of this machine, and the files of the project.
pub fn list(around: &Surroundings<'_>, urls: &[&str], receipts: &Receipts) -> Vec<Status> {
    let mut all = Vec::new();
    for client in Client::ALL {
        let mut files = places(client, Scope::User, around);
        files.retain(|file| file.exists());
        if files.is_empty() && is_here(client, around) {
            files = places(client, Scope::User, around).into_iter().take(1).collect();
        }
        let project = places(client, Scope::Project, around);
        files.extend(project.into_iter().filter(|file| file.exists()));
        files.dedup();
        all.extend(files.into_iter().map(|file| status(client, file, urls, receipts)));
    }
    all
}

fn status(client: Client, file: PathBuf, urls: &[&str], receipts: &Receipts) -> Status {
    let read = || -> Result<Vec<Server>, Error> {
        let content = disk::read(&file)?;
        let text = content.as_ref().map_or("", |content| &content.text);
        document::servers(client, text).map_err(|wrong| Error::wrong(&file, text, wrong))
    };
    let (servers, problem) = match read() {
        Ok(servers) => (servers, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let (through, around): (Vec<_>, Vec<_>) = servers.into_iter().partition(|server| {
        receipts.find(client, &file, &server.name).is_some()
            || leads_to_doorward(&server.value, urls)
    });
    let names = |servers: Vec<Server>| servers.into_iter().map(|server| server.name).collect();
    Status {
        client: client.id(),
        name: client.name(),
        through: names(through),
        around: names(around),
        problem,
        file,
    }
}

/// Whether an entry starts `doorward connect`, or has a URL of the gateway.
fn leads_to_doorward(entry: &serde_json::Value, urls: &[&str]) -> bool {
    let text = |name: &str| entry.get(name).and_then(serde_json::Value::as_str);
    let program = text("command").and_then(|command| command.rsplit(['/', '\\']).next());
    let connects = entry.get("args").and_then(|args| args.get(0)).is_some_and(|it| it == "connect");
    if matches!(program, Some("doorward" | "doorward.exe")) && connects {
        return true;
    }
    ["url", "serverUrl", "httpUrl"].into_iter().filter_map(text).any(|url| {
        urls.iter().any(|known| {
            let known = known.trim_end_matches('/');
            url.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    })
}
