//! Requests and responses in both bindings of both revisions.

use bytes::Bytes;
use doorward_mcp::Id;
use doorward_mcp::json::Limits;
use proptest::prelude::*;

use super::strategies::{Range, event, request};
use crate::http::{self, HttpRequest};
use crate::{Binding, Error, ErrorKind, Event, Method, Operation, Reply, Request, Revision, rpc};

fn limits() -> Limits {
    Limits::default()
}

fn read_http(verb: &str, target: &str, body: &str, revision: Revision) -> Result<Request, Error> {
    let (path, query) =
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let body = Bytes::copy_from_slice(body.as_bytes());
    http::read(HttpRequest { verb, path, query, body: &body }, revision, limits())
}

fn rpc_text(request: &Request, revision: Revision) -> Bytes {
    rpc::write(&Id::Number(7), request, revision).unwrap()
}

proptest! {
    #[test]
    fn a_request_survives_json_rpc(request in request(Range::All)) {
        let text = rpc_text(&request, Revision::V1_0);
        let (id, read) = rpc::read(&text, Revision::V1_0, limits()).unwrap();
        prop_assert_eq!(rpc_text(&read, Revision::V1_0), text);
        prop_assert_eq!((id, read.method()), (Id::Number(7), request.method()));
    }

    #[test]
    fn a_request_survives_http(one in request(Range::All), old in request(Range::Forms)) {
        for (revision, request) in [(Revision::V1_0, one), (Revision::V0_3, old)] {
            let call = http::write(&request, revision).unwrap();
            let body = call.body.clone().unwrap_or_default();
            let (path, query) = call.target.split_once('?').map_or((&*call.target, None), |(path, query)| (path, Some(query)));
            let read = http::read(HttpRequest { verb: call.verb, path, query, body: &body }, revision, limits());
            let read = read.map_err(|error| TestCaseError::fail(format!("{call:?}: {error:?}")))?;
            prop_assert_eq!(http::write(&read, revision).unwrap(), call);
            // What the form of 1.0 says of it is the same.
            let same = |request: &Request| rpc_text(request, Revision::V1_0);
            prop_assert_eq!(same(&read), same(&request));
        }
    }

    #[test]
    fn an_event_survives_both_bindings(event in event(Range::Forms)) {
        for revision in Revision::ALL {
            let text = rpc::write_event(&Id::Number(1), &event, revision);
            let read = rpc::read_event(&text, &Id::Number(1), revision, limits()).unwrap();
            prop_assert_eq!(rpc::write_event(&Id::Number(1), &read, revision), text);
            let text = event.to_bytes(revision, Binding::HttpJson);
            let read = Event::read(&text, revision, Binding::HttpJson, limits()).unwrap();
            prop_assert_eq!(read.to_bytes(revision, Binding::HttpJson), text);
        }
    }
}

#[test]
fn every_path_of_the_specification_is_an_operation() {
    for (verb, path, method) in [
        ("POST", "/message:send", Method::Send),
        ("POST", "/message:stream", Method::Stream),
        ("GET", "/tasks/t", Method::GetTask),
        ("GET", "/tasks/t/", Method::GetTask),
        ("GET", "/tasks", Method::ListTasks),
        ("POST", "/tasks/t:cancel", Method::CancelTask),
        ("GET", "/tasks/t:subscribe", Method::Subscribe),
        ("POST", "/tasks/t:subscribe", Method::Subscribe),
        ("POST", "/tasks/t/pushNotificationConfigs", Method::CreatePush),
        ("GET", "/tasks/t/pushNotificationConfigs", Method::ListPush),
        ("GET", "/tasks/t/pushNotificationConfigs/p", Method::GetPush),
        ("DELETE", "/tasks/t/pushNotificationConfigs/p", Method::DeletePush),
        ("GET", "/extendedAgentCard", Method::ExtendedCard),
    ] {
        let route = http::route(verb, path, Revision::V1_0).unwrap();
        assert_eq!((route.method, route.tenant), (method, None), "{path}");
        let route = http::route(verb, &format!("/a%2Fb{path}"), Revision::V1_0).unwrap();
        assert_eq!((route.method, route.tenant.as_deref()), (method, Some("a/b")), "{path}");
        if method != Method::ListTasks {
            let path = path.replace("/extendedAgentCard", "/card");
            let route = http::route(verb, &format!("/v1{path}"), Revision::V0_3).unwrap();
            assert_eq!(route.method, method, "{path}");
        }
    }
}

