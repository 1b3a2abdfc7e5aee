//! OpenAPI documents as tools, and calls as requests.
#![allow(clippy::unwrap_used)]

use doorward_openapi::{Description, LeftOut, Selection, Tool, tools};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn description(paths: &Value, components: &Value) -> Description {
    let text = json!({
        "openapi": "3.1.0", "info": { "title": "t", "version": "1" },
        "servers": [{ "url": "https://{where}.example.com/v1", "variables": { "where": { "default": "api" } } }],
        "paths": paths, "components": components,
    });
    Description::parse(&text.to_string()).unwrap()
}

fn all(paths: &Value, components: &Value) -> (Vec<Tool>, Vec<LeftOut>) {
    tools(&description(paths, components), &Selection::default())
}

fn only(paths: &Value, components: &Value) -> Tool {
    let (mut tools, left_out) = all(paths, components);
    assert!(left_out.is_empty(), "{left_out:?}");
    assert_eq!(tools.len(), 1);
    tools.remove(0)
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { unreachable!() };
    members
}

fn with(path: &str, parameters: &Value) -> Tool {
    only(&json!({ path: { "get": { "operationId": "op", "parameters": parameters } } }), &json!({}))
}

fn path_of(tool: &Tool, arguments: Value) -> Result<String, String> {
    let request = tool.request(&object(arguments), "boundary");
    request.map(|request| request.path_and_query).map_err(|error| error.to_string())
}

/// The table of the specification (OpenAPI 3.1 section 4.8.12.2): a string, an array, an object.
#[test]
fn every_style_is_written_as_specified() {
    let (text, array) = (json!("blue"), json!(["blue", "black", "brown"]));
    let record = json!({ "B": 150, "G": 200, "R": 100 });
    for (place, style, explode, texts) in [
        (
            "path",
            "matrix",
            false,
            ["/;color=blue", "/;color=blue,black,brown", "/;color=B,150,G,200,R,100"],
        ),
        (
            "path",
            "matrix",
            true,
            ["/;color=blue", "/;color=blue;color=black;color=brown", "/;B=150;G=200;R=100"],
        ),
        ("path", "label", false, ["/.blue", "/.blue,black,brown", "/.B,150,G,200,R,100"]),
        ("path", "label", true, ["/.blue", "/.blue.black.brown", "/.B=150.G=200.R=100"]),
        ("path", "simple", false, ["/blue", "/blue,black,brown", "/B,150,G,200,R,100"]),
        ("path", "simple", true, ["/blue", "/blue,black,brown", "/B=150,G=200,R=100"]),
        (
            "query",
            "form",
            false,
            ["/?color=blue", "/?color=blue,black,brown", "/?color=B,150,G,200,R,100"],
        ),
        (
            "query",
            "form",
            true,
            ["/?color=blue", "/?color=blue&color=black&color=brown", "/?B=150&G=200&R=100"],
        ),
        (
            "query",
            "spaceDelimited",
            false,
            ["/?color=blue", "/?color=blue%20black%20brown", "/?color=B,150,G,200,R,100"],
        ),
        (
            "query",
            "pipeDelimited",
            false,
            ["/?color=blue", "/?color=blue%7Cblack%7Cbrown", "/?color=B,150,G,200,R,100"],
        ),
        (
            "query",
            "deepObject",
            true,
            [
                "/?color=blue",
                "/?color=blue&color=black&color=brown",
                "/?color%5BB%5D=150&color%5BG%5D=200&color%5BR%5D=100",
            ],
        ),
    ] {
        let path = if place == "path" { "/{color}" } else { "/" };
        let parameter = json!([{
            "name": "color", "in": place, "required": true, "style": style, "explode": explode, "schema": {},
        }]);
        let tool = with(path, &parameter);
        for (value, expected) in [&text, &array, &record].into_iter().zip(texts) {
            let path = path_of(&tool, json!({ "color": value })).unwrap();
            assert_eq!(path, expected, "{place} {style} {explode}");
        }
    }
}

