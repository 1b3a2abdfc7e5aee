//! `doorward clients`: sets up the MCP clients of this computer, and lists those that registered themselves.

use std::io::{Read, Write};
use std::path::PathBuf;

use doorward_admin::Paging;
use doorward_admin::service::{ById, clients};
use doorward_clients::receipts::Receipts;
use doorward_clients::setup::Outcome;
use doorward_clients::snippet::{Auth, NOTES, snippet};
use doorward_clients::undo::Undoing;
use doorward_clients::{
    Error, Key, Os, Scope, Surroundings, Wanted, diff, entry_name, setup, status, undo,
};
use url::Url;

use super::keys::date;
use super::{Exit, Failed, data_folder, moving};
use crate::administer::place;
use crate::cli::{
    AuthWay, ClientFile, Clients, ScopeOf, SetUp, ShowClient, StatusOfClients, UndoClient,
};
use crate::terminal::{self, one_line};

/// Longest key that is read from standard input.
const MAX_KEY: u64 = 16 << 10;

pub async fn run(options: Clients) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Clients::Status(options) => show_status(&options),
        Clients::Setup(options) => set_up(&options),
        Clients::Undo(options) => take_out(&options),
        Clients::Show(options) => show(&options),
        Clients::List { kept, json } => {
            let clients = place(&kept).await?.list(&clients::LIST, &Paging::default()).await?;
            if json {
                terminal::json(&mut out, &clients)?;
                return Ok(());
            }
            let mut rows = vec![["ID", "NAME", "REGISTERED", "LAST CONSENT"].map(str::to_owned)];
            for client in &clients {
                let name = &client.registration;
                rows.push([
                    client.id.clone(),
                    one_line(name["client_name"].as_str().unwrap_or_default()),
                    date(client.created),
                    client.used.map_or_else(|| "never".into(), date),
                ]);
            }
            terminal::table(&mut out, &rows)?;
            Ok(())
        }
        Clients::Remove { kept, id } => {
            let wanted = ById { id: id.clone() };
            place(&kept).await?.call(&clients::REMOVE, wanted).await?;
            writeln!(out, "removed {} and revoked its grants", one_line(&id))?;
            Ok(())
        }
    }
}

fn failed(error: &Error) -> Failed {
    let exit = match error {
        Error::Key(_) | Error::KeyInProject(_) | Error::NoProject(_) => Exit::Usage,
        _ => Exit::Failure,
    };
    Failed::new(exit, error.to_string())
}

/// This computer, and what was set up on it.
struct Here {
    home: PathBuf,
    project: PathBuf,
    receipts: Receipts,
}

impl Here {
    fn new() -> Result<Self, Failed> {
        let home = std::env::home_dir().filter(|home| home.is_absolute()).ok_or_else(|| {
            Failed::new(Exit::Failure, "there is no HOME in which a client could have its files")
        })?;
        let data = data_folder().unwrap_or_else(|| home.join(".local/share/doorward"));
        let receipts = Receipts::read(data.join("clients.json")).map_err(|error| failed(&error))?;
        Ok(Self { home, project: std::env::current_dir()?, receipts })
    }

    fn around(&self) -> Surroundings<'static> {
        Surroundings {
            os: Os::here(),
            home: self.home.clone(),
            project: self.project.clone(),
            env: &|name| std::env::var(name).ok(),
        }
    }

    /// The file that is meant, and for whom it is.
    fn file(
        &self,
        client: doorward_clients::Client,
        at: &ClientFile,
    ) -> Result<(PathBuf, Scope), Failed> {
        let scope = match at.scope {
            ScopeOf::User => Scope::User,
            ScopeOf::Project => Scope::Project,
        };
        let file = setup::file(client, scope, at.file.as_deref(), &self.around());
        Ok((file.map_err(|error| failed(&error))?, scope))
    }
}