#[test]
fn other_paths_and_verbs_are_refused_each_in_its_way() {
    for (verb, path, revision, kind) in [
        ("GET", "/message:send", Revision::V1_0, ErrorKind::VerbNotAllowed),
        ("PUT", "/tasks/t", Revision::V1_0, ErrorKind::VerbNotAllowed),
        ("POST", "/tasks/t/pushNotificationConfigs/p", Revision::V1_0, ErrorKind::VerbNotAllowed),
        ("GET", "/", Revision::V1_0, ErrorKind::MethodNotFound),
        ("GET", "", Revision::V1_0, ErrorKind::MethodNotFound),
        ("GET", "/tasks//", Revision::V1_0, ErrorKind::MethodNotFound),
        ("GET", "/a/b/tasks", Revision::V1_0, ErrorKind::MethodNotFound),
        ("GET", "/tasks/%ff", Revision::V1_0, ErrorKind::MethodNotFound),
        ("GET", "/tasks/a%0Ab", Revision::V1_0, ErrorKind::MethodNotFound),
        ("GET", "/v1/card", Revision::V1_0, ErrorKind::VersionNotSupported),
        ("POST", "/message:send", Revision::V0_3, ErrorKind::VersionNotSupported),
        ("GET", "/v1/tasks", Revision::V0_3, ErrorKind::VersionNotSupported),
    ] {
        let error = http::route(verb, path, revision).unwrap_err();
        assert_eq!(error.kind, kind, "{verb} {path}");
    }
    let error = http::route("DELETE", "/tasks/t", Revision::V1_0).unwrap_err();
    assert_eq!(error.metadata, [("allow".to_owned(), "GET".to_owned())]);
}

#[test]
fn a_colon_of_an_id_is_no_action() {
    let route = http::route("GET", "/tasks/a:b", Revision::V1_0).unwrap();
    assert_eq!((route.method, route.task_id.as_deref()), (Method::GetTask, Some("a:b")));
    let route = http::route("GET", "/tasks/a%3Acancel", Revision::V1_0).unwrap();
    assert_eq!((route.method, route.task_id.as_deref()), (Method::GetTask, Some("a:cancel")));
    let get =
        Operation::GetTask(crate::request::GetTask { id: "a:cancel".into(), history_length: None });
    let call = http::write(&Request::new(get), Revision::V1_0).unwrap();
    assert_eq!((call.verb, &*call.target), ("GET", "/tasks/a%3Acancel"));
    for id in ["", ".", ".."] {
        let get =
            Operation::GetTask(crate::request::GetTask { id: id.into(), history_length: None });
        assert!(http::write(&Request::new(get), Revision::V1_0).is_err());
    }
}

#[test]
fn the_path_and_the_body_must_agree() {
    let config = r#"{"url":"https://a","taskId":"t"}"#;
    assert!(read_http("POST", "/tasks/t/pushNotificationConfigs", config, Revision::V1_0).is_ok());
    for (path, body, revision) in [
        ("/tasks/u/pushNotificationConfigs", config, Revision::V1_0),
        (
            "/tasks/t/pushNotificationConfigs",
            r#"{"url":"https://a","task_id":"u"}"#,
            Revision::V1_0,
        ),
        ("/x/tasks/t:cancel", r#"{"tenant":"y"}"#, Revision::V1_0),
        ("/tasks/t:cancel", r#"{"id":"u"}"#, Revision::V1_0),
        ("/v1/tasks/t:cancel", r#"{"name":"tasks/u"}"#, Revision::V0_3),
        (
            "/v1/tasks/t/pushNotificationConfigs",
            r#"{"parent":"tasks/u","config":{"pushNotificationConfig":{"url":"https://a"}}}"#,
            Revision::V0_3,
        ),
        (
            "/v1/tasks/t/pushNotificationConfigs",
            r#"{"name":"tasks/u/pushNotificationConfigs/p","pushNotificationConfig":{"url":"https://a"}}"#,
            Revision::V0_3,
        ),
    ] {
        let error = read_http("POST", path, body, revision).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidParams, "{path} {body}");
    }
    let name = r#"{"parent":"tasks/t","config_id":"p","config":{"name":"tasks/t/pushNotificationConfigs/",
        "push_notification_config":{"url":"https://a"}}}"#;
    let read =
        read_http("POST", "/v1/tasks/t/pushNotificationConfigs", name, Revision::V0_3).unwrap();
    let Operation::CreatePush(config) = read.operation else { panic!() };
    assert_eq!((config.id.as_deref(), config.task_id.as_deref()), (Some("p"), Some("t")));
}