/// Regression R5: arguments cannot leave their place in the request.
#[test]
fn no_argument_leaves_its_place() {
    let tool = with(
        "/repos/{owner}/files/{path}",
        &json!([
            { "name": "owner", "in": "path", "required": true, "schema": { "type": "string" } },
            { "name": "path", "in": "path", "required": true, "schema": { "type": "string" } },
            { "name": "q", "in": "query", "schema": { "type": "string" } },
            { "name": "X-Note", "in": "header", "schema": { "type": "string" } },
            { "name": "Authorization", "in": "header", "required": true, "schema": { "type": "string" } },
            { "name": "seen", "in": "cookie", "schema": { "type": "string" } },
        ]),
    );
    assert!(tool.input["properties"].get("Authorization").is_none());
    for (given, expected) in [
        ("a../admin", "a..%2Fadmin"),
        ("a%2Fb", "a%252Fb"),
        ("x?y=1", "x%3Fy%3D1"),
        ("x#", "x%23"),
        ("a;b", "a%3Bb"),
        ("a\\b", "a%5Cb"),
        ("ä\n", "%C3%A4%0A"),
    ] {
        let path = path_of(&tool, json!({ "owner": "me", "path": given })).unwrap();
        assert_eq!(path, format!("/repos/me/files/{expected}"));
    }
    for bad in [
        "..",
        ".",
        "",
        "../admin",
        "a/../b",
        "a\\..\\b",
        "%2e%2e/a",
        "..%2fa",
        "%252e%252e",
        "..;/a",
    ] {
        assert!(path_of(&tool, json!({ "owner": "me", "path": bad })).is_err(), "{bad}");
    }
    let query =
        path_of(&tool, json!({ "owner": "o", "path": "p", "q": "a&role=admin#x+y" })).unwrap();
    assert_eq!(query, "/repos/o/files/p?q=a%26role%3Dadmin%23x%2By");
    let error =
        path_of(&tool, json!({ "owner": "o", "path": "p", "X-Note": "v\r\nX: y" })).unwrap_err();
    assert!(error.contains("/X-Note: must be a single line"), "{error}");
    let arguments = object(json!({ "owner": "o", "path": "p", "seen": "a; admin=1" }));
    let request = tool.request(&arguments, "b").unwrap();
    assert_eq!(request.headers, [("cookie".into(), "seen=a%3B%20admin%3D1".into())]);
    let error = path_of(&tool, json!({})).unwrap_err();
    assert_eq!(error, "/owner: is missing\n/path: is missing");
    // The members of an exploded object cannot replace other parameters.
    let tool = with(
        "/",
        &json!([
            { "name": "role", "in": "query", "schema": { "type": "string" } },
            { "name": "filter", "in": "query", "schema": { "type": "object" } },
        ]),
    );
    for name in ["role", "ROLE", " role", "role ", "role\0x", "role[]", "role.x", "_method"] {
        let given = json!({ "filter": { name: "admin" } });
        assert!(path_of(&tool, given.clone()).is_err(), "{given}");
    }
    assert_eq!(path_of(&tool, json!({ "filter": { "rule": "a;b" } })).unwrap(), "/?rule=a%3Bb");
}

/// An argument cannot repeat what the document sets itself or what belongs to another parameter.
#[test]
fn no_argument_repeats_another_parameter() {
    let text = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    let of = |name: &str, member: &str| {
        json!({ "name": name, "in": "query", "schema": { "type": "object",
            "properties": { member: { "type": "string" } } } })
    };
    let tool = with("/x?kind=public", &json!([text("a"), text("kind"), of("filter", "f")]));
    assert!(tool.input["properties"].get("kind").is_none());
    assert_eq!(path_of(&tool, json!({})).unwrap(), "/x?kind=public");
    assert_eq!(path_of(&tool, json!({ "a": "1" })).unwrap(), "/x?kind=public&a=1");
    assert!(path_of(&tool, json!({ "filter": { "Kind": "private" } })).is_err());
    let tool = with("/x", &json!([of("filter", "f"), of("other", "inner")]));
    let given = json!({ "filter": { "f": "1" }, "other": { "inner": "2" } });
    assert_eq!(path_of(&tool, given).unwrap(), "/x?f=1&inner=2");
    for given in [
        json!({ "filter": { "inner": "mine" } }),
        json!({ "filter": { "inner": "mine" }, "other": { "inner": "right" } }),
        json!({ "filter": { "new": "1" }, "other": { "new": "2" } }),
    ] {
        assert!(path_of(&tool, given.clone()).is_err(), "{given}");
    }
    let reserved = json!([{ "name": "r", "in": "query", "allowReserved": true, "schema": {} }]);
    let path = path_of(&with("/x", &reserved), json!({ "r": "a/b;api_key" })).unwrap();
    assert_eq!(path, "/x?r=a/b%3Bapi_key");
    let body = json!({ "content": { "application/x-www-form-urlencoded": { "schema": { "type": "object" } } } });
    let paths = json!({ "/": { "post": { "operationId": "p", "requestBody": body } } });
    let tool = only(&paths, &json!({}));
    let form = |members: Value| tool.request(&object(json!({ "body": members })), "b");
    assert!(form(json!({ "a": 1 })).is_ok() && form(json!({ "_method": "DELETE" })).is_err());
}

