//! APIs as tools: calls follow their OpenAPI documents, and responses become results of tools.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::client::{Handshake, Modern};
use crate::support::{Gateway, doorward, wait_for};
use serde_json::{Value, json};

/// A request as the API received it.
#[derive(Debug, Clone, Default)]
struct Got {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A small API that stores the requests it receives.
struct Api {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Api {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let kept = got.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, got }
    }

    fn last(&self) -> Got {
        self.got.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Got>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut got = Got::default();
        if reader.read_line(&mut got.line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            got.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = got.headers.iter().find(|(name, _)| name == "content-length");
        got.body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
        reader.read_exact(&mut got.body).unwrap();
        let path = got.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let first = got.line.clone();
        kept.lock().unwrap().push(got);
        let json = "application/json";
        let (status, kind, body): (u16, &str, Vec<u8>) = match path.as_str() {
            "/v1/openapi.yaml" => (200, "application/yaml", DESCRIPTION.into()),
            "/v1/pets/404" => (
                404,
                "application/problem+json",
                br#"{"title": "No such pet", "detail": "There is none with the number 404"}"#
                    .to_vec(),
            ),
            "/v1/pets/500" => (500, json, b"{}".to_vec()),
            "/v1/pets/302" => (302, json, b"{}".to_vec()),
            "/v1/photo" => (200, "image/png", vec![0x89, b'P', b'N', b'G', 0xff]),
            _ if path.starts_with("/v1/cards") => {
                std::thread::sleep(Duration::from_millis(5));
                (200, json, br#"[1, 2]"#.to_vec())
            }
            _ if path.starts_with("/v1/feed") => (200, json, feed(&path)),
            _ if path.starts_with("/v1/pets/") && first.starts_with("DELETE") => {
                (204, "", Vec::new())
            }
            _ if path.starts_with("/v1/pets/") => {
                (200, json, br#"{"id": 7, "name": "Rex"}"#.to_vec())
            }
            _ if first.starts_with("GET /v1/pets") => (200, json, br#"[{"id": 7}]"#.to_vec()),
            _ => (201, json, br#"{"id": 8}"#.to_vec()),
        };
        let moved = match path.as_str() {
            _ if status == 302 => "location: http://169.254.169.254/latest\r\n",
            "/v1/cards" => "link: <?page=2>; rel=\"next\", <?page=9>; rel=\"last\"\r\n",
            "/v1/cards?page=2" => "link: </v1/cards?page=3>; rel=next\r\n",
            "/v1/cards?page=3" => "link: <http://169.254.169.254/v1/cards>; rel=next\r\n",
            _ => "",
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{moved}content-length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&body);
    }
}

/// Three pages, each of which links to the next.
fn feed(path: &str) -> Vec<u8> {
    let page = path.split("cursor=").nth(1).and_then(|rest| rest.chars().next());
    let (items, next) = match page {
        None => (json!(["a"]), json!("2")),
        Some('2') => (json!(["b"]), json!(3)),
        _ => (json!(["c"]), Value::Null),
    };
    json!({ "data": { "items": items }, "next": next }).to_string().into_bytes()
}

const DESCRIPTION: &str = r##"
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers: [{url: "http://169.254.169.254/"}]
paths:
  /pets:
    get:
      operationId: listPets
      tags: [pets]
      summary: Lists pets
      parameters:
        - {name: tag, in: query, schema: {type: array, items: {type: string}}}
        - {name: X-Trace, in: header, schema: {type: string}}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Pet"}}}}}}
    post:
      operationId: addPet
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}}
  /pets/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getPet, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}}}
    delete: {operationId: removePet, responses: {"204": {description: gone}}}
  /photo: {get: {operationId: photo, responses: {"200": {description: ok}}}}
  /cards: {get: {operationId: listCards, responses: {"200": {description: ok}}}}
  /feed:
    get:
      operationId: readFeed
      security: [{unheard: []}, {key: [], session: []}, {token: []}]
      parameters: [{name: limit, in: query, schema: {type: integer}}]
      responses: {"200": {description: ok}}
    put: {operationId: writeFeed, security: [{token: [write]}], responses: {"204": {description: ok}}}
    delete: {operationId: clearFeed, security: [], responses: {"204": {description: ok}}}
  /broken/{x}: {get: {operationId: broken}}
