//! Real-world servers: whatever works without the gateway works with it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::client::Modern;
use crate::support::hostile::{
    Asked, Era, answer, begin_stream, event, redirect, result_text, said, with_habit,
};
use crate::support::{Gateway, wait_for};
use serde_json::json;

const ERAS: [Era; 2] = [Era::Modern, Era::Handshake];

fn in_front_of(url: &str) -> Gateway {
    Gateway::start(&format!(
        "timeouts: {{call: 5s}}\nservers:\n  s: {{url: \"{url}\", headers: {{x-secret: \"s3cret\"}}}}"
    ))
}

fn is_call(asked: &Asked) -> bool {
    asked.message["method"] == "tools/call"
}

/// Every mount of Starlette and FastMCP redirects like this.
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

/// The gateway sends nothing to the other origin, and the operator learns where the redirect leads.
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

/// Go servers without `omitempty` end a list with an empty cursor. A repeated cursor ends it as well.
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
            assert_eq!(gateway.logged("the list is cyclic"), !cursor.is_empty());
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
    wait_for("it is said", || gateway.logged("ignored an item: it has no name"));
}

/// The last event of a stream may lack the empty line after it.
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

/// A truncated message does not count: the stream has ended without a response.
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

fn compressed(coding: &str, text: &[u8]) -> Vec<u8> {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;
    let level = Compression::default();
    match coding {
        "gzip" | "x-gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "bare deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        // Brotli's format for uncompressed data (RFC 7932 section 9.2): one stored block, then an empty last one.
        "br" => {
            let head = (u32::try_from(text.len()).unwrap() - 1) << 4 | 1 << 20;
            [&head.to_le_bytes()[..3], text, &[3]].concat()
        }
        other => panic!("{other}"),
    }
}

fn respond_compressed(out: &mut std::net::TcpStream, coding: &str, kind: &str, body: &[u8]) {
    use std::io::Write;
    let named = coding.trim_start_matches("bare ");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: {named}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = out.write_all(head.as_bytes());
    let _ = out.write_all(body);
}

/// Some content delivery networks compress responses even if the client did not ask for it.
#[test]
fn compressed_answers_are_unpacked() {
    for era in ERAS {
        for coding in ["gzip", "x-gzip", "deflate", "bare deflate", "br"] {
            for kind in ["application/json", "text/event-stream"] {
                let server = with_habit(era, move |asked, out| {
                    is_call(asked) && {
                        let text = result_text(asked, &said(&"packed ".repeat(1000)));
                        let text = match kind {
                            "text/event-stream" => format!("data: {text}\n\n"),
                            _ => text,
                        };
                        respond_compressed(out, coding, kind, &compressed(coding, text.as_bytes()));
                        true
                    }
                });
                let gateway = in_front_of(&server.url());
                let client = Modern::new(&gateway, "/mcp/s");
                for _ in 0..2 {
                    let answered = client.call("echo", json!({}));
                    assert_eq!(answered.text(), "packed ".repeat(1000), "{era:?} {coding} {kind}");
                }
                let counted =
                    "doorward_server_deviations_total{server=\"s\",deviation=\"compressed\"}";
                assert_eq!(gateway.metric(counted), 2.0, "{era:?} {coding} {kind}");
            }
        }
    }
}

/// Data after the message is ignored, and so is a `content-encoding` that names no encoding.
#[test]
fn a_whole_message_needs_no_proper_end_of_what_it_is_packed_in() {
    let text = |asked: &Asked| result_text(asked, &said(&"packed ".repeat(600_000))).into_bytes();
    for (coding, cut, zeros) in [
        ("gzip", 8, 0),
        ("gzip", 0, 64),
        ("gzip, identity", 0, 0),
        ("utf-8", 0, 0),
        ("none", 0, 0),
        ("aws-chunked", 0, 0),
    ] {
        let server = with_habit(Era::Modern, move |asked, out| {
            is_call(asked) && {
                let mut body = match coding.starts_with("gzip") {
                    true => compressed("gzip", &text(asked)),
                    false => text(asked),
                };
                body.truncate(body.len() - cut);
                body.resize(body.len() + zeros, 0);
                respond_compressed(out, coding, "application/json", &body);
                true
            }
        });
        let gateway = in_front_of(&server.url());
        let answered = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
        assert!(answered.text().starts_with("packed packed"), "{coding} {cut} {zeros}");
    }
}

