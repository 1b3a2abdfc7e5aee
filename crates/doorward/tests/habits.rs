//! Servers as they are in the wild: what works without the gateway works with it.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use support::client::Modern;
use support::hostile::{
    Asked, Era, answer, begin_stream, event, redirect, result_text, said, with_habit,
};
use support::{Gateway, wait_for};

const ERAS: [Era; 2] = [Era::Modern, Era::Handshake];

fn in_front_of(url: &str) -> Gateway {
    Gateway::start(&format!(
        "timeouts: {{call: 5s}}\nservers:\n  s: {{url: \"{url}\", headers: {{x-secret: \"s3cret\"}}}}"
    ))
}

fn is_call(asked: &Asked) -> bool {
    asked.message["method"] == "tools/call"
}

/// As every mount of Starlette's and FastMCP's has it.
#[test]
fn a_redirect_within_the_origin_is_followed_and_remembered() {
    for era in ERAS {
        for status in [307, 308] {
            let redirected = Arc::new(AtomicUsize::new(0));
            let counted = redirected.clone();
            let server = with_habit(era, move |asked, out| {
                if asked.path != "/mcp" {
                    assert_eq!(asked.header("x-secret"), Some("s3cret"));
                    return false;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                redirect(out, status, "/mcp/");
                true
            });
            let gateway = in_front_of(&server.url());
            let client = Modern::new(&gateway, "/mcp/s");
            assert_eq!(client.call("echo", json!({ "text": "x" })).text(), "x", "{era:?} {status}");
            let before = redirected.load(Ordering::SeqCst);
            for _ in 0..5 {
                assert_eq!(client.call("echo", json!({ "text": "y" })).text(), "y");
            }
            assert_eq!(
                redirected.load(Ordering::SeqCst),
                before,
                "{era:?}: the place is remembered"
            );
        }
    }
}

/// Nothing is sent to whoever a server names, and the operator reads where that is.
#[test]
fn a_redirect_to_another_origin_is_refused_with_its_place() {
    for era in ERAS {
        let reached = Arc::new(AtomicBool::new(false));
        let seen = reached.clone();
        let other = with_habit(era, move |_, _| {
            seen.store(true, Ordering::SeqCst);
            false
        });
        let elsewhere = format!("{}/", other.url());
        let place = elsewhere.clone();
        let server = with_habit(era, move |_, out| {
            redirect(out, 307, &place);
            true
        });
        let gateway = in_front_of(&server.url());
        let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({ "text": "x" }));
        assert_eq!(failed.kind(), "http_status", "{}", failed.body);
        assert!(!failed.body.contains(&elsewhere), "{}", failed.body);
        let problem = gateway.states()[0]["problem"].to_string();
        assert!(problem.contains(&elsewhere), "{problem}");
        assert!(!reached.load(Ordering::SeqCst), "{era:?}");
    }
}

#[test]
fn a_redirect_that_leads_to_itself_is_given_up() {
    let server = with_habit(Era::Modern, |asked, out| {
        is_call(asked) && {
            redirect(out, 307, "/mcp");
            true
        }
    });
    let gateway = in_front_of(&server.url());
    let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
    assert_eq!(failed.kind(), "http_status", "{}", failed.body);
    assert!(failed.body.contains("too many"), "{}", failed.body);
}

/// Go servers without `omitempty` end a list by an empty cursor; a cursor that comes again ends it, too.
#[test]
fn a_list_ends_where_its_cursor_is_empty_or_comes_again() {
    for era in ERAS {
        for cursor in ["", "again"] {
            let server = with_habit(era, move |asked, out| {
                asked.message["method"] == "tools/list" && {
                    let mut result = json!({ "nextCursor": cursor, "resultType": "complete",
                        "ttlMs": 60_000, "cacheScope": "public",
                        "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] });
                    if asked.message["params"]["cursor"] == "again" {
                        result["tools"][0]["name"] = "more".into();
                    }
                    answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
                    true
                }
            });
            let gateway = in_front_of(&server.url());
            let client = Modern::new(&gateway, "/mcp/s");
            let listed = client.ask("tools/list", json!({})).json();
            let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
            let expected = if cursor.is_empty() { 1 } else { 2 };
            assert_eq!(tools.len(), expected, "{era:?} {cursor:?}: {listed}");
            assert_eq!(gateway.logged("goes round in circles"), !cursor.is_empty());
        }
    }
}

#[test]
fn a_tool_without_a_name_is_left_out_alone() {
    let server = with_habit(Era::Modern, |asked, out| {
        asked.message["method"] == "tools/list" && {
            let schema = json!({ "type": "object" });
            let tools = [
                json!({ "inputSchema": schema }),
                json!({ "name": "", "inputSchema": schema }),
                json!({ "name": " ", "inputSchema": schema }),
                json!({ "name": null, "inputSchema": schema }),
                json!({ "name": "echo", "inputSchema": schema }),
            ];
            let result = json!({ "tools": tools, "resultType": "complete", "ttlMs": 60_000,
                "cacheScope": "public" });
            answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
            true
        }
    });
    let gateway = in_front_of(&server.url());
    let listed = Modern::new(&gateway, "/mcp/s").ask("tools/list", json!({})).json();
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 1, "{listed}");
    assert_eq!(tools[0]["name"], "echo");
    wait_for("it is said", || gateway.logged("left out an item: it has no name"));
}

/// The last event of a stream without the empty line behind it.
#[test]
fn an_answer_at_the_end_of_a_stream_needs_no_last_line() {
    for era in ERAS {
        for end in ["", "\n", "\r\n"] {
            let server = with_habit(era, move |asked, out| {
                is_call(asked) && {
                    use std::io::Write;
                    begin_stream(out);
                    event(out, r#"{"jsonrpc":"2.0","method":"notifications/vendor/x"}"#);
                    let text = result_text(asked, &said("there"));
                    let _ = out.write_all(format!("event: message\ndata: {text}{end}").as_bytes());
                    let _ = out.shutdown(std::net::Shutdown::Both);
                    true
                }
            });
            let gateway = in_front_of(&server.url());
            let answered = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
            assert_eq!(answered.text(), "there", "{era:?} {end:?}: {}", answered.body);
        }
    }
}

/// What was cut off is none: the stream has ended before the answer.
#[test]
fn half_a_message_at_the_end_of_a_stream_is_no_answer() {
    let server = with_habit(Era::Modern, |asked, out| {
        is_call(asked) && {
            use std::io::Write;
            begin_stream(out);
            let text = result_text(asked, &said("there"));
            let _ = out.write_all(format!("data: {}", &text[..text.len() - 1]).as_bytes());
            let _ = out.shutdown(std::net::Shutdown::Both);
            true
        }
    });
    let gateway = in_front_of(&server.url());
    let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
    assert_eq!(failed.kind(), "stream_ended", "{}", failed.body);
}