#[test]
fn arguments_are_flat_and_have_distinct_names() {
    let body = json!({ "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": ["title"],
        "properties": {
            "title": { "type": "string" }, "state": { "enum": ["open", "closed"] },
            "made": { "type": "string", "readOnly": true },
        },
    } } } });
    let number =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } });
    let tool = only(
        &json!({ "/issues/{id}": { "parameters": [number], "patch": { "operationId": "issues/update", "requestBody": body } } }),
        &json!({}),
    );
    assert_eq!(tool.name, "issues_update");
    assert_eq!(
        tool.input,
        json!({
            "type": "object", "additionalProperties": false, "required": ["id", "title"],
            "properties": {
                "id": { "type": "integer" }, "title": { "type": "string" }, "state": { "enum": ["open", "closed"] },
            },
        })
    );
    let request = tool.request(&object(json!({ "id": 7, "title": "t" })), "b").unwrap();
    assert_eq!((request.method, request.path_and_query.as_str()), ("PATCH", "/issues/7"));
    let (kind, bytes) = request.body.unwrap();
    assert_eq!(
        (kind.as_str(), bytes.as_slice()),
        ("application/json", br#"{"title":"t"}"#.as_slice())
    );
    // The same name in the path, the query and the body.
    let query = json!({ "name": "id", "in": "query", "schema": { "type": "string" } });
    let body = json!({ "content": { "application/json": { "schema": {
        "type": "object", "properties": { "id_path": { "type": "string" } } } } } });
    let tool = only(
        &json!({ "/x/{id}": { "put": { "operationId": "x", "parameters": [number, query], "requestBody": body } } }),
        &json!({}),
    );
    let mut names: Vec<&String> = tool.input["properties"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["body", "id_path", "id_query"]);
    let given = json!({ "id_path": 1, "id_query": "2", "body": { "id_path": "3" } });
    let request = tool.request(&object(given), "b").unwrap();
    assert_eq!(request.path_and_query, "/x/1?id=2");
    assert_eq!(request.body.unwrap().1, br#"{"id_path":"3"}"#);
}

#[test]
fn schemas_are_self_contained_even_if_recursive() {
    let tree = json!({ "type": "object", "properties": {
        "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#/components/schemas/Tree" } },
    } });
    let answer = json!({ "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Tree" } } } } });
    let body = json!({ "content": { "application/json": { "schema": { "allOf": [{ "$ref": "#/components/schemas/Tree" }] } } } });
    let tool = only(
        &json!({ "/trees": { "post": { "operationId": "plant", "requestBody": body, "responses": answer } } }),
        &json!({ "schemas": { "Tree": tree } }),
    );
    assert_eq!(tool.input["properties"]["body"]["allOf"][0]["$ref"], "#/$defs/Tree");
    assert_eq!(
        tool.input["$defs"]["Tree"]["properties"]["children"]["items"]["$ref"],
        "#/$defs/Tree"
    );
    assert_eq!(tool.output.unwrap()["$defs"]["Tree"]["type"], "object");
    assert!(!tool.wraps);
    let list = json!({ "200": { "content": { "application/json": { "schema": { "type": "array", "items": {} } } } } });
    let tool =
        only(&json!({ "/l": { "get": { "operationId": "l", "responses": list } } }), &json!({}));
    assert!(tool.wraps);
    assert_eq!(tool.output.unwrap()["properties"]["result"]["type"], "array");
}

