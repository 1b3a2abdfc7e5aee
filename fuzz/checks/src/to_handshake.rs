//! Whatever a modern server answers is valid JSON for a client of any earlier revision.

use bytes::Bytes;
use doorward_mcp::interaction::{InputRequired, Retry};
use doorward_mcp::json::{Limits, scan_object};
use doorward_mcp::{Object, Revision, RpcError, capabilities, method, translate};

const METHODS: [&str; 5] = [
    method::TOOLS_CALL,
    method::TOOLS_LIST,
    method::PROMPTS_GET,
    method::RESOURCES_READ,
    method::COMPLETE,
];

fn is_json(object: &Object) {
    serde_json::from_slice::<serde_json::Value>(&object.to_bytes()).expect("it is JSON");
}

pub fn check(data: &[u8]) {
    let Ok(object) = scan_object(&Bytes::copy_from_slice(data), Limits::default()) else { return };
    for revision in Revision::ALL {
        for method in METHODS {
            let mut result = object.clone();
            translate::result_to_handshake(method, &mut result, revision);
            is_json(&result);
        }
        let mut tool = object.clone();
        translate::tool_to_handshake(&mut tool, revision);
        is_json(&tool);
        is_json(&capabilities::client_to_handshake(&object, revision));
    }
    is_json(&capabilities::server_to_handshake(&object));
    if let Ok(required) = InputRequired::read(&object) {
        is_json(&required.to_result());
        for request in &required.requests {
            is_json(&translate::question_to_handshake(request, "id"));
        }
    }
    let _ = Retry::take(&mut object.clone());
    if let Some(error) = RpcError::read(&object) {
        let error = translate::error_to_handshake(method::TOOLS_CALL, error, Some("a:b"));
        serde_json::from_slice::<serde_json::Value>(&error.to_bytes()).expect("it is JSON");
    }
}
