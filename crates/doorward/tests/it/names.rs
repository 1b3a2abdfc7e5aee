//! Names of tools, users and accounts on the command line: each is accepted in the form in which it is printed.
#![allow(clippy::unwrap_used)]

use std::process::Output;

use crate::support::hostile::{Era, said, scripted};
use crate::support::{Gateway, doorward};
use serde_json::{Value, json};

fn run(arguments: &[&str]) -> Output {
    doorward().args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The name of a tool, and how `tools` prints it.
const AWKWARD: [(&str, &str); 9] = [
    ("-rm", r#""-rm""#),
    ("--json", r#""--json""#),
    ("a b", "a b"),
    ("a  b", r#""a  b""#),
    ("n\nl", r#""n\nl""#),
    ("n l", "n l"),
    ("x\u{202e}y", r#""x\u202ey""#),
    ("x\\u202ey", r"x\u202ey"),
    ("q'\"uote", "q'\"uote"),
];

#[test]
fn names_are_taken_as_they_are_printed() {
    let server = scripted(Era::Modern, |asked| match asked.message["method"].as_str()? {
        "tools/list" => {
            let tools = AWKWARD
                .map(|(name, _)| json!({ "name": name, "inputSchema": { "type": "object" } }));
            Some(json!({ "ttlMs": 60_000, "cacheScope": "private", "tools": tools }))
        }
        "tools/call" => Some(said(asked.message["params"]["name"].as_str()?)),
        _ => None,
    });
    let gateway = Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()));
    let url = gateway.url("/mcp/s");
    let listed = out(&run(&["tools", "--url", &url]));
    let called = |arguments: &[&str]| {
        let call = run(&[&["call", "--json", "--url", &url], arguments].concat());
        assert!(call.status.success(), "{arguments:?}: {}", err(&call));
        let result: Value = serde_json::from_str(&out(&call)).unwrap();
        result["content"][0]["text"].as_str().unwrap().to_owned()
    };
    for (name, printed) in AWKWARD {
        assert!(listed.lines().any(|line| line == printed), "{printed}: {listed}");
        assert_eq!(called(&[printed]), name);
        assert_eq!(called(&["--", name]), name);
    }
    assert_eq!(called(&["-rm", "-x=5"]), "-rm");

    for name in ["-bob", "--help", "a b", "a  b", "o'b\"x", "=1", "ünï"] {
        gateway.told(&["principals", "set", "user", "--", name]);
        let list = gateway.told(&["principals", "list"]);
        let line = list.lines().find(|line| line.starts_with("user ")).unwrap();
        let printed = line["user ".len()..].trim_end_matches('-').trim().to_owned();
        gateway.told(&["credits", "budget", "--user", &printed, "5"]);
        gateway.told(&["credits", "adjust", "--user", &printed, "--note", "-n", "-5"]);
        assert!(gateway.told(&["credits", "list"]).contains(&format!("user/{printed} ")), "{name}");
        gateway.told(&["principals", "remove", "user", &printed]);
        assert_eq!(gateway.told(&["principals", "list"]).lines().count(), 1, "{name}");
    }
    let store = crate::support::store_in(gateway.folder.path());
    for (arguments, exit, said) in [
        (
            &["principals", "set", "user", "bob", "--team", "--disabled"][..],
            2,
            "'--team=--disabled'",
        ),
        (&["keys", "create", "--user", "x", "--label", "--admin"], 2, "'--label=--admin'"),
        (&["credits", "grant", "--tenant", "x\u{202e}y", "10"], 1, "all of them visible"),
        (
            &["credits", "adjust", "--tenant", "x\u{202e}y", "--note", "", "-5"],
            1,
            "all of them visible",
        ),
        (&["credits", "budget", "--user", "x\u{202e}y", "10"], 1, "all of them visible"),
        (&["credits", "budget", "--user", "bob", "-5"], 2, "must not be negative"),
    ] {
        let failed = doorward().args(arguments).env("DOORWARD_STORE", &store).output().unwrap();
        assert_eq!(failed.status.code(), Some(exit), "{arguments:?}");
        assert!(err(&failed).contains(said), "{arguments:?}: {}", err(&failed));
    }
}
