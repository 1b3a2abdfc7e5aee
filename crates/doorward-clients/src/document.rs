//! A client's file as text: its servers, and the same text with one entry more or less. No change is returned that
//! would change anything else that the file says.

use crate::client::{Client, Format};
use crate::entry::{Entry, INPUT};
use crate::jsonc::{self, Node, Wrong};
use crate::toml;
use crate::value::Json;

/// A server of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub name: String,
    pub value: serde_json::Value,
    /// Offset in bytes.
    pub at: usize,
}

/// The servers of a file.
pub fn servers(client: Client, text: &str) -> Result<Vec<Server>, Wrong> {
    if is_empty(text) {
        return Ok(Vec::new());
    }
    let server = |(name, value, at)| Server { name, value, at };
    if client.format() == Format::Toml {
        return Ok(toml::entries(text, client.parent())?.into_iter().map(server).collect());
    }
    let root = object(text)?;
    let Some((_, parent)) = root.member(client.parent())? else { return Ok(Vec::new()) };
    let Some(members) = parent.value.members() else {
        let what = format!("'{}' is not an object", client.parent());
        return Err(Wrong::new(parent.value.start, what));
    };
    let all = members.iter().map(|it| (it.key.clone(), it.value.to_serde(), it.key_start));
    Ok(all.map(server).collect())
}

/// The server of a name.
pub fn server(client: Client, text: &str, name: &str) -> Result<Option<Server>, Wrong> {
    let mut named = servers(client, text)?.into_iter().filter(|server| server.name == name);
    let first = named.next();
    match named.next() {
        Some(second) => {
            let what = format!("'{name}' is here for the second time; keep one of the two");
            Err(Wrong::new(second.at, what))
        }
        None => Ok(first),
    }
}

/// Whether the file has the member that contains the servers.
pub fn has_parent(client: Client, text: &str) -> Result<bool, Wrong> {
    match client.format() {
        _ if is_empty(text) => Ok(false),
        Format::Toml => Ok(toml::value(text)?.get(client.parent()).is_some()),
        Format::Json => Ok(object(text)?.member(client.parent())?.is_some()),
    }
}

/// The text with an entry more.
pub fn with(client: Client, text: &str, name: &str, entry: &Entry) -> Result<String, Wrong> {
    if client.format() == Format::Toml {
        let out = toml::insert(text, client.parent(), name, &entry.value)?;
        return checked(client, text, out, |all| {
            all.push((name.to_owned(), entry.value.to_serde()));
        });
    }
    let mut out = text.to_owned();
    if is_empty(text) {
        // A mark of the encoding stays.
        out = format!("{}{{}}\n", if text.starts_with('\u{feff}') { "\u{feff}" } else { "" });
    }
    out = with_member(client, &out, name, &entry.value)?;
    if let Some(input) = &entry.input {
        out = with_input(&out, input)?;
    }
    checked(client, text, out, |all| {
        all.push((name.to_owned(), entry.value.to_serde()));
    })
}

fn with_member(client: Client, text: &str, name: &str, value: &Json) -> Result<String, Wrong> {
    let root = object(text)?;
    let style = jsonc::style(text, &root);
    Ok(match root.member(client.parent())? {
        Some((_, parent)) => jsonc::insert_member(text, &parent.value, name, value, &style),
        None => {
            let parent = Json::Object(vec![(name.to_owned(), value.clone())]);
            jsonc::insert_member(text, &root, client.parent(), &parent, &style)
        }
    })
}

fn with_input(text: &str, input: &Json) -> Result<String, Wrong> {
    let root = object(text)?;
    let style = jsonc::style(text, &root);
    let Some((_, inputs)) = root.member("inputs")? else {
        let inputs = Json::List(vec![input.clone()]);
        return Ok(jsonc::insert_member(text, &root, "inputs", &inputs, &style));
    };
    if inputs.value.items().is_none() {
        return Err(Wrong::new(inputs.value.start, "'inputs' is not a list"));
    }
    if input_index(&inputs.value).is_some() {
        return Ok(text.to_owned());
    }
    Ok(jsonc::insert_item(text, &inputs.value, input, &style))
}