/// A few compressed bytes may expand to very many.
#[test]
fn what_is_packed_is_bounded_and_what_is_broken_is_no_answer() {
    let bomb = compressed("gzip", &vec![b' '; 256 << 20]);
    assert!(bomb.len() < 1 << 20);
    let server = with_habit(Era::Modern, move |asked, out| {
        let text = result_text(asked, &said("x"));
        let packed = compressed("gzip", text.as_bytes());
        let (coding, body) = match asked.message["params"]["arguments"]["text"].as_str() {
            Some("bomb") => ("gzip", bomb.clone()),
            Some("cut") => ("gzip", packed[..packed.len() / 2].to_vec()),
            Some("lie") => ("gzip", text.into_bytes()),
            Some("unknown") => ("zstd", packed),
            _ => return false,
        };
        respond_compressed(out, coding, "application/json", &body);
        true
    });
    let gateway = in_front_of(&server.url());
    let client = Modern::new(&gateway, "/mcp/s");
    let before = gateway.metric("doorward_resident_memory_bytes");
    for (text, kind) in [
        ("bomb", "invalid_message"),
        ("cut", "invalid_message"),
        ("lie", "invalid_message"),
        ("unknown", "invalid_message"),
    ] {
        let failed = client.call("echo", json!({ "text": text }));
        assert_eq!(failed.kind(), kind, "{text}: {}", failed.body);
    }
    let grown = gateway.metric("doorward_resident_memory_bytes") - before;
    // Half of the uncompressed size, since an allocator returns freed memory late.
    assert!(grown < f64::from(128 << 20), "{grown} bytes");
}

/// A mistake with only one plausible meaning is read and counted.
#[test]
fn answers_that_are_almost_right_are_read() {
    for era in ERAS {
        for (habit, answered) in [
            ("null_member", r#"{"jsonrpc":"2.0","id":ID,"error":null,"result":RESULT}"#),
            ("text_id", r#"{"jsonrpc":"2.0","id":"ID","result":RESULT}"#),
            ("byte_order_mark", "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":RESULT}"),
            (
                "lone_surrogate",
                r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"there"},{"type":"text","text":"cut \ud83d"}],"resultType":"complete"}}"#,
            ),
            (
                "duplicate_member",
                r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"there"}],"structuredContent":{"a":{"b":1,"b":2}},"_meta":{"v/x":{"c":1,"c":[3]}},"resultType":"complete"}}"#,
            ),
        ] {
            for streamed in [false, true] {
                let server = with_habit(era, move |asked, out| {
                    is_call(asked) && {
                        let text = answered
                            .replace("ID", &asked.id())
                            .replace("RESULT", &said("there").to_string());
                        if streamed {
                            begin_stream(out);
                            event(out, &text);
                            let _ = out.shutdown(std::net::Shutdown::Both);
                        } else {
                            answer(out, 200, "application/json", text.as_bytes());
                        }
                        true
                    }
                });
                let gateway = in_front_of(&server.url());
                let result = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
                assert_eq!(result.text(), "there", "{era:?} {habit}: {}", result.body);
                match habit {
                    "lone_surrogate" => {
                        assert_eq!(result.result()["content"][1]["text"], "cut \u{fffd}");
                    }
                    "duplicate_member" => {
                        assert_eq!(
                            result.result()["structuredContent"],
                            json!({ "a": { "b": 2 } })
                        );
                        assert_eq!(result.result()["_meta"]["v/x"], json!({ "c": [3] }));
                        assert_eq!(result.body.matches("\"b\"").count(), 1, "{}", result.body);
                    }
                    _ => {}
                }
                let counted = format!(
                    "doorward_server_deviations_total{{server=\"s\",deviation=\"{habit}\"}}"
                );
                assert_eq!(gateway.metric(&counted), 1.0, "{era:?} {habit}");
            }
        }
    }
    // A message that two parsers could read differently is still refused.
    for answered in [
        r#"{"jsonrpc":"2.0","id":ID,"result":RESULT,"result":RESULT}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[],"content":[{"type":"text","text":"x"}]}}"#,
    ] {
        let server = with_habit(Era::Modern, move |asked, out| {
            is_call(asked) && {
                let text =
                    answered.replace("ID", &asked.id()).replace("RESULT", &said("x").to_string());
                answer(out, 200, "application/json", text.as_bytes());
                true
            }
        });
        let gateway = in_front_of(&server.url());
        let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
        assert_eq!(failed.kind(), "invalid_message", "{}", failed.body);
    }
}

