//! `doorward catalog`: ready entries for popular servers.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use doorward_admin::service::life;
use doorward_clients::catalog::{self, Auth, Item};
use doorward_mcp::names::is_server_name;
use serde_json::{Value, json};

use super::servers::at;
use super::{Exit, Failed};
use crate::cli::{AddFromCatalog, Catalog};
use crate::config;
use crate::terminal;

pub async fn run(options: Catalog) -> Result<(), Failed> {
    match options {
        Catalog::List { words, json } => list(&words.join(" "), json),
        Catalog::Show { id, json } => show(find(&id)?, json),
        Catalog::Add(options) => add(*options).await,
    }
}

fn find(id: &str) -> Result<&'static Item, Failed> {
    catalog::find(id).ok_or_else(|| {
        let why = format!("the catalogue has no entry '{id}'; 'doorward catalog list' lists all");
        Failed::new(Exit::Usage, why)
    })
}

fn list(words: &str, json: bool) -> Result<(), Failed> {
    let found: Vec<_> = catalog::all().iter().filter(|item| item.matches(words)).collect();
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &found)?;
        return Ok(());
    }
    let mut rows = vec![["ID", "RUNS", "NEEDS", "SUMMARY"].map(str::to_owned)];
    for item in found {
        rows.push([
            item.id.clone(),
            if item.is_remote() { "remote" } else { "here" }.into(),
            needs(item).into(),
            item.summary.clone(),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn needs(item: &Item) -> &'static str {
    match item.auth() {
        Auth::None => "-",
        Auth::Key => "a key",
        Auth::OAuth => "a login",
    }
}

fn show(item: &Item, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, item)?;
        return Ok(());
    }
    writeln!(out, "{}: {}\n", item.title, item.summary)?;
    writeln!(out, "publisher  {}", item.publisher)?;
    writeln!(out, "homepage   {}", item.homepage)?;
    writeln!(out, "licence    {}", item.license)?;
    if item.auth() == Auth::OAuth {
        writeln!(out, "login      each user logs in there; requires store_key and public_url")?;
    }
    for parameter in &item.parameters {
        let kind = match (parameter.secret, parameter.required) {
            (true, _) => "a reference to a secret",
            (false, true) => "required",
            (false, false) => "optional",
        };
        writeln!(out, "\n--set {}=…  {} ({kind})", parameter.name, parameter.title)?;
        for text in parameter.help.iter().chain(&parameter.url) {
            writeln!(out, "  {text}")?;
        }
        let variable = parameter.variable.as_ref().map(|name| format!("${{env:{name}}}"));
        if let Some(default) = variable.as_ref().or(parameter.default.as_ref()) {
            writeln!(out, "  default: {default}")?;
        }
    }
    let settings = Value::Object(item.server.clone());
    writeln!(out, "\n{}", yaml(&item.id, &settings)?.trim_end())?;
    Ok(())
}

async fn add(options: AddFromCatalog) -> Result<(), Failed> {
    let item = find(&options.id)?;
    let name = options.name.clone().unwrap_or_else(|| item.id.clone());
    if !is_server_name(&name) {
        return Err(Failed::new(Exit::Usage, format!("'{name}' cannot be the name of a server")));
    }
    let values: BTreeMap<String, String> = options.values.iter().cloned().collect();
    let settings =
        item.settings(&values).map_err(|wrong| Failed::new(Exit::Usage, wrong.join("\n  ")))?;
    if options.propose {
        let settings = proposable(item, settings)?;
        let input = life::Propose { name: name.clone(), settings, reason: options.reason.reason };
        at(&options.at).await?.call(&life::PROPOSE, input).await?;
        println!("proposed '{name}'; review it with: doorward servers review {name} --look");
        return Ok(());
    }
    let Some(file) = &options.file else {
        print!("servers:\n{}", indented(&yaml(&name, &settings)?, "  "));
        return Ok(());
    };
    add_to(file, &name, &settings)?;
    println!("added '{name}' to {}", terminal::one_line(&file.display().to_string()));
    if !item.is_remote() {
        println!(
            "lock its package with: doorward servers lock --config {}",
            terminal::one_line(&file.display().to_string())
        );
    }
    for variable in item.parameters.iter().filter_map(|parameter| parameter.variable.as_ref()) {
        if settings.to_string().contains(&format!("${{env:{variable}}}")) {
            println!("set {variable} in the gateway's environment");
        }
    }
    Ok(())
}