fn input_index(inputs: &Node) -> Option<usize> {
    let is_ours = |item: &Node| item.to_serde().get("id").is_some_and(|id| id == INPUT);
    inputs.items().unwrap_or_default().iter().position(is_ours)
}

/// The text with an entry less. What only surrounded it goes with it: its parent, if that was `made` for it, and the
/// input that asks for the key, if nothing else uses it.
pub fn without(client: Client, text: &str, name: &str, made: bool) -> Result<String, Wrong> {
    let less = |all: &mut Vec<(String, serde_json::Value)>| all.retain(|(other, _)| other != name);
    if client.format() == Format::Toml {
        return checked(client, text, toml::remove(text, client.parent(), name)?, less);
    }
    if server(client, text, name)?.is_none() {
        return Ok(text.to_owned());
    }
    let mut out = without_path(text, &[client.parent(), name])?;
    if made && servers(client, &out)?.is_empty() {
        out = without_path(&out, &[client.parent()])?;
    }
    if client == Client::VsCode && !out.contains(&format!("${{input:{INPUT}}}")) {
        out = without_input(&out, made)?;
    }
    checked(client, text, out, less)
}

fn without_path(text: &str, path: &[&str]) -> Result<String, Wrong> {
    let root = object(text)?;
    let mut node = &root;
    for (depth, name) in path.iter().enumerate() {
        let Some((index, member)) = node.member(name)? else { return Ok(text.to_owned()) };
        if depth + 1 == path.len() {
            return Ok(jsonc::remove_member(text, node, index));
        }
        node = &member.value;
    }
    Ok(text.to_owned())
}

fn without_input(text: &str, made: bool) -> Result<String, Wrong> {
    let root = object(text)?;
    let Some((_, inputs)) = root.member("inputs")? else { return Ok(text.to_owned()) };
    let Some(index) = input_index(&inputs.value) else { return Ok(text.to_owned()) };
    if made && inputs.value.items().is_some_and(|items| items.len() == 1) {
        return without_path(text, &["inputs"]);
    }
    Ok(jsonc::remove_item(text, &inputs.value, index))
}

/// Returns a changed text if it says what it said before, but for the change in its servers.
fn checked(
    client: Client,
    before: &str,
    after: String,
    change: impl Fn(&mut Vec<(String, serde_json::Value)>),
) -> Result<String, Wrong> {
    let all = |text: &str| -> Result<Vec<_>, Wrong> {
        let mut all: Vec<_> =
            servers(client, text)?.into_iter().map(|server| (server.name, server.value)).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    };
    let mut expected = all(before)?;
    change(&mut expected);
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    let same = || {
        Ok::<_, Wrong>(all(&after)? == expected && rest(client, before)? == rest(client, &after)?)
    };
    if same().unwrap_or(false) {
        return Ok(after);
    }
    Err(Wrong::new(
        0,
        "its comments stand where the entry cannot be changed safely; change it by hand",
    ))
}

/// What a file says beside its servers.
fn rest(client: Client, text: &str) -> Result<serde_json::Value, Wrong> {
    let mut value = match client.format() {
        _ if is_empty(text) => serde_json::json!({}),
        Format::Toml => toml::value(text)?,
        Format::Json => object(text)?.to_serde(),
    };
    if let Some(members) = value.as_object_mut() {
        members.remove(client.parent());
        if client == Client::VsCode {
            members.remove("inputs");
        }
    }
    Ok(value)
}

fn object(text: &str) -> Result<Node, Wrong> {
    let root = jsonc::parse(text)?;
    if root.members().is_none() {
        return Err(Wrong::new(root.start, "it is not a JSON object"));
    }
    Ok(root)
}

/// Nothing but white space: clients create such files.
pub fn is_empty(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim().is_empty()
}

/// Line and column of a place, both from 1.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}