/// Messages of clients are never corrected.
#[test]
fn requests_stay_strict() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let client = Modern::new(&gateway, "/mcp/sample");
    let body =
        client.body("tools/call", json!({ "name": "echo", "arguments": { "text": "TEXT" } }));
    let headers = Modern::headers(&body);
    let mut all: Vec<(&str, &str)> = crate::support::client::JSON.to_vec();
    all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let good = body.to_string();
    for (text, status) in [
        (good.clone(), 200),
        (good.replace("TEXT", r"\ud83d"), 400),
        (format!("\u{feff}{good}"), 400),
        (good.replace(r#""text":"TEXT""#, r#""text":"a","text":"b""#), 400),
    ] {
        let answer = crate::support::client::send(
            &gateway.address,
            "POST",
            "/mcp/sample",
            &all,
            text.as_bytes(),
        );
        assert_eq!(answer.unwrap().status, status, "{text}");
    }
}

#[test]
fn the_draft_of_the_first_revision_is_spoken() {
    let server = with_habit(Era::Handshake, |asked, out| {
        asked.message["method"] == "initialize" && {
            let result = json!({ "protocolVersion": "2024-10-07", "capabilities": { "tools": {} },
                "serverInfo": { "name": "old", "version": "1" } });
            answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
            true
        }
    });
    let gateway = in_front_of(&server.url());
    assert_eq!(gateway.states()[0]["revision"], "2024-11-05");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("echo", json!({ "text": "x" })).text(), "x");
}

