//! `GET /openapi.json`: the description of the API, from the types of its requests and responses.

use doorward_functions::Dialect;
use http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::answer::Answer;
use super::tools::tagged;
use super::types::{Continue, Execute, Executed, Failure, Pending, Query, Results, Tools};
use super::{Answered, PREFIX, Visit};

pub fn get(visit: &Visit) -> Answered {
    let url = format!("{}{}", visit.gateway.identity.resources.origin(), visit.base);
    Ok(tagged(visit, Answer::of(StatusCode::OK, &description(&url))).response())
}

/// The description of the API at a URL.
pub fn description(url: &str) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let execute = execute(&mut generator);
    let begun = begun(&mut generator);
    let tools = tools(&mut generator);
    let functions = functions(&mut generator);
    let failure = generator.subschema_for::<Failure>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Doorward tools API",
            "version": "1",
            "description": format!("Tools over REST, and as functions of model APIs. The same paths below {PREFIX}/portals/{{name}} concern one portal."),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": url }],
        "security": [{ "bearer": [] }],
        "paths": {
            "/execute": { "post": execute },
            "/execute/{id}": begun,
            "/tools": { "get": tools },
            "/tools/execute": { "post": functions },
            "/openapi.json": { "get": {
                "operationId": "describe",
                "summary": "This description",
                "responses": {
                    "200": { "description": "The description", "content": { "application/json": { "schema": { "type": "object" } } } },
                    "default": { "$ref": "#/components/responses/Failure" },
                },
            } },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": {
                "type": "http", "scheme": "bearer",
                "description": "An API key, or a token of a configured issuer.",
            } },
            "responses": { "Failure": {
                "description": "The request was not carried out",
                "headers": { "Doorward-Request-Id": { "schema": { "type": "string" } } },
                "content": { "application/json": { "schema": failure } },
            } },
        },
    })
}

fn json_of<T: JsonSchema>(generator: &mut SchemaGenerator, about: &str) -> Value {
    json!({ "description": about, "content": { "application/json": { "schema": generator.subschema_for::<T>() } } })
}

fn body<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": generator.subschema_for::<T>() } } })
}

fn key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A repeated request with the same key within a day is not carried out again.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

fn id() -> Value {
    json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } })
}

fn failures(mut responses: Value) -> Value {
    for status in [
        "400", "401", "402", "403", "404", "409", "413", "415", "429", "502", "503", "504",
        "default",
    ] {
        responses[status] = json!({ "$ref": "#/components/responses/Failure" });
    }
    responses
}

fn outcomes(generator: &mut SchemaGenerator) -> Value {
    let input = json_of::<Failure>(generator, "The server requires input: answer at /execute/{id}");
    let mut executed = json_of::<Executed>(generator, "The tool was called");
    executed["content"]["text/event-stream"] = json!({ "schema": {
        "type": "string",
        "description": "Events 'progress' and 'log', then 'result' with the same object, or 'error' with that of errors.",
    } });
    let pending = json_of::<Pending>(generator, "The call waits for an approval");
    failures(json!({ "200": executed, "202": pending, "422": input }))
}

fn execute(generator: &mut SchemaGenerator) -> Value {
    json!({
        "operationId": "execute",
        "summary": "Call a tool",
        "parameters": [key()],
        "requestBody": body::<Execute>(generator),
        "responses": outcomes(generator),
    })
}

fn begun(generator: &mut SchemaGenerator) -> Value {
    let cancelled = failures(json!({ "204": { "description": "The call will not be made" } }));
    json!({
        "get": {
            "operationId": "get_execution",
            "summary": "Ask about a call that waits",
            "parameters": [id()],
            "responses": outcomes(generator),
        },
        "post": {
            "operationId": "continue_execution",
            "summary": "Answer what a server asks for, and go on",
            "parameters": [id(), key()],
            "requestBody": body::<Continue>(generator),
            "responses": outcomes(generator),
        },
        "delete": {
            "operationId": "cancel_execution",
            "summary": "Cancel a call that waits",
            "parameters": [id()],
            "responses": cancelled,
        },
    })
}

fn tools(generator: &mut SchemaGenerator) -> Value {
    let query = generator.root_schema_for::<Query>().to_value();
    let properties = query["properties"].as_object().cloned().unwrap_or_default();
    let parameters = properties.into_iter().map(|(name, mut schema)| {
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("default");
            // An absent parameter is not null.
            if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
                let kind = kinds.iter().find(|kind| *kind != "null").cloned();
                schema.insert("type".into(), kind.unwrap_or_default());
            }
            if name == "format" {
                schema.insert("enum".into(), json!(Dialect::ALL.map(Dialect::as_str)));
            }
        }
        json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": about })
    });
    let parameters: Vec<Value> = parameters.collect();
    let mut listed = failures(
        json!({ "200": json_of::<Tools>(generator, "The tools that the caller may call") }),
    );
    listed["304"] =
        json!({ "description": "Nothing has changed since the response with this entity tag" });
    json!({
        "operationId": "list_tools",
        "summary": "List tools, in the form of an SDK's argument",
        "parameters": parameters,
        "responses": listed,
    })
}

fn functions(generator: &mut SchemaGenerator) -> Value {
    let results =
        json_of::<Results>(generator, "Results, in the order and the format of the calls");
    json!({
        "operationId": "execute_calls",
        "summary": "Carry out what a model produced",
        "description": "Calls of OpenAI (Chat Completions and Responses), Anthropic or Gemini: one, a list of them, or the message that contains them.",
        "parameters": [key()],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "oneOf": [{ "type": "object" }, { "type": "array", "items": { "type": "object" } }],
        } } } },
        "responses": failures(json!({ "200": results })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_referred_to_is_described() {
        let made = description("https://gateway.example/api/v1");
        let text = made.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(made.pointer(pointer).is_some(), "{pointer}");
        }
        let named = &made["components"]["schemas"];
        assert!(named["Executed"]["properties"]["usage"].is_object(), "{named}");
        assert_eq!(named["Execute"]["required"], json!(["tool"]));
    }
}