components:
  securitySchemes:
    token: {type: oauth2, flows: {}}
    key: {type: apiKey, in: query, name: api_key}
    session: {type: apiKey, in: cookie, name: sid}
    unheard: {type: http, scheme: digest}
  schemas:
    Pet:
      type: object
      required: [name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string}
        parent: {$ref: "#/components/schemas/Pet"}
"##;

/// A folder with the OpenAPI document.
fn described() -> tempfile::TempDir {
    let folder = crate::support::folder();
    std::fs::write(folder.path().join("pets.yaml"), DESCRIPTION).unwrap();
    folder
}

fn config(api: &Api, folder: &tempfile::TempDir, own: &str, more: &str) -> String {
    let file = folder.path().join("pets.yaml");
    format!(
        "servers:\n  pets:\n    url: http://{}/v1\n{own}    openapi: {{description: \"${{file:{}}}\"{more}}}\n",
        api.address,
        file.display()
    )
}

const OWN: &str = "    headers: {Authorization: Bearer of-the-gateway}\n";

fn start(api: &Api, more: &str) -> Gateway {
    Gateway::start(&config(api, &described(), OWN, more))
}

#[test]
fn operations_are_tools_and_calls_are_requests() {
    let api = Api::start();
    let gateway = start(&api, "");
    let client = Modern::new(&gateway, "/mcp");
    let listed = client.ask("tools/list", json!({})).result();
    let tools = listed["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names[..5],
        ["pets__listPets", "pets__addPet", "pets__getPet", "pets__removePet", "pets__photo"]
    );
    assert_eq!(tools[0]["annotations"]["readOnlyHint"], true);
    assert_eq!(tools[3]["annotations"]["destructiveHint"], true);
    assert!(api.got.lock().unwrap().is_empty(), "the API is asked nothing until somebody calls");
    let pet = client.call("pets__getPet", json!({ "id": "7" })).result();
    assert_eq!(pet["structuredContent"], json!({ "id": 7, "name": "Rex" }));
    assert_eq!(api.last().line, "GET /v1/pets/7 HTTP/1.1\r\n");
    assert!(api.last().headers.contains(&("authorization".into(), "Bearer of-the-gateway".into())));
    let list =
        client.call("pets__listPets", json!({ "tag": ["a&b", "c"], "X-Trace": "t" })).result();
    assert_eq!(list["structuredContent"], json!({ "result": [{ "id": 7 }] }));
    assert_eq!(api.last().line, "GET /v1/pets?tag=a%26b&tag=c HTTP/1.1\r\n");
    assert!(api.last().headers.contains(&("x-trace".into(), "t".into())));
    let made = client.call("pets__addPet", json!({ "name": "Rex", "parent": { "name": "Max" } }));
    assert_eq!(made.result()["structuredContent"]["id"], 8);
    let body: Value = serde_json::from_slice(&api.last().body).unwrap();
    assert_eq!(body, json!({ "name": "Rex", "parent": { "name": "Max" } }));
    assert_eq!(client.call("pets__removePet", json!({ "id": "7" })).text(), "done (HTTP 204)");
    let photo = client.call("pets__photo", json!({})).result();
    assert_eq!(
        photo["content"][0],
        json!({ "type": "image", "data": "iVBOR/8=", "mimeType": "image/png" })
    );
    // Clients of the handshake era get the same result.
    let old = Handshake::open(&gateway, "/mcp/pets", "2025-06-18", json!({}));
    let pet = old.call(1, "getPet", json!({ "id": "7" })).result();
    assert_eq!(pet["structuredContent"]["name"], "Rex");
}

