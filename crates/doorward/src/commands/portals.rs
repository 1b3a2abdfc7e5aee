//! `doorward portals`: the available endpoints, and how clients connect to them.

use std::io::Write;

use doorward_admin::Paging;
use doorward_admin::service::portals;
use serde_json::{Value, json};

use super::{Exit, Failed};
use crate::administer::Place;
use crate::cli::Portals;
use crate::terminal::{self, one_line};

pub async fn run(options: Portals) -> Result<(), Failed> {
    let place = Place::Gateway(options.operator);
    let all = place.list(&portals::LIST, &Paging::default()).await?;
    let told = serde_json::to_value(all).unwrap_or_default();
    let all = told.as_array().cloned().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let Some(name) = options.name else {
        if options.json {
            terminal::json(&mut out, &told)?;
            return Ok(());
        }
        let mut rows = vec![["PORTAL", "URL", "FROM", "DESCRIPTION"].map(str::to_owned)];
        for portal in &all {
            let text = |value: &Value| one_line(value.as_str().unwrap_or_default());
            rows.push([
                text(&portal["name"]),
                text(&portal["url"]),
                text(&portal["source"]),
                text(&portal["portal"]["description"]),
            ]);
        }
        terminal::table(&mut out, &rows)?;
        return Ok(());
    };
    let named =
        |portal: &&Value| portal["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(&name));
    let unknown = || Failed::new(Exit::Failure, format!("there is no portal '{name}'"));
    let portal = all.iter().find(named).ok_or_else(unknown)?;
    let url = portal["url"].as_str().unwrap_or_default();
    if options.json {
        writeln!(out, "{:#}", snippets(&name, url))?;
        return Ok(());
    }
    let key = "With an API key, add: --header \"Authorization: Bearer $DOORWARD_KEY\"";
    writeln!(out, "Claude Code\n  claude mcp add --transport http {name} {url}\n  {key}\n")?;
    for (client, file, snippet) in files(&name, url) {
        writeln!(out, "{client} ({file})\n  {snippet}\n")?;
    }
    writeln!(
        out,
        "Clients that can log in need only the URL; for others, put the key into\n  \
         \"headers\": {{ \"Authorization\": \"Bearer …\" }}"
    )?;
    Ok(())
}

/// The entries for the configuration files of clients.
fn files(name: &str, url: &str) -> [(&'static str, &'static str, Value); 4] {
    [
        (
            "Claude Desktop",
            "claude_desktop_config.json",
            json!({ "mcpServers": { name: { "command": "doorward", "args": ["connect", url] } } }),
        ),
        ("Cursor", "~/.cursor/mcp.json", json!({ "mcpServers": { name: { "url": url } } })),
        (
            "Windsurf",
            "~/.codeium/windsurf/mcp_config.json",
            json!({ "mcpServers": { name: { "serverUrl": url } } }),
        ),
        (
            "VS Code",
            ".vscode/mcp.json",
            json!({ "servers": { name: { "type": "http", "url": url } } }),
        ),
    ]
}

fn snippets(name: &str, url: &str) -> Value {
    let files = files(name, url).map(
        |(client, file, snippet)| json!({ "client": client, "file": file, "snippet": snippet }),
    );
    json!({ "name": name, "url": url, "clients": files })
}