fn set_up(options: &SetUp) -> Result<(), Failed> {
    let client = options.client;
    let url = endpoint(&options.endpoint.url, options.portal.as_deref())?;
    let name = entry_name(&options.name);
    if name != options.name {
        let why = format!(
            "'{}' cannot be the name of an entry in every client; '{name}' can",
            options.name
        );
        return Err(Failed::new(Exit::Usage, why));
    }
    let key = key(options)?;
    let command = std::env::current_exe()?.to_string_lossy().into_owned();
    let wanted = Wanted { name, url: url.as_str().to_owned(), key, command };
    let mut here = Here::new()?;
    let (file, scope) = here.file(client, &options.at)?;
    let plan = setup::plan(client, scope, file, &wanted, &here.receipts);
    let plan = plan.map_err(|error| failed(&error))?;
    let mut out = std::io::stdout().lock();
    let shown = plan.file.display().to_string();
    let name = plan.name.clone();
    if plan.outcome == Outcome::Unchanged {
        if options.move_to.is_some() {
            let why = format!(
                "{client} has the entry '{name}' already; run 'doorward clients undo {}' first, then move its servers",
                client.id()
            );
            return Err(Failed::new(Exit::Failure, why));
        }
        writeln!(
            out,
            "{client} has the entry '{name}' for {url} already, in {}",
            one_line(&shown)
        )?;
        return Ok(());
    }
    let (moving, plan) = match &options.move_to {
        None => (Vec::new(), plan),
        Some(_) => {
            let others = plan.others().map_err(|error| failed(&error))?;
            let found = moving::translated(client, others);
            for (name, why) in &found.left {
                writeln!(out, "'{}' stays where it is: {}", one_line(name), one_line(why))?;
            }
            let names: Vec<String> = found.servers.iter().map(|(name, ..)| name.clone()).collect();
            (found.servers, plan.without(&names).map_err(|error| failed(&error))?)
        }
    };
    if options.dry_run {
        writeln!(out, "{}", one_line(&shown))?;
        return print_diff(&mut out, plan.texts(), &wanted.key);
    }
    if let Some(to) = &options.move_to {
        // First where they go: what fails leaves the client as it is.
        for (_, name, settings) in &moving {
            super::catalog::add_to(to, name, settings)?;
            let to = one_line(&to.display().to_string());
            writeln!(out, "moved '{}' to {to}", one_line(name))?;
        }
    }
    let outcome = plan.outcome;
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let done = plan.execute(&mut here.receipts, &time).map_err(|error| failed(&error))?;
    let verb = if outcome == Outcome::Added { "added" } else { "replaced" };
    writeln!(out, "{verb} the entry '{name}' for {url} in {}", one_line(&shown))?;
    if let Some(backup) = done.backup {
        writeln!(out, "backup: {}", one_line(&backup.display().to_string()))?;
    }
    for note in notes(client, &wanted, &url) {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out, "undo with: doorward clients undo {}", client.id())?;
    Ok(())
}

/// What to know and to do.
fn notes(client: doorward_clients::Client, wanted: &Wanted, url: &Url) -> Vec<String> {
    let mut notes = vec![format!("restart {client} if it is running")];
    match &wanted.key {
        Key::Variable(name) => notes.push(format!("start {client} with {name} in its environment")),
        Key::Literal(_) => notes.push("the file contains the key, and only you can read it".into()),
        Key::Ask => notes.push(format!("{client} asks for the key when it connects")),
        Key::None => {}
    }
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_local {
        notes.push(format!(
            "{url} is not encrypted: others on the way can read calls and keys; use https"
        ));
    }
    notes
}

/// The URL of an endpoint, or of one of its portals.
fn endpoint(url: &Url, portal: Option<&str>) -> Result<Url, Failed> {
    let wrong = |why: String| Failed::new(Exit::Usage, why);
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong(format!("{url} is not an http:// or https:// URL")));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "the URL must have no user, password or fragment; keys go to --key-env or --key-stdin"
                .into(),
        ));
    }
    if url.as_str().contains('$') {
        return Err(wrong(
            "the URL must not contain '$': clients take what follows for a variable".into(),
        ));
    }
    let mut url = url.clone();
    if let Some(portal) = portal {
        if portal.is_empty()
            || !portal.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return Err(wrong(format!("'{portal}' cannot be the name of a portal")));
        }
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(portal);
        }
    }
    Ok(url)
}

fn key(options: &SetUp) -> Result<Key, Failed> {
    let wrong = |why: &str| Failed::new(Exit::Usage, why);
    if let Some(name) = &options.key_env {
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        return match is_name {
            true => Ok(Key::Variable(name.clone())),
            false => Err(wrong("--key-env expects the name of a variable, not a key")),
        };
    }
    if options.key_ask {
        return Ok(Key::Ask);
    }
    if !options.key_stdin {
        return Ok(Key::None);
    }
    let mut text = String::new();
    std::io::stdin().take(MAX_KEY + 1).read_to_string(&mut text)?;
    let key = text.trim();
    // The characters of a bearer token (RFC 6750), none of which means anything in a file.
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if key.is_empty() || text.len() as u64 > MAX_KEY || !key.chars().all(is_token) {
        return Err(wrong(
            "standard input is not a key: one line of letters, digits and -._~+/= is expected",
        ));
    }
    Ok(Key::Literal(key.to_owned()))
}