#[test]
fn schemas_of_3_0_are_converted_to_json_schema() {
    let text = r#"
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /x:
    get:
      operationId: x
      parameters:
        - {name: n, in: query, schema: {type: integer, nullable: true, minimum: 1, exclusiveMinimum: true, example: 3}}
        - {name: e, in: query, schema: {type: string, nullable: true, enum: [a]}}
        - {name: o, in: query, schema: {nullable: true, allOf: [{type: string}], description: d}}
"#;
    let description = Description::parse(text).unwrap();
    let (tools, left_out) = tools(&description, &Selection::default());
    assert!(left_out.is_empty());
    let properties = &tools[0].input["properties"];
    assert_eq!(properties["n"], json!({ "type": ["integer", "null"], "exclusiveMinimum": 1 }));
    assert_eq!(properties["e"], json!({ "type": ["string", "null"], "enum": ["a", null] }));
    assert_eq!(
        properties["o"],
        json!({ "anyOf": [{ "allOf": [{ "type": "string" }] }, { "type": "null" }], "description": "d" })
    );
}

#[test]
fn operations_that_cannot_be_tools_are_skipped_with_the_reason() {
    let (tools, left_out) = all(
        &json!({
            "/a/{id}": { "get": { "operationId": "a" } },
            "/b": { "get": { "operationId": "b", "parameters": [{ "$ref": "https://evil.example/p.json" }] } },
            "/c": { "post": { "operationId": "c", "requestBody": { "content": { "application/xml": {} } } } },
            "/d": { "get": { "operationId": "d", "deprecated": true }, "head": {}, "trace": {} },
            "/e": { "get": { "operationId": "e", "parameters": [
                { "name": "x", "in": "query", "schema": { "$ref": "file:///etc/passwd" } }] } },
            "/f": { "$ref": "#/paths/~1f" },
            "/g": { "get": { "operationId": "e 1" }, "post": { "operationId": "e/1" } },
        }),
        &json!({}),
    );
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["e_1", "e_1_2"]);
    for (operation, why) in [
        ("a", "'{id}' in its path"),
        ("b", "external references are not fetched"),
        ("c", "application/xml"),
        ("d", "deprecated"),
        ("HEAD /d", "method"),
        ("TRACE /d", "method"),
        ("e", "external references are not fetched"),
        ("/f", "cyclic"),
    ] {
        let found = left_out.iter().find(|left| left.operation == operation).unwrap();
        assert!(found.why.contains(why), "{found:?}");
    }
    for (text, why) in [
        ("{\"swagger\": \"2.0\"}", "it is Swagger 2.0"),
        ("{\"openapi\": \"4.0.0\"}", "it is OpenAPI 4.0.0"),
        ("[]", "no member 'openapi'"),
        ("{", "EOF"),
    ] {
        assert!(Description::parse(text).unwrap_err().0.contains(why), "{text}");
    }
}

#[test]
fn operations_are_selected_and_named_by_configuration() {
    let paths = json!({
        "/pets": { "get": { "operationId": "listPets", "tags": ["pets"] }, "post": { "operationId": "addPet", "tags": ["pets", "write"] } },
        "/shops/{id}": { "parameters": [{ "name": "id", "in": "path", "required": true }], "delete": { "operationId": "closeShop" } },
    });
    let description = description(&paths, &json!({}));
    assert_eq!(description.server().unwrap(), "https://api.example.com/v1");
    let chosen = |selection: Value| {
        let selection: Selection = serde_json::from_value(selection).unwrap();
        let (tools, _) = tools(&description, &selection);
        tools.into_iter().map(|tool| tool.name).collect::<Vec<_>>()
    };
    assert_eq!(chosen(json!({})), ["listPets", "addPet", "closeShop"]);
    assert_eq!(chosen(json!({ "operations": ["*Pet*"] })), ["listPets", "addPet"]);
    assert_eq!(chosen(json!({ "tags": ["write"] })), ["addPet"]);
    assert_eq!(chosen(json!({ "paths": ["/shops/*"] })), ["closeShop"]);
    assert_eq!(chosen(json!({ "methods": ["GET"] })), ["listPets"]);
    assert_eq!(
        chosen(json!({ "except": ["close*"], "names": { "addPet": "pet" } })),
        ["listPets", "pet"]
    );
    let (tools, _) = tools(&description, &Selection::default());
    let hints = |at: usize| serde_json::to_value(tools[at].annotations).unwrap();
    assert_eq!(
        hints(0),
        json!({ "readOnlyHint": true, "idempotentHint": true, "destructiveHint": false })
    );
    assert_eq!(
        hints(1),
        json!({ "readOnlyHint": false, "idempotentHint": false, "destructiveHint": false })
    );
    assert_eq!(
        hints(2),
        json!({ "readOnlyHint": false, "idempotentHint": true, "destructiveHint": true })
    );
}

