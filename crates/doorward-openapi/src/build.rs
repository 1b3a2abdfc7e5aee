//! Builds tools from operations; operations that cannot be tools are skipped, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::body::Media;
use crate::description::Description;
use crate::request::{fixed_names, is_own_header};
use crate::schema::{Definitions, Way};
use crate::select::Selection;
use crate::slot::is_same_slot;
use crate::tool::{Annotations, Body, BodyFrom, LeftOut, Parameter, Place, Style, Tool};

/// Maximum length of a tool's name and description, in characters.
const NAME: usize = 64;
const DESCRIPTION: usize = 1_500;
/// Maximum size of the schemas, as JSON in bytes. With a larger input schema the operation is skipped; a larger
/// output schema is omitted.
const INPUT: usize = 512 << 10;
const OUTPUT: usize = 64 << 10;

const METHODS: [(&str, &str); 5] =
    [("get", "GET"), ("post", "POST"), ("put", "PUT"), ("patch", "PATCH"), ("delete", "DELETE")];
const NO_TOOLS: [&str; 3] = ["head", "options", "trace"];

/// The tools of a document, in the order of its paths, and the skipped operations.
pub fn tools(description: &Description, selection: &Selection) -> (Vec<Tool>, Vec<LeftOut>) {
    let (mut tools, mut left_out) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for (path, item) in description.paths() {
        let item = match description.resolved(item) {
            Ok(item) => item,
            Err(why) => {
                left_out.push(LeftOut { operation: path.clone(), why, unselected: false });
                continue;
            }
        };
        for (key, method) in METHODS {
            let Some(operation) = item.get(key) else { continue };
            let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
            let label = if id.is_empty() { format!("{method} {path}") } else { id.to_owned() };
            let tags = operation.get("tags").and_then(Value::as_array);
            let tags: Vec<&str> = tags.into_iter().flatten().filter_map(Value::as_str).collect();
            let deprecated = operation.get("deprecated").and_then(Value::as_bool) == Some(true);
            if let Some(why) = selection.refuses(&label, &tags, path, key, deprecated) {
                left_out.push(LeftOut { operation: label, why: why.into(), unselected: true });
                continue;
            }
            let building = Building { description, item, operation, path, method };
            match building.tool(&label, selection, &mut taken) {
                Ok(tool) => tools.push(tool),
                Err(why) => {
                    left_out.push(LeftOut { operation: label, why, unselected: false });
                }
            }
        }
        for key in NO_TOOLS.iter().filter(|key| item.get(**key).is_some()) {
            let operation = format!("{} {path}", key.to_uppercase());
            let why = "its method is not supported for tools".into();
            left_out.push(LeftOut { operation, why, unselected: false });
        }
    }
    (tools, left_out)
}

struct Building<'a> {
    description: &'a Description,
    item: &'a Value,
    operation: &'a Value,
    path: &'a str,
    method: &'static str,
}