#[test]
fn what_a_server_does_not_list_cannot_be_called() {
    for era in ERAS {
        let reached = Arc::new(AtomicUsize::new(0));
        let seen = reached.clone();
        let server = with_habit(era, move |asked, out| {
            let about = json!({ "prompts": {} });
            let result = match asked.message["method"].as_str().unwrap_or_default() {
                "initialize" => json!({ "protocolVersion": "2025-11-25", "capabilities": about,
                    "serverInfo": { "name": "s", "version": "1" } }),
                "server/discover" => json!({ "supportedVersions": ["2026-07-28"],
                    "capabilities": about, "resultType": "complete", "ttlMs": 1, "cacheScope": "private" }),
                "prompts/list" => json!({ "prompts": [{ "name": "hello" }],
                    "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public" }),
                "tools/call" | "resources/read" | "prompts/get" | "completion/complete" => {
                    seen.fetch_add(1, Ordering::SeqCst);
                    json!({ "content": [], "contents": [], "messages": [], "resultType": "complete",
                        "completion": { "values": [] }, "ttlMs": 1, "cacheScope": "private" })
                }
                _ => return false,
            };
            if asked.message["method"] == "initialize" {
                use std::io::Write;
                let text = result_text(asked, &result);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: s\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                );
                let _ = out.write_all(head.as_bytes());
            } else {
                answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
            }
            true
        });
        let gateway = in_front_of(&server.url());
        for (path, prefix) in [("/mcp/s", ""), ("/mcp", "s__")] {
            let uri = if prefix.is_empty() { "file:///a" } else { "s+file:///a" };
            let client = Modern::new(&gateway, path);
            let session =
                crate::support::client::Handshake::open(&gateway, path, "2025-11-25", json!({}));
            for (at, (method, params)) in [
                ("tools/call", json!({ "name": format!("{prefix}echo"), "arguments": {} })),
                ("prompts/get", json!({ "name": format!("{prefix}other") })),
                ("resources/read", json!({ "uri": uri })),
                (
                    "completion/complete",
                    json!({ "ref": { "type": "ref/prompt", "name": format!("{prefix}other") },
                    "argument": { "name": "a", "value": "" } }),
                ),
                (
                    "completion/complete",
                    json!({ "ref": { "type": "ref/resource", "uri": uri },
                    "argument": { "name": "a", "value": "" } }),
                ),
            ]
            .into_iter()
            .enumerate()
            {
                for code in [
                    client.ask(method, params.clone()).code(),
                    session.ask(at as i64 + 2, method, params.clone()).code(),
                ] {
                    assert!(
                        matches!(code, -32602 | -32601 | -32002),
                        "{era:?} {path} {method}: {code}"
                    );
                }
            }
            assert_eq!(reached.swap(0, Ordering::SeqCst), 0, "{era:?} {path}");
            let listed = client.ask("prompts/get", json!({ "name": format!("{prefix}hello") }));
            assert_eq!(listed.status, 200, "{}", listed.body);
            assert_eq!(reached.swap(0, Ordering::SeqCst), 1, "{era:?} {path}");
        }
    }
}

/// Servers report a lost session in many ways.
#[test]
fn a_lost_session_is_recognised_in_each_form_and_opened_anew() {
    let of = |status: u16, kind: &'static str, body: &'static str, repeats: bool| {
        (status, kind, body, repeats)
    };
    let json = "application/json";
    for (status, kind, body, repeats) in [
        of(404, json, "", true),
        of(404, "text/plain", "Session not found", true),
        of(
            400,
            json,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
            true,
        ),
        of(
            200,
            json,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32001,"message":"Session not found"}}"#,
            true,
        ),
        of(
            503,
            json,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32001,"message":"Session not found"}}"#,
            true,
        ),
        of(401, json, r#"{"error":"session expired, please initialize again"}"#, true),
        of(401, "text/plain", "Unknown session", true),
        of(410, "text/plain", "", true),
        of(500, "text/plain", "Session terminated", true),
        // This may be another error, so the call fails. The next call succeeds.
        of(
            200,
            json,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"Invalid session"}}"#,
            false,
        ),
    ] {
        let lost = Arc::new(AtomicBool::new(false));
        let opened = Arc::new(AtomicUsize::new(0));
        let (forgets, counted) = (lost.clone(), opened.clone());
        let server = with_habit(Era::Handshake, move |asked, out| {
            if asked.message["method"] == "initialize" {
                forgets.store(false, Ordering::SeqCst);
                counted.fetch_add(1, Ordering::SeqCst);
                return false;
            }
            is_call(asked) && forgets.load(Ordering::SeqCst) && {
                answer(out, status, kind, body.replace("ID", &asked.id()).as_bytes());
                true
            }
        });
        let gateway = in_front_of(&server.url());
        let client = Modern::new(&gateway, "/mcp/s");
        let what = format!("{status} {kind} {body}");
        assert_eq!(client.call("echo", json!({ "text": "a" })).text(), "a", "{what}");
        let before = opened.load(Ordering::SeqCst);
        lost.store(true, Ordering::SeqCst);
        let next = client.call("echo", json!({ "text": "b" }));
        if repeats {
            assert_eq!(next.json()["result"]["content"][0]["text"], "b", "{what}: {}", next.body);
        } else {
            assert!(next.json().get("error").is_some(), "{what}: {}", next.body);
        }
        assert_eq!(client.call("echo", json!({ "text": "c" })).text(), "c", "{what}");
        // One session for the calls, and one for the gateway's own requests to the server.
        let more = opened.load(Ordering::SeqCst) - before;
        assert!((1..=2).contains(&more), "{what}: {more}");
    }
    // An error of a tool with the same text is returned, after at most two attempts.
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = with_habit(Era::Handshake, move |asked, out| {
        is_call(asked)
            && {
                counted.fetch_add(1, Ordering::SeqCst);
                let text = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32001,"message":"Session not found"}}}}"#,
                    asked.id()
                );
                answer(out, 200, "application/json", text.as_bytes());
                true
            }
    });
    let gateway = in_front_of(&server.url());
    let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({}));
    assert_eq!(failed.code(), -32001, "{}", failed.body);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// A header that mirrors no argument was never validated, so it is not forwarded.