#[test]
fn bodies_are_written_in_their_media_type() {
    let schema = json!({ "type": "object", "properties": { "a": {}, "b": { "type": "array" } } });
    let of = |kind: &str| {
        let body = json!({ "required": true, "content": { kind: { "schema": schema } } });
        only(&json!({ "/": { "post": { "operationId": "p", "requestBody": body } } }), &json!({}))
    };
    let write = |kind: &str, arguments: Value| {
        let (kind, bytes) = of(kind).request(&object(arguments), "BOUND").unwrap().body.unwrap();
        (kind, String::from_utf8_lossy(&bytes).into_owned())
    };
    let form =
        write("application/x-www-form-urlencoded", json!({ "a": "x&y", "b": [1, { "c": 2 }] }));
    assert_eq!(form.1, "a=x%26y&b%5B%5D=1&b%5B1%5D%5Bc%5D=2");
    let (kind, parts) = write("multipart/form-data", json!({ "a": "x\r\n", "b": [1, 2] }));
    assert_eq!(kind, "multipart/form-data; boundary=BOUND");
    assert_eq!(parts.matches("Content-Disposition: form-data; name=\"b\"").count(), 2);
    assert!(parts.ends_with("--BOUND--\r\n"));
    let (_, bytes) = write("image/png", json!({ "body": "AP8=" }));
    assert!(bytes.starts_with('\0'));
    let bad = of("image/png").request(&object(json!({ "body": "%%%" })), "b").unwrap_err();
    assert!(bad.to_string().contains("base64"));
    assert!(of("application/json").request(&Map::new(), "b").is_ok());
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("..".to_owned()),
        Just("../..".to_owned()),
        Just("a/../../b".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("?x=1#y".to_owned()),
        Just("\r\nX: y".to_owned()),
        ".*",
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ];
    leaf.prop_recursive(2, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

proptest! {
    /// For any arguments: the path has its number of segments and no dot segment, there is one query, no other header
    /// and no line break.
    #[test]
    fn arguments_cannot_change_the_shape_of_a_request(
        first in any_value(), second in any_value(), query in any_value(), header in any_value(),
        style in prop::sample::select(vec!["simple", "label", "matrix"]),
        query_style in prop::sample::select(vec!["form", "spaceDelimited", "pipeDelimited", "deepObject"]),
        explode in any::<bool>(), reserved in any::<bool>(),
    ) {
        let tool = with("/api/{first}-{second}/{second}/end", &json!([
            { "name": "first", "in": "path", "required": true, "style": style, "explode": explode },
            { "name": "second", "in": "path", "required": true, "style": style, "explode": explode },
            { "name": "q", "in": "query", "style": query_style, "explode": explode, "allowReserved": reserved },
            { "name": "X-H", "in": "header", "explode": explode },
        ]));
        let arguments = object(json!({ "first": first, "second": second, "q": query, "X-H": header }));
        if let Ok(request) = tool.request(&arguments, "b") {
            let whole = &request.path_and_query;
            prop_assert!(whole.bytes().all(|byte| byte.is_ascii_graphic()), "{}", whole);
            let (path, _) = whole.split_once('?').unwrap_or((whole, ""));
            prop_assert!(!whole.contains('#'), "{}", whole);
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 5, "{}", path);
            prop_assert_eq!((segments[1], segments[4]), ("api", "end"));
            prop_assert!(!doorward_mcp::uri::has_dot_segment(path), "{}", path);
            for (name, value) in &request.headers {
                prop_assert_eq!(name, "X-H");
                prop_assert!(!value.contains(['\r', '\n', '\0']));
            }
        }
    }
}
