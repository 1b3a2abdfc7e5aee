//! `doorward requests`: users' requests for access.

use std::io::Write;
use std::path::Path;

use doorward_admin::service::ById;
use doorward_admin::service::requests::{self, File, Grant, List, Refuse, Request};
use doorward_store::Granted;

use super::keys::date;
use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::{GrantBy, Requests};
use crate::terminal::{self, one_line};

/// Longest policy file, in bytes.
const MOST: u64 = 1 << 20;

pub async fn run(options: Requests) -> Result<(), Failed> {
    match options {
        Requests::List { kept, state, json } => {
            let wanted = List { state: Some(state), ..List::default() };
            list(&place(&kept).await?.list(&requests::LIST, &wanted).await?, json)
        }
        Requests::Show { kept, id, json } => {
            show(&place(&kept).await?.call(&requests::SHOW, ById { id }).await?, json)
        }
        Requests::Grant { kept, id, by: GrantBy { role, team, policy, note } } => {
            let policy = policy.as_deref().map(file).transpose()?;
            let wanted = Grant { id, role, team, policy, note };
            told(&place(&kept).await?.call(&requests::GRANT, wanted).await?)
        }
        Requests::Refuse { kept, id, reason } => {
            let wanted = Refuse { id, reason };
            told(&place(&kept).await?.call(&requests::REFUSE, wanted).await?)
        }
    }
}

fn file(path: &Path) -> Result<File, Failed> {
    let failed = |why: String| Failed::new(Exit::Failure, format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > MOST {
        return Err(failed(format!("a policy file has at most {MOST} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(File { name: name.unwrap_or_default(), text })
}

fn list(all: &[Request], json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &all)?;
        return Ok(());
    }
    let mut rows =
        vec![["ID", "STATE", "REQUESTER", "FOR", "NAME", "WHY", "CREATED"].map(str::to_owned)];
    for one in all {
        let request = &one.request;
        rows.push([
            request.id.clone(),
            request.state.as_str().into(),
            one_line(&request.requester),
            request.kind.as_str().into(),
            one_line(&request.name),
            one_line(&request.why),
            date(request.created),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn show(one: &Request, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, one)?;
        return Ok(());
    }
    let request = &one.request;
    let mut rows = vec![
        ["State".to_owned(), request.state.as_str().to_owned()],
        ["Requester".to_owned(), one_line(&request.requester)],
        ["For".to_owned(), format!("{} {}", request.kind.as_str(), one_line(&request.name))],
        ["Why".to_owned(), one_line(&request.why)],
        ["Created".to_owned(), date(request.created)],
        ["Expires".to_owned(), date(request.expires)],
    ];
    let mut more = |name: &str, text: Option<String>| {
        rows.extend(text.map(|text| [name.to_owned(), one_line(&text)]));
    };
    more("URL", request.url.clone());
    more("Tenant", request.tenant.clone());
    if let Some(entry) = &one.known_as {
        let names = |all: &std::collections::BTreeSet<String>| {
            (!all.is_empty()).then(|| all.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        more("Teams", names(&entry.teams));
        more("Roles", names(&entry.roles));
    }
    more("Exists", one.exists.map(|exists| if exists { "yes" } else { "no" }.to_owned()));
    more(
        "Granted",
        request.granted.as_ref().map(|granted| match granted {
            Granted::Role(name) => format!("role {name}"),
            Granted::Team(name) => format!("team {name}"),
            Granted::Policy(name) => format!("policy {name}"),
            Granted::Note(note) => note.clone(),
        }),
    );
    more("Reason", request.reason.clone());
    more("Decided by", request.decided_by.clone());
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn told(one: &Request) -> Result<(), Failed> {
    let (request, mut out) = (&one.request, std::io::stdout().lock());
    let (name, state) = (one_line(&request.name), request.state.as_str());
    writeln!(out, "{name}: {state}")?;
    Ok(())
}