#[test]
fn headers_that_mirror_nothing_reach_no_server() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = seen.clone();
    let server = with_habit(Era::Modern, move |asked, out| {
        let list = asked.message["method"] == "tools/list";
        if list {
            let region = json!({ "type": "string", "x-mcp-header": "Region" });
            let tools = json!([{ "name": "echo", "inputSchema":
                { "type": "object", "properties": { "region": region } } }]);
            let result = json!({ "tools": tools, "resultType": "complete",
                "ttlMs": 60_000, "cacheScope": "public" });
            answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
        }
        if is_call(asked) {
            let params =
                asked.headers.iter().filter(|(name, _)| name.starts_with("mcp-param-")).cloned();
            kept.lock().unwrap().extend(params);
        }
        list
    });
    let gateway = in_front_of(&server.url());
    let client = Modern::new(&gateway, "/mcp/s");
    let body = client.body(
        "tools/call",
        json!({ "name": "echo", "arguments": { "text": "x", "region": "eu" } }),
    );
    let sent = [("mcp-param-region", "eu"), ("mcp-param-tenant", "evil"), ("mcp-param-x", "1")];
    assert_eq!(client.send(&body, &sent).text(), "x");
    assert_eq!(*seen.lock().unwrap(), [("mcp-param-region".to_owned(), "eu".to_owned())]);
}

/// Some servers accept requests and send all responses on the listening stream of the session.
#[test]
fn an_answer_may_come_on_the_stream_on_which_the_session_listens() {
    let listening: Arc<std::sync::Mutex<Option<std::net::TcpStream>>> = Arc::default();
    let stream = listening.clone();
    let server = with_habit(Era::Handshake, move |asked, out| {
        if asked.method == "GET" {
            begin_stream(out);
            *stream.lock().unwrap() = Some(out.try_clone().unwrap());
            return true;
        }
        is_call(asked) && {
            answer(out, 202, "", b"");
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while stream.lock().unwrap().is_none() && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let said = json!({ "content": [{ "type": "text", "text": "heard" }] });
            if let Some(out) = stream.lock().unwrap().as_mut() {
                event(out, &result_text(asked, &said));
            }
            true
        }
    });
    let gateway = in_front_of(&server.url());
    let client = Modern::new(&gateway, "/mcp/s");
    for _ in 0..3 {
        assert_eq!(client.call("echo", json!({ "text": "a" })).text(), "heard");
    }
    let (_, metrics) = gateway.get_admin("/metrics");
    assert!(metrics.contains(r#"deviation="answered_elsewhere""#), "{metrics}");

    // Without such a stream, the call fails at once instead of waiting.
    let server = with_habit(Era::Handshake, move |asked, out| {
        (asked.method == "GET" || is_call(asked)) && {
            answer(out, if asked.method == "GET" { 405 } else { 202 }, "", b"");
            true
        }
    });
    let gateway = in_front_of(&server.url());
    let failed = Modern::new(&gateway, "/mcp/s").call("echo", json!({ "text": "a" }));
    assert_eq!(failed.kind(), "stream_ended", "{}", failed.body);
    assert!(failed.body.contains("sent no answer"), "{}", failed.body);
}
