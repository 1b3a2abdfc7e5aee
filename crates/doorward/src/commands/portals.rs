//! `doorward portals`: the available endpoints, and how clients connect to them.

use std::io::Write;

use doorward_admin::Paging;
use doorward_admin::service::portals;
use doorward_clients::Client;
use doorward_clients::snippet::{Auth, Peer, Snippet, snippet};
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
    let made = snippets(&name, url);
    if options.json {
        writeln!(out, "{:#}", json_of(&name, url, &made))?;
        return Ok(());
    }
    for (client, snippet) in made {
        let place = snippet.file.map(|file| format!(" ({file})")).unwrap_or_default();
        let text = snippet.text.replace('\n', "\n  ");
        writeln!(out, "{}{place}\n  {}\n", client.name(), terminal::harmless(&text))?;
    }
    writeln!(
        out,
        "'doorward clients setup CLIENT --url {url}' writes a client's file. Clients that can log in need only the URL;\n\
         'doorward clients show CLIENT --url {url} --auth key' prints the same with a key."
    )?;
    Ok(())
}

/// What to give to each client.
fn snippets(name: &str, url: &str) -> Vec<(Client, Snippet)> {
    let made = |client| (client, snippet(Peer::Client(client), url, name, Auth::None));
    Client::ALL.map(made).into()
}

fn json_of(name: &str, url: &str, made: &[(Client, Snippet)]) -> Value {
    let clients = made.iter().map(|(client, made)| {
        // The contents of a JSON file as JSON, anything else as text.
        let content = serde_json::from_str(&made.text).unwrap_or_else(|_| json!(made.text));
        json!({ "client": client.name(), "file": made.file, "snippet": content, "link": made.link })
    });
    json!({ "name": name, "url": url, "clients": clients.collect::<Vec<_>>() })
}
