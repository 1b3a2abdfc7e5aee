//! OpenAPI 3.1 descriptions, made from tables of routes and their types. `docs/admin-api.json` is a copy of that of the admin
//! API.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::operation::Route;
use crate::problem::{self, Code};
use crate::routes;

/// What a description says beside its operations.
#[derive(Debug, Clone)]
pub struct About {
    pub title: &'static str,
    pub description: &'static str,
    /// An address of the listener, and what it is.
    pub server: (&'static str, &'static str),
    /// What is sent as `Authorization: Bearer`.
    pub credential: &'static str,
}

const ADMIN: About = About {
    title: "Doorward admin API",
    description: "Everything an administrator can do. Every route names the action that policies must permit ('x-action'). \
        Errors are problem details (RFC 9457) with stable codes.",
    server: ("http://127.0.0.1:7301", "The admin listener"),
    credential: "An API key with the scope 'admin' or 'administer', or a token of a configured issuer.",
};

/// The description of the admin API.
pub fn description() -> Value {
    describe(&ADMIN, &routes::all())
}

/// The description of a table of routes.
pub fn describe(about: &About, all: &[Route]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<problem::Body9457>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in all {
        let is_conditional = all.iter().any(|other| routes::reads(other, route));
        let operation = operation(route, is_conditional, &mut generator);
        let path = paths.entry(route.path).or_default();
        path.insert(route.method.as_str().to_lowercase(), operation);
    }
    let codes = Code::ALL.map(Code::as_str);
    let mut schemas = generator.take_definitions(true);
    if let Some(code) = schemas.get_mut("Problem").and_then(|it| it.pointer_mut("/properties/code"))
    {
        code["examples"] = json!(codes);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": "1",
            "description": about.description,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": about.server.0, "description": about.server.1 }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": about.credential,
                },
            },
            "responses": {
                "Problem": {
                    "description": "The request was not carried out",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        },
    })
}

fn operation(route: &Route, is_conditional: bool, generator: &mut SchemaGenerator) -> Value {
    let input = (route.input)(generator);
    let in_path: Vec<&str> = route.path_parameters().collect();
    let has_body = route.changes() && route.method != http::Method::DELETE;
    let mut parameters: Vec<Value> = Vec::new();
    let mut body = Map::new();
    let mut required = Vec::new();
    let properties = input.get("properties").and_then(Value::as_object).cloned();
    let needed: Vec<String> = input
        .get("required")
        .and_then(|all| serde_json::from_value(all.clone()).ok())
        .unwrap_or_default();
    for (name, schema) in properties.unwrap_or_default() {
        let is_needed = needed.contains(&name);
        let place = match (in_path.contains(&name.as_str()), has_body) {
            (true, _) => "path",
            (false, false) => "query",
            (false, true) => {
                if is_needed {
                    required.push(Value::from(name.clone()));
                }
                body.insert(name, schema);
                continue;
            }
        };
        parameters.push(parameter(&name, place, is_needed || place == "path", schema));
    }
    if route.changes() {
        let about = "Check everything, and change nothing.";
        let schema = json!({ "type": "boolean", "default": false, "description": about });
        parameters.push(parameter("dry_run", "query", false, schema));
        let about = "A repeated request with the same key within a day changes nothing twice.";
        parameters.push(header("Idempotency-Key", about));
    }
    if route.changes() && is_conditional {
        let about = "Carry the request out only if what it changes still has this entity tag.";
        parameters.push(header("If-Match", about));
    }
    let mut made = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [route.id.split('.').next().unwrap_or_default()],
        "responses": {
            route.status().as_str(): {
                "description": "Done",
                "content": { "application/json": { "schema": (route.output)(generator) } },
            },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if !route.is_own {
        made["x-action"] = route.action.as_str().into();
    }
    if !parameters.is_empty() {
        made["parameters"] = parameters.into();
    }
    if !body.is_empty() {
        let is_needed = !required.is_empty();
        let mut schema =
            json!({ "type": "object", "properties": body, "additionalProperties": false });
        if is_needed {
            schema["required"] = required.into();
        }
        made["requestBody"] = json!({
            "required": is_needed,
            "content": { "application/json": { "schema": schema } },
        });
    }
    made
}

fn parameter(name: &str, place: &str, required: bool, mut schema: Value) -> Value {
    let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut made = json!({ "name": name, "in": place, "required": required, "schema": schema });
    if let Some(about) = about {
        made["description"] = about;
    }
    made
}

fn header(name: &str, about: &str) -> Value {
    parameter(name, "header", false, json!({ "type": "string", "description": about }))
}

/// The schema of an input with no members.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