fn take_out(options: &UndoClient) -> Result<(), Failed> {
    let client = options.client;
    let mut here = Here::new()?;
    let (file, _) = here.file(client, &options.at)?;
    let plan = undo::plan(client, &file, options.name.as_deref(), &here.receipts);
    let plan = plan.map_err(|error| failed(&error))?;
    let mut out = std::io::stdout().lock();
    let shown = one_line(&file.display().to_string());
    if options.dry_run {
        writeln!(out, "{shown}")?;
        return print_diff(&mut out, plan.texts(), &Key::None);
    }
    let (undoing, name) = (plan.undoing, plan.name().to_owned());
    let backup = plan.backup().map(|path| one_line(&path.display().to_string()));
    plan.execute(&mut here.receipts).map_err(|error| failed(&error))?;
    match undoing {
        Undoing::Restored => writeln!(out, "{shown} is as it was before 'doorward clients setup'")?,
        Undoing::Deleted => {
            writeln!(out, "deleted {shown}, which 'doorward clients setup' had created")?;
        }
        Undoing::TakenOut => writeln!(
            out,
            "removed the entry '{name}' from {shown}; other changes since the setup are kept"
        )?,
        Undoing::Gone => {
            writeln!(out, "{shown} has no entry '{name}' any more; nothing was changed")?;
        }
    }
    if let Some(backup) = backup.filter(|_| undoing == Undoing::TakenOut) {
        writeln!(out, "backup from before the setup: {backup}")?;
    }
    Ok(())
}

/// Prints the lines that change, without keys.
fn print_diff(out: &mut impl Write, texts: (&str, &str), key: &Key) -> Result<(), Failed> {
    let secret = match key {
        Key::Literal(key) => &**key,
        _ => "",
    };
    for line in diff::lines(texts.0, texts.1, &[secret]) {
        let line =
            doorward_inspect::written::text(&line, doorward_inspect::written::Keep::Personal);
        writeln!(out, "{}", terminal::harmless(&line))?;
    }
    Ok(())
}

fn show_status(options: &StatusOfClients) -> Result<(), Failed> {
    let here = Here::new()?;
    let all = status::list(&here.around(), &[options.endpoint.url.as_str()], &here.receipts);
    let mut out = std::io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &all)?;
        return Ok(());
    }
    if all.is_empty() {
        writeln!(out, "no MCP client was found on this computer")?;
        return Ok(());
    }
    let mut rows = vec![["CLIENT", "THROUGH DOORWARD", "DIRECT", "FILE"].map(str::to_owned)];
    for one in &all {
        let list = |names: &[String]| match names {
            [] => "-".to_owned(),
            names => one_line(&names.join(", ")),
        };
        rows.push([
            one.client.into(),
            list(&one.through),
            list(&one.around),
            one_line(&one.file.display().to_string()),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    for one in &all {
        if let Some(problem) = &one.problem {
            writeln!(out, "{}: {}", one.client, one_line(problem))?;
        }
    }
    Ok(())
}

fn show(options: &ShowClient) -> Result<(), Failed> {
    let url = endpoint(&options.endpoint.url, options.portal.as_deref())?;
    let name = options.name.as_deref().or(options.portal.as_deref()).unwrap_or("doorward");
    let auth = match options.auth {
        AuthWay::Oauth => Auth::OAuth,
        AuthWay::Key => Auth::Key,
        AuthWay::None => Auth::None,
    };
    let made = snippet(options.client, url.as_str(), name, auth);
    let mut out = std::io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &made)?;
        return Ok(());
    }
    // Only the snippet goes to standard output, so that it can be piped.
    let note = NOTES.iter().find(|(key, _)| Some(*key) == made.note).map(|(_, note)| *note);
    if let Some(file) = made.file {
        eprintln!("# {} reads {file}", made.name);
    }
    writeln!(out, "{}", terminal::harmless(&made.text))?;
    if let Some(note) = note {
        eprintln!("# {note}");
    }
    Ok(())
}
