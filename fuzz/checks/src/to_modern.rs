//! Whatever a server of the handshake era answers is valid JSON for a modern client, under its
//! qualified names.

use bytes::Bytes;
use doorward_mcp::json::{Limits, scan_object};
use doorward_mcp::names::{Qualifier, qualified_name, split_name};
use doorward_mcp::translate::ModernError;
use doorward_mcp::{Object, RpcError, capabilities, meta, method, tasks, translate};

const METHODS: [&str; 6] = [
    method::TOOLS_CALL,
    method::TOOLS_LIST,
    method::PROMPTS_GET,
    method::RESOURCES_LIST,
    method::RESOURCES_READ,
    method::TEMPLATES_LIST,
];

fn is_json(object: &Object) {
    serde_json::from_slice::<serde_json::Value>(&object.to_bytes()).expect("it is JSON");
}

pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(split_name(&qualified_name("server", text)), Some(("server", text)));
    }
    let Ok(object) = scan_object(&Bytes::copy_from_slice(data), Limits::default()) else { return };
    let qualifier = Qualifier { server: "server" };
    for method in METHODS {
        let mut result = object.clone();
        translate::result_to_modern(method, &mut result);
        qualifier.result(method, &mut result);
        is_json(&result);
        let mut item = object.clone();
        qualifier.item(method, &mut item);
        is_json(&item);
    }
    let mut params = object.clone();
    qualifier.notification(method::RESOURCE_UPDATED, &mut params);
    translate::question_to_modern(&mut params);
    is_json(&params);
    is_json(&capabilities::client_to_modern(&object));
    is_json(&capabilities::server_to_modern(&object));
    if let Some(created) = tasks::created_to_modern(&object) {
        is_json(&created);
    }
    let mut task = object.clone();
    tasks::to_modern(&mut task);
    tasks::Support::hide(&mut task);
    tasks::drop_related(&mut task);
    is_json(&task);
    assert_eq!(tasks::related(&task), None);
    let _ = meta::take_client(&mut object.clone());
    if let Some(error) = RpcError::read(&object)
        && let ModernError::Input(required) = translate::error_to_modern(error, Some("a:b"))
    {
        is_json(&required.to_result());
    }
}
