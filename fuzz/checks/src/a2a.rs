//! Any bytes are a message of A2A or a clear refusal, at every reader; what is read is written so that it is read again
//! as the same, and a translation to the other revision is JSON.

use bytes::Bytes;
use doorward_a2a::http::{self, HttpRequest};
use doorward_a2a::{AgentCard, Binding, Event, Method, Reply, Request, Revision, error, rpc};
use doorward_mcp::Id;
use doorward_mcp::json::Limits;

const ID: Id = Id::Number(1);

/// One method for each kind of result.
const METHODS: [Method; 6] = [
    Method::Send,
    Method::GetTask,
    Method::ListTasks,
    Method::GetPush,
    Method::ListPush,
    Method::ExtendedCard,
];

/// Checks one input: its first byte chooses the reader.
pub fn check(data: &[u8]) {
    let Some((reader, data)) = data.split_first() else { return };
    let text = Bytes::copy_from_slice(data);
    match reader % 6 {
        0 => {
            let _ = rpc::read_reply(Method::Send, &text, &ID, Revision::V1_0, limits());
            Revision::ALL.into_iter().for_each(|revision| check_rpc(&text, revision));
        }
        1 => Revision::ALL.into_iter().for_each(|revision| check_body(&text, revision)),
        2 => Revision::ALL.into_iter().for_each(|revision| check_path(&text, revision)),
        3 => Revision::ALL.into_iter().for_each(|revision| check_reply(&text, revision)),
        4 => Revision::ALL.into_iter().for_each(|revision| check_event(&text, revision)),
        _ => check_card_and_error(&text),
    }
}

fn limits() -> Limits {
    Limits::default()
}

fn is_json(text: &[u8]) {
    serde_json::from_slice::<&serde_json::value::RawValue>(text).expect("it is JSON");
}

fn check_rpc(text: &Bytes, revision: Revision) {
    let Ok((id, request)) = rpc::read(text, revision, limits()) else { return };
    let written = rpc::write(&id, &request, revision).expect("the revision has the operation");
    let (_, again) = rpc::read(&written, revision, limits()).expect("what was written is read");
    assert_eq!(rpc::write(&id, &again, revision).expect("as before"), written);
    check_translated(&request);
}

fn check_body(text: &Bytes, revision: Revision) {
    let prefix = if revision == Revision::V0_3 { "/v1" } else { "" };
    for path in ["/message:send", "/tasks/t:cancel", "/tasks/t/pushNotificationConfigs"] {
        let path = &*format!("{prefix}{path}");
        let request = HttpRequest { verb: "POST", path, query: None, body: text };
        if let Ok(request) = http::read(request, revision, limits()) {
            check_translated(&request);
        }
    }
}

/// The input as a path, as a query, and as a version.
fn check_path(text: &Bytes, revision: Revision) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let _ = Revision::negotiate(Some(text), None);
    let body = &Bytes::new();
    for (verb, path) in [("GET", text), ("DELETE", text), ("POST", text), ("GET", "/tasks")] {
        let request = HttpRequest { verb, path, query: Some(text), body };
        if let Ok(request) = http::read(request, revision, limits()) {
            check_translated(&request);
        }
    }
}

/// The request as each revision and binding says it; its path leads to the same operation.
fn check_translated(request: &Request) {
    for revision in Revision::ALL {
        if let Ok(written) = rpc::write(&ID, request, revision) {
            is_json(&written);
        }
        if let Ok(call) = http::write(request, revision) {
            let path = call.target.split('?').next().unwrap_or_default();
            let route =
                http::route(call.verb, path, revision).expect("its path is one of the protocol");
            assert_eq!(route.method, request.method(), "{path}");
            call.body.iter().for_each(|body| is_json(body));
        }
    }
}

fn check_reply(text: &Bytes, revision: Revision) {
    for method in METHODS {
        let Ok(reply) = Reply::read_http(method, text, revision, limits()) else { continue };
        let written = reply.to_http(revision);
        is_json(&written);
        // A card of the other revision may have nothing to say in this one.
        if method != Method::ExtendedCard {
            let again = Reply::read_http(method, &written, revision, limits());
            assert_eq!(again.expect("what was written is read").to_http(revision), written);
        }
        Revision::ALL.into_iter().for_each(|other| is_json(&rpc::write_reply(&ID, &reply, other)));
    }
}

fn check_event(text: &Bytes, revision: Revision) {
    for binding in Binding::ALL {
        let Ok(event) = Event::read(text, revision, binding, limits()) else { continue };
        let written = event.to_bytes(revision, binding);
        let again = Event::read(&written, revision, binding, limits());
        assert_eq!(again.expect("what was written is read").to_bytes(revision, binding), written);
        Revision::ALL.into_iter().for_each(|other| is_json(&rpc::write_event(&ID, &event, other)));
    }
}

fn check_card_and_error(text: &Bytes) {
    let failure = error::read_http(400, text, limits());
    for revision in Revision::ALL {
        is_json(&failure.to_http(revision));
        is_json(&rpc::write_error(None, &failure, revision));
    }
    if let Ok(card) = AgentCard::read(text, limits()) {
        let both = card.to_bytes_of_both();
        is_json(&both);
        AgentCard::read(&both, limits()).expect("a card of both revisions is read");
    }
}