#[test]
fn a_query_is_read_as_the_specification_writes_it() {
    let read = |query: &str| read_http("GET", &format!("/tasks?{query}"), "", Revision::V1_0);
    let all = "contextId=a%20b&status=TASK_STATE_WORKING&pageSize=7&pageToken=x&historyLength=0\
        &includeArtifacts=true&statusTimestampAfter=2025-11-09T10%3A30%3A00Z&A2A-Version=1.0&utm=1";
    let Operation::ListTasks(list) = read(all).unwrap().operation else { panic!() };
    assert_eq!(list.context_id.as_deref(), Some("a b"));
    assert_eq!((list.page_size(), list.history_length, list.include_artifacts), (7, Some(0), true));
    assert!(list.status.is_some() && list.status_timestamp_after.is_some());
    assert_eq!(http::version_parameter(all), Some("1.0"));
    for (query, field) in [
        ("pageSize=150", "pageSize"),
        ("pageSize=0", "pageSize"),
        ("historyLength=-5", "historyLength"),
        ("status=TASK_STATE_RUNNING", "status"),
        ("includeArtifacts=yes", "includeArtifacts"),
        ("statusTimestampAfter=now", "statusTimestampAfter"),
        ("contextId=a&context_id=b", "contextId"),
        ("contextId=a&contextId=b", ""),
        ("ContextId=a", "ContextId"),
        ("contextId=%ff", ""),
    ] {
        let error = read(query).unwrap_err();
        assert_eq!(
            (error.kind, &*error.violations[0].field),
            (ErrorKind::InvalidParams, field),
            "{query}"
        );
    }
}

#[test]
fn json_rpc_refuses_with_the_codes_of_the_specification() {
    let message = r#"{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]}"#;
    for (body, revision, code) in [
        ("{", Revision::V1_0, -32700),
        ("[]", Revision::V1_0, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"GetTask"}"#, Revision::V1_0, -32600),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"}}"#, Revision::V1_0, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Revision::V1_0, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t","id":"u"}}"#,
            Revision::V1_0,
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"Unknown"}"#, Revision::V1_0, -32601),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"t"}}"#,
            Revision::V1_0,
            -32009,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t"}}"#,
            Revision::V0_3,
            -32009,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask"}"#, Revision::V1_0, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{}}"#, Revision::V1_0, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[]}}}"#,
            Revision::V1_0,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"user","parts":[{"text":"a"}]}}}"#,
            Revision::V1_0,
            -32602,
        ),
    ] {
        let refused = rpc::read(&Bytes::from(body), revision, limits()).unwrap_err();
        assert_eq!(refused.error.code(), code, "{body}");
        let written = rpc::write_error(refused.id.as_ref(), &refused.error, revision);
        let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(written["error"]["code"], code);
    }
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"a","method":"SendMessage","params":{{"message":{message}}}}}"#
    );
    assert!(rpc::read(&Bytes::from(body), Revision::V1_0, limits()).is_ok());
}

#[test]
fn an_agents_response_must_be_the_one_to_the_request() {
    let read = |text: &str| {
        let text = Bytes::copy_from_slice(text.as_bytes());
        rpc::read_reply(Method::GetTask, &text, &Id::Number(1), Revision::V0_3, limits())
    };
    let task = r#"{"id":"t","contextId":"c","status":{"state":"working"},"kind":"task"}"#;
    assert!(matches!(
        read(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{task}}}"#)),
        Ok(Reply::Task(task)) if task.id == "t"
    ));
    let error =
        read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no","data":null}}"#);
    assert_eq!(error.unwrap_err().kind, ErrorKind::TaskNotFound);
    for text in [
        format!(r#"{{"jsonrpc":"2.0","id":2,"result":{task}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":"1","result":{task}}}"#),
        r#"{"jsonrpc":"2.0","id":1}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":[]}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"kind":"message"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"error":{}}"#.to_owned(),
        "<html>".to_owned(),
    ] {
        assert_eq!(read(&text).unwrap_err().kind, ErrorKind::InvalidAgentResponse, "{text}");
    }
}

#[test]
fn a_send_waits_unless_it_says_otherwise() {
    let read = |body: &str, revision| {
        let path = if revision == Revision::V1_0 { "/message:send" } else { "/v1/message:send" };
        let Operation::Send(send) = read_http("POST", path, body, revision).unwrap().operation
        else {
            panic!()
        };
        send.returns_immediately()
    };
    let one = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]}"#;
    assert!(!read(&format!("{one}}}"), Revision::V1_0));
    assert!(!read(&format!(r#"{one},"configuration":{{}}}}"#), Revision::V1_0));
    assert!(read(
        &format!(r#"{one},"configuration":{{"returnImmediately":true}}}}"#),
        Revision::V1_0
    ));
    let old = r#"{"request":{"message_id":"m","role":"ROLE_USER","content":[{"text":"a"}]}"#;
    assert!(!read(&format!(r#"{old},"configuration":{{}}}}"#), Revision::V0_3));
    assert!(!read(&format!(r#"{old},"configuration":{{"blocking":true}}}}"#), Revision::V0_3));
    assert!(read(&format!(r#"{old},"configuration":{{"history_length":3}}}}"#), Revision::V0_3));
}
