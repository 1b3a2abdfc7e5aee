//! Whatever bytes come in are read or refused.

use bytes::Bytes;
use doorward_mcp::Id;
use doorward_mcp::json::Limits;
use proptest::prelude::*;

use super::strategies::{Range, request};
use crate::http::{self, HttpRequest};
use crate::{AgentCard, Binding, ErrorKind, Event, Method, Reply, Revision, error, rpc};

fn read_all(text: &Bytes) {
    let limits = Limits::default();
    for revision in Revision::ALL {
        let _ = rpc::read(text, revision, limits);
        for verb in ["GET", "POST", "DELETE"] {
            for path in [
                "/message:send",
                "/v1/message:send",
                "/tasks/t/pushNotificationConfigs",
                "/v1/tasks/t/pushNotificationConfigs",
                "/tasks",
            ] {
                let query = std::str::from_utf8(text).ok();
                let _ = http::read(HttpRequest { verb, path, query, body: text }, revision, limits);
            }
        }
        if let Ok(path) = std::str::from_utf8(text) {
            let _ = http::route("GET", path, revision);
            let _ = Revision::negotiate(Some(path), None);
        }
        for method in Method::ALL {
            let _ = rpc::read_reply(method, text, &Id::Number(1), revision, limits);
            let _ = Reply::read_http(method, text, revision, limits);
        }
        for binding in Binding::ALL {
            let _ = Event::read(text, revision, binding, limits);
        }
        let _ = error::read_http(400, text, limits).to_http(revision);
    }
    if let Ok(card) = AgentCard::read(text, limits) {
        let _ = card.to_bytes_of_both();
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        read_all(&Bytes::from(bytes));
    }

    #[test]
    fn a_message_with_a_fault_is_read_or_refused(request in request(Range::All), at in any::<prop::sample::Index>(), byte in prop::sample::select(&b"{}[]\",:0a\\"[..])) {
        let mut text = rpc::write(&Id::Number(1), &request, Revision::V1_0).unwrap().to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        read_all(&Bytes::from(text));
    }
}

#[test]
fn depth_is_bounded() {
    let message = |depth: usize| {
        let deep = format!("{}{}", r#"{"a":"#.repeat(depth), "1".to_owned() + &"}".repeat(depth));
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"data":{deep}}}]}}}}}}"#
        );
        rpc::read(&Bytes::from(text), Revision::V1_0, Limits::default())
    };
    assert!(message(100).is_ok());
    assert_eq!(message(200).unwrap_err().error.kind, ErrorKind::InvalidRequest);
    assert_eq!(message(100_000).unwrap_err().error.kind, ErrorKind::InvalidRequest);
}

#[test]
fn what_another_parser_could_read_is_refused() {
    for member in [
        r#""task_ID":"other""#,
        r#""taskid":"other""#,
        r#""task-id":"other""#,
        r#""taskId":"a","task_id":"other""#,
    ] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"a"}}],{member}}}}}}}"#
        );
        let refused = rpc::read(&Bytes::from(text), Revision::V1_0, Limits::default()).unwrap_err();
        assert_eq!(refused.error.kind, ErrorKind::InvalidParams, "{member}");
    }
}