impl Building<'_> {
    fn tool(
        &self,
        operation: &str,
        selection: &Selection,
        taken: &mut BTreeSet<String>,
    ) -> Result<Tool, String> {
        let mut definitions = Definitions::new(self.description, Way::Sent);
        let mut properties = Map::new();
        let mut required = BTreeSet::new();
        let parameters = self.parameters(&mut definitions, &mut properties, &mut required)?;
        let body = self.body(&mut definitions, &mut properties, &mut required)?;
        let mut input = json!({
            "type": "object", "properties": properties, "additionalProperties": false,
        });
        if !required.is_empty() {
            input["required"] = json!(required);
        }
        let defs = definitions.all()?;
        if !defs.is_empty() {
            input["$defs"] = Value::Object(defs);
        }
        let length = input.to_string().len();
        if length > INPUT {
            return Err(format!("the schema of its arguments is too large: {} KiB", length >> 10));
        }
        let (output, wraps) = self.output();
        let name = selection.names.get(operation).cloned();
        let name = name.unwrap_or_else(|| tool_name(operation));
        let name = distinct(&name, taken);
        let described = selection.descriptions.get(operation).cloned();
        Ok(Tool {
            name,
            description: described.unwrap_or_else(|| self.described()),
            input,
            output,
            annotations: annotations(self.method),
            operation: operation.to_owned(),
            method: self.method,
            path: self.path.to_owned(),
            parameters,
            body,
            wraps,
            security: self.security(),
        })
    }

    fn described(&self) -> String {
        let text = |member: &str| {
            self.operation.get(member).or_else(|| self.item.get(member)).and_then(Value::as_str)
        };
        let both = [text("summary"), text("description")];
        let mut parts: Vec<&str> = both.into_iter().flatten().map(str::trim).collect();
        parts.dedup();
        let whole = parts.join("\n\n");
        if whole.is_empty() {
            return format!("{} {}", self.method, self.path);
        }
        match whole.char_indices().nth(DESCRIPTION) {
            None => whole,
            Some((end, _)) => format!("{}…", &whole[..end]),
        }
    }

    /// The parameters of the path item and of the operation. The operation's take precedence.
    fn parameters(
        &self,
        definitions: &mut Definitions<'_>,
        properties: &mut Map<String, Value>,
        required: &mut BTreeSet<String>,
    ) -> Result<Vec<Parameter>, String> {
        let mut all: BTreeMap<(Place, String), &Value> = BTreeMap::new();
        for holder in [self.item, self.operation] {
            let listed = holder.get("parameters").and_then(Value::as_array);
            for parameter in listed.into_iter().flatten() {
                let parameter = self.description.resolved(parameter)?;
                let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
                let place = match parameter.get("in").and_then(Value::as_str) {
                    Some("path") => Place::Path,
                    Some("query") => Place::Query,
                    Some("header") => Place::Header,
                    Some("cookie") => Place::Cookie,
                    _ => return Err(format!("the parameter '{name}' has no 'in'")),
                };
                if name.is_empty() {
                    return Err("a parameter has no name".into());
                }
                // Headers that the gateway sets, and those that carry credentials, are not arguments.
                if place == Place::Header && is_own_header(name) {
                    continue;
                }
                // An argument cannot repeat a parameter of the path's own query.
                if place == Place::Query && fixed_names(self.path).any(|it| is_same_slot(name, it))
                {
                    continue;
                }
                all.insert((place, name.to_owned()), parameter);
            }
        }
        for name in braced(self.path) {
            if !all.contains_key(&(Place::Path, name.to_owned())) {
                return Err(format!("'{{{name}}}' in its path is not a declared parameter"));
            }
        }
        let mut parameters = Vec::new();
        for ((place, name), parameter) in &all {
            if *place == Place::Path && !self.path.contains(&format!("{{{name}}}")) {
                continue;
            }
            // If a name occurs in several places, the place is appended.
            let shared = all.keys().filter(|(_, other)| other == name).count() > 1;
            let argument = if shared { format!("{name}_{}", place.word()) } else { name.clone() };
            let argument = argument_name(&argument, properties);
            let content = parameter.get("content").and_then(Value::as_object);
            let content = content.and_then(|content| content.values().next());
            let schema = content.unwrap_or(parameter).get("schema");
            let mut schema = definitions.converted(schema.unwrap_or(&json!({})))?;
            if let (Value::Object(members), Some(text)) =
                (&mut schema, parameter.get("description"))
            {
                members.entry("description").or_insert_with(|| text.clone());
            }
            let is_required = *place == Place::Path
                || parameter.get("required").and_then(Value::as_bool) == Some(true);
            if is_required {
                required.insert(argument.clone());
            }
            properties.insert(argument.clone(), schema);
            let style = style(parameter.get("style").and_then(Value::as_str), *place)?;
            let explode = parameter.get("explode").and_then(Value::as_bool);
            parameters.push(Parameter {
                name: name.clone(),
                argument,
                place: *place,
                style,
                explode: explode.unwrap_or(style == Style::Form),
                allow_reserved: parameter.get("allowReserved").and_then(Value::as_bool)
                    == Some(true),
                json: content.is_some(),
                required: is_required,
            });
        }
        Ok(parameters)
    }

    fn body(
        &self,
        definitions: &mut Definitions<'_>,
        properties: &mut Map<String, Value>,
        required: &mut BTreeSet<String>,
    ) -> Result<Option<Body>, String> {
        let Some(body) = self.operation.get("requestBody") else { return Ok(None) };
        let body = self.description.resolved(body)?;
        let is_required = body.get("required").and_then(Value::as_bool) == Some(true);
        let content = body.get("content").and_then(Value::as_object);
        let Some(content) = content.filter(|content| !content.is_empty()) else { return Ok(None) };
        let Some((media, kind)) = Media::choose(content.keys()) else {
            let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
            return Err(format!("the type of its body is not supported: {}", kinds.join(", ")));
        };
        let schema = content[kind].get("schema").cloned().unwrap_or_else(|| json!({}));
        if let Media::Bytes(_) = media {
            let described = json!({ "type": "string", "contentEncoding": "base64", "description": "The body, in base64." });
            let argument = argument_name("body", properties);
            properties.insert(argument.clone(), described);
            if is_required {
                required.insert(argument.clone());
            }
            return Ok(Some(Body {
                media,
                from: BodyFrom::Whole(argument),
                required: is_required,
            }));
        }
        // The members of an object become separate arguments, unless a name is already used.
        let inner = self.description.resolved(&schema)?;
        let plain =
            ["allOf", "anyOf", "oneOf", "not", "if"].iter().all(|name| inner.get(*name).is_none());
        let members = inner.get("properties").and_then(Value::as_object);
        let closed =
            inner.get("additionalProperties").is_none_or(|more| more == &Value::Bool(false));
        let converted = definitions.converted(inner)?;
        let converted_members = converted.get("properties").and_then(Value::as_object);
        if let (true, true, Some(_), Some(all)) = (plain, closed, members, converted_members)
            && !all.is_empty()
            && all.keys().all(|name| !properties.contains_key(name))
        {
            let needed = converted.get("required").and_then(Value::as_array);
            if is_required {
                let needed = needed.into_iter().flatten().filter_map(Value::as_str);
                required.extend(needed.map(str::to_owned));
            }
            let names = all.keys().cloned().collect();
            properties.extend(all.clone());
            return Ok(Some(Body { media, from: BodyFrom::Members(names), required: is_required }));
        }
        let argument = argument_name("body", properties);
        properties.insert(argument.clone(), definitions.converted(&schema)?);
        if is_required {
            required.insert(argument.clone());
        }
        Ok(Some(Body { media, from: BodyFrom::Whole(argument), required: is_required }))
    }

    /// The output schema, unless there is none or it is too large; and whether the response is wrapped.
    fn output(&self) -> (Option<Value>, bool) {
        self.announced().unwrap_or((None, false))
    }

    fn announced(&self) -> Option<(Option<Value>, bool)> {
        let responses = self.operation.get("responses")?.as_object()?;
        let good = |code: &&String| code.starts_with('2');
        let codes: Vec<&String> = responses.keys().filter(good).collect();
        // If several successful responses have bodies, no single schema applies.
        let mut schemas = Vec::new();
        for code in codes {
            let response = self.description.resolved(&responses[code]).ok()?;
            let content = response.get("content").and_then(Value::as_object);
            let Some(content) = content.filter(|content| !content.is_empty()) else { continue };
            let (media, kind) = Media::choose(content.keys())?;
            if !matches!(media, Media::Json(_)) {
                return None;
            }
            schemas.push(content[kind].get("schema")?);
        }
        let [schema] = schemas[..] else { return None };
        let mut definitions = Definitions::new(self.description, Way::Received);
        let converted = definitions.converted(schema).ok()?;
        let inner = self.description.resolved(schema).ok()?;
        let is_object = inner.get("type").and_then(Value::as_str) == Some("object")
            || inner.get("properties").is_some();
        let mut output = if is_object && converted.get("$ref").is_none() {
            converted
        } else if is_object {
            json!({ "type": "object", "allOf": [converted] })
        } else {
            json!({ "type": "object", "properties": { "result": converted }, "required": ["result"] })
        };
        let defs = definitions.all().ok()?;
        if !defs.is_empty() {
            output["$defs"] = Value::Object(defs);
        }
        (output.to_string().len() <= OUTPUT).then_some((Some(output), !is_object))
    }

    fn security(&self) -> Vec<BTreeSet<String>> {
        let said = self.operation.get("security").or_else(|| self.description.security());
        let ways = said.and_then(Value::as_array).into_iter().flatten();
        ways.filter_map(|way| Some(way.as_object()?.keys().cloned().collect())).collect()
    }
}