#[test]
fn what_an_api_refuses_is_told_and_nothing_leads_elsewhere() {
    let api = Api::start();
    let gateway = start(&api, "");
    let client = Modern::new(&gateway, "/mcp/pets");
    let missing = client.call("getPet", json!({ "id": "404" })).result();
    assert_eq!(missing["isError"], true);
    assert_eq!(missing["_meta"]["doorward/error"]["status"], 404);
    let text = missing["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("No such pet: There is none with the number 404"), "{text}");
    assert_eq!(client.call("getPet", json!({ "id": "500" })).kind(), "http_status");
    assert_eq!(client.call("getPet", json!({ "id": "302" })).kind(), "http_status");
    let before = api.got.lock().unwrap().len();
    for bad in ["..", ".", "../admin?x=1#y", "%2e%2e/admin"] {
        let answer = client.call("getPet", json!({ "id": bad })).result();
        assert_eq!(answer["isError"], true, "{bad}");
    }
    assert_eq!(client.call("getPet", json!({})).result()["isError"], true);
    assert_eq!(
        client.call("listPets", json!({ "X-Trace": "a\r\nX: y" })).result()["isError"],
        true
    );
    assert_eq!(api.got.lock().unwrap().len(), before, "nothing was sent");
    client.call("getPet", json!({ "id": "a/admin?x=1#y" })).result();
    assert_eq!(api.last().line, "GET /v1/pets/a%2Fadmin%3Fx%3D1%23y HTTP/1.1\r\n");
    wait_for("what was left out is said", || {
        gateway.logged("'{x}' in its path is not a declared parameter")
    });
}

#[test]
fn a_description_is_fetched_from_where_the_operator_says() {
    let api = Api::start();
    let gateway = Gateway::start(&format!(
        "servers: {{pets: {{url: 'http://{0}/v1', openapi: {{from: 'http://{0}/v1/openapi.yaml', methods: [get], names: {{getPet: one}}}}}}}}\n",
        api.address
    ));
    let listed = Modern::new(&gateway, "/mcp/pets").ask("tools/list", json!({})).result();
    let names: Vec<&Value> =
        listed["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["listPets", "one", "photo", "listCards", "readFeed"]);
    assert_eq!(gateway.states()[0]["transport"], "openapi");
    let wrong = Gateway::start(&format!(
        "servers: {{pets: {{url: 'http://{0}/v1', openapi: {{description: 'swagger: \"2.0\"'}}}}}}\n",
        api.address
    ));
    let problem = wrong.states()[0]["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("it is Swagger 2.0"), "{problem}");
}

#[test]
fn a_description_can_be_looked_at_beforehand() {
    let folder = crate::support::folder();
    let file = folder.path().join("pets.yaml");
    std::fs::write(&file, DESCRIPTION).unwrap();
    let inspect = |more: &[&str]| {
        let output =
            doorward().args(["openapi", "inspect"]).arg(&file).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = inspect(&[]);
    assert!(told.contains("Pets at http://169.254.169.254/"), "{told}");
    assert!(
        told.contains("not a tool: broken: '{x}' in its path is not a declared parameter"),
        "{told}"
    );
    assert!(
        told.ends_with("9 tools; 1 operations cannot be tools, 0 are not selected\n"),
        "{told}"
    );
    assert!(told.contains("security: key: a key in query api_key\n"), "{told}");
    assert!(
        told.contains("security: unheard: not supported: 'digest' is not a supported"),
        "{told}"
    );
    let tools: Value = serde_json::from_str(&inspect(&["--json", "--tag", "pets"])).unwrap();
    assert_eq!(tools["tools"].as_array().unwrap().len(), 1);
    assert_eq!(tools["tools"][0]["inputSchema"]["properties"]["tag"]["type"], "array");
    let missing = doorward().args(["openapi", "inspect", "/no/such/file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(3));
}

#[test]
fn pages_are_put_together_within_bounds() {
    let api = Api::start();
    let asked = |from: usize| {
        let got = api.got.lock().unwrap();
        got[from..]
            .iter()
            .map(|got| got.line.split(' ').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // Pages linked by the `Link` header. A link to another origin is not followed.
    let told = format!("{OWN}    reliability: {{deadline_header: X-Time-Left}}\n");
    let gateway = Gateway::start(&config(&api, &described(), &told, ", pages: {}"));
    let client = Modern::new(&gateway, "/mcp/pets");
    let before = asked(0).len();
    let result = client.call("listCards", json!({})).result();
    assert_eq!(result["structuredContent"]["result"], json!([1, 2, 1, 2, 1, 2]), "{result}");
    assert_eq!(result["_meta"]["doorward/pages"]["pages"], 3);
    assert_eq!(result["_meta"]["doorward/pages"]["more"], true);
    assert_eq!(asked(before), ["/v1/cards", "/v1/cards?page=2", "/v1/cards?page=3"]);
    let left: Vec<u64> = api.got.lock().unwrap()[before..]
        .iter()
        .flat_map(|got| &got.headers)
        .filter(|(name, _)| name == "x-time-left")
        .map(|(_, left)| left.parse().unwrap())
        .collect();
    assert!(left.len() == 3 && left.is_sorted_by(|one, next| one > next), "{left:?}");
    // A response without pages is returned unchanged.
    let result = client.call("getPet", json!({ "id": "7" })).result();
    assert!(result["_meta"].get("doorward/pages").is_none(), "{result}");
    let gateway = start(&api, ", pages: {most: 2}");
    let result = Modern::new(&gateway, "/mcp/pets").call("listCards", json!({})).result();
    assert_eq!(result["structuredContent"]["result"], json!([1, 2, 1, 2]));
    assert_eq!(result["_meta"]["doorward/pages"], json!({ "pages": 2, "more": true }));
    // Pages linked by the response body. The credential is sent with each request.
    let security = "security: {key: k-7, session: s-8}";
    let rule = format!(", pages: {{next: /next, query: cursor, items: /data/items}}, {security}");
    let gateway = start(&api, &rule);
    let before = asked(0).len();
    let result =
        Modern::new(&gateway, "/mcp/pets").call("readFeed", json!({ "limit": 1 })).result();
    let content = &result["structuredContent"];
    assert_eq!(content["data"]["items"], json!(["a", "b", "c"]), "{result}");
    assert_eq!(content["next"], Value::Null);
    assert_eq!(result["_meta"]["doorward/pages"], json!({ "pages": 3, "more": false }));
    let lines = asked(before);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines {
        assert!(line.contains("limit=1") && line.matches("api_key=k-7").count() == 1, "{line}");
    }
}

#[test]
fn each_operation_is_shown_what_it_asks_for() {
    let api = Api::start();
    let rule = ", security: {token: t-9, key: \"k 7\", session: s-8}";
    let gateway = start(&api, rule);
    let client = Modern::new(&gateway, "/mcp/pets");
    client.call("readFeed", json!({}));
    let got = api.last();
    assert_eq!(got.line, "GET /v1/feed?api_key=k+7 HTTP/1.1\r\n");
    assert!(got.headers.contains(&("cookie".into(), "sid=s-8".into())), "{:?}", got.headers);
    // A credential in the server's own settings takes precedence.
    let shown = |got: &Got| {
        let shown = got.headers.iter().find(|(name, _)| name == "authorization");
        shown.map(|(_, value)| value.clone())
    };
    client.call("writeFeed", json!({}));
    assert_eq!(shown(&api.last()).as_deref(), Some("Bearer of-the-gateway"));
    let gateway = Gateway::start(&config(&api, &described(), "", rule));
    let client = Modern::new(&gateway, "/mcp/pets");
    client.call("writeFeed", json!({}));
    assert_eq!(shown(&api.last()).as_deref(), Some("Bearer t-9"));
    for nothing in ["clearFeed", "photo"] {
        client.call(nothing, json!({}));
        let got = api.last();
        assert!(shown(&got).is_none() && !got.line.contains("k+7"), "{got:?}");
        assert!(got.headers.iter().all(|(name, _)| name != "cookie"), "{got:?}");
    }
    assert!(gateway.log().iter().all(|line| !line.contains("t-9") && !line.contains("k+7")));
    // An unknown security scheme, or one that cannot be used, is reported.
    for (rule, why) in [
        (", security: {other: x}", "no security scheme 'other': the document defines"),
        (", security: {unheard: x}", "'digest' is not a supported location"),
    ] {
        let gateway = Gateway::start_unready(&config(&api, &described(), "", rule));
        wait_for("it is told", || gateway.states()[0]["problem"].to_string().contains(why));
    }
}