/// What a proposal may contain: no secret of the gateway, so that each caller provides their own key.
fn proposable(item: &Item, mut settings: Value) -> Result<Value, Failed> {
    let no = |why: &str| Err(Failed::new(Exit::Usage, format!("'{}' {why}", item.id)));
    if !item.is_remote() {
        return no(
            "runs as a program, and programs come from the configuration file only; use --file",
        );
    }
    let Some(members) = settings.as_object_mut() else { return no("cannot be proposed") };
    // Proposed servers are at public addresses unless a reviewer permits others.
    members.remove("public_only");
    match item.auth() {
        Auth::None => {}
        Auth::OAuth => {
            return no(
                "needs 'delegated', which comes from the configuration file only; use --file",
            );
        }
        Auth::Key => {
            let Some(Value::Object(headers)) = members.remove("headers") else {
                return no("cannot be proposed");
            };
            let Some((header, value)) = headers.into_iter().next() else {
                return no("cannot be proposed");
            };
            let scheme = value.as_str().and_then(|value| value.split_once(' ')).map(|it| it.0);
            let personal = json!({ "header": header, "scheme": scheme, "required": true });
            members.insert("personal".into(), personal);
        }
    }
    Ok(settings)
}

fn yaml(name: &str, settings: &Value) -> Result<String, Failed> {
    serde_saphyr::to_string(&json!({ name: settings }))
        .map_err(|error| Failed::new(Exit::Failure, format!("cannot write YAML: {error}")))
}

fn indented(text: &str, by: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { "\n".into() } else { format!("{by}{line}\n") })
        .collect()
}

/// Adds a server to a configuration file. Everything else in it keeps its bytes.
pub(super) fn add_to(file: &Path, name: &str, settings: &Value) -> Result<(), Failed> {
    let wrong = |why: String| Failed::new(Exit::Failure, format!("{}: {why}", file.display()));
    let is_new = !file.exists();
    let (text, before) = if is_new {
        (String::new(), BTreeMap::new())
    } else {
        let loaded = config::load_for_import(file).map_err(|report| Failed::report(&report))?;
        (loaded.text, loaded.settings.servers)
    };
    if before.keys().any(|other| other.eq_ignore_ascii_case(name)) {
        return Err(wrong(format!("it has a server '{name}' already; choose another with --name")));
    }
    let entry = yaml(name, settings)?;
    let by_hand = || {
        wrong("'servers' is not written with one server below the other; print the entry without --file, and add it by hand".into())
    };
    let text = with_entry(&text, &entry).ok_or_else(by_hand)?;
    let mode = if is_new { 0o600 } else { std::fs::metadata(file)?.permissions().mode() & 0o777 };
    let shown = file.file_name().unwrap_or_default().to_string_lossy();
    let new = file.with_file_name(format!(".{shown}.{}", std::process::id()));
    let write = || -> Result<(), Failed> {
        let mut out =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.set_permissions(std::fs::Permissions::from_mode(mode))?;
        out.sync_all()?;
        // What is written is read again first: it must say what it said, and this server.
        let mut after = config::load_for_import(&new)
            .map_err(|report| Failed::report(&report))?
            .settings
            .servers;
        let added =
            after.remove(name).map(|server| serde_json::to_value(server).unwrap_or_default());
        let expected = serde_json::from_value::<doorward_config::ServerSettings>(settings.clone())
            .map(|server| serde_json::to_value(server).unwrap_or_default())
            .map_err(|error| wrong(error.to_string()))?;
        if after != before || added != Some(expected) {
            return Err(by_hand());
        }
        Ok(std::fs::rename(&new, file)?)
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// The text with an entry as the first of its servers.
fn with_entry(text: &str, entry: &str) -> Option<String> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let Some(rest) = line.strip_prefix("servers:") else { continue };
        let rest = rest.trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
        let is_blank = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let first = text[at..].lines().find(is_blank).unwrap_or_default();
        let indent = &first[..first.len() - first.trim_start().len()];
        let indent = if indent.is_empty() { "  " } else { indent };
        let end = if line.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{}{end}{}{}", &text[..at], indented(entry, indent), &text[at..]));
    }
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{text}{end}servers:\n{}", indented(entry, "  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_added_where_servers_are() {
        let entry = "x:\n  url: u\n";
        for (before, after) in [
            ("", Some("servers:\n  x:\n    url: u\n")),
            ("a: 1", Some("a: 1\nservers:\n  x:\n    url: u\n")),
            (
                "a: 1\nservers: # all\n\n    # the first\n    b:\n        url: v\nc: 2\n",
                Some(
                    "a: 1\nservers: # all\n    x:\n      url: u\n\n    # the first\n    b:\n        url: v\nc: 2\n",
                ),
            ),
            ("servers: {a: {url: u}}\n", None),
            ("servers:", Some("servers:\n  x:\n    url: u\n")),
        ] {
            assert_eq!(with_entry(before, entry).as_deref(), after);
        }
    }
}