fn style(said: Option<&str>, place: Place) -> Result<Style, String> {
    Ok(match (said, place) {
        (None, Place::Path | Place::Header) | (Some("simple"), _) => Style::Simple,
        (None, Place::Query | Place::Cookie) | (Some("form"), _) => Style::Form,
        (Some("label"), Place::Path) => Style::Label,
        (Some("matrix"), Place::Path) => Style::Matrix,
        (Some("spaceDelimited"), Place::Query) => Style::SpaceDelimited,
        (Some("pipeDelimited"), Place::Query) => Style::PipeDelimited,
        (Some("deepObject"), Place::Query) => Style::DeepObject,
        (Some(other), _) => return Err(format!("the style '{other}' is not supported there")),
    })
}

fn annotations(method: &str) -> Annotations {
    Annotations {
        read_only: method == "GET",
        idempotent: matches!(method, "GET" | "PUT" | "DELETE"),
        // POST usually creates something.
        destructive: matches!(method, "PUT" | "PATCH" | "DELETE"),
    }
}

/// The names in braces in a path.
fn braced(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// A name that is not used by another argument.
fn argument_name(name: &str, taken: &Map<String, Value>) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while taken.contains_key(&free) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

/// The tool name of an operation: letters, digits, `_`, `-` and `.`.
fn tool_name(operation: &str) -> String {
    let mut name = String::new();
    for c in operation.chars() {
        if c.is_ascii_alphanumeric() || "-.".contains(c) {
            name.push(c);
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
    }
    let name = name.trim_matches('_').to_owned();
    if name.is_empty() { "operation".into() } else { name }
}

fn distinct(name: &str, taken: &mut BTreeSet<String>) -> String {
    let clipped: String = name.chars().take(NAME).collect();
    let mut free = clipped.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        let ending = format!("_{number}");
        let prefix: String = clipped.chars().take(NAME - ending.len()).collect();
        free = prefix + &ending;
        number += 1;
    }
    free
}
