//! Servers that are programs: their environment, their supervision, and that no process is left behind.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::client::{Handshake, Modern};
use crate::support::{Gateway, wait_for};
use serde_json::json;

/// A small server of the handshake era in Python: a real program with child processes.
const PROGRAM: &str = r#"
import json, os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open(os.environ["MARK"], "a").write(f"{os.getpid()} {child.pid}\n")
print("a line for the log \x1b[31m", file=sys.stderr, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, params = asked["method"], asked.get("params", {})
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "py", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in ("ask", "env", "die", "echo", "last", "pid")]}
    elif method == "tools/call" and params["name"] == "die":
        os._exit(3)
    elif method == "tools/call" and params["name"] == "last":
        answer["result"] = {"content": [{"type": "text", "text": "my last words"}]}
        sys.stdout.write(json.dumps(answer))
        sys.stdout.flush()
        os._exit(0)
    elif method == "tools/call" and params["name"] == "pid":
        answer["result"] = {"content": [{"type": "text", "text": str(os.getpid())}]}
    elif method == "tools/call" and params["name"] == "ask":
        print(json.dumps({"jsonrpc": "2.0", "id": "q", "method": "roots/list"}), flush=True)
        said = json.loads(sys.stdin.readline())
        answer["result"] = {"content": [{"type": "text", "text": json.dumps(said.get("error", said.get("result")))}]}
    elif method == "tools/call" and params["name"] == "env":
        answer["result"] = {"content": [{"type": "text", "text": json.dumps(dict(os.environ))}]}
    elif method == "tools/call":
        answer["result"] = {"content": [{"type": "text", "text": "echo"}]}
    else:
        answer["error"] = {"code": -32601, "message": "no"}
    print(json.dumps(answer), flush=True)
"#;

/// No network request can name a program to be started (regression R6).
#[test]
fn no_request_starts_a_program() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let mark = gateway.folder.path().join("started");
    let command = json!({
        "command": "touch", "args": [mark], "transport": "stdio", "name": "x",
        "servers": { "x": { "command": "touch", "args": [mark] } },
    });
    let json = [("content-type", "application/json")];
    for address in [&gateway.address, &gateway.admin] {
        for path in [
            "/",
            "/servers",
            "/servers/test",
            "/servers/sample",
            "/config",
            "/reload",
            "/mcp",
            "/mcp/x",
            "/test",
            "/preview",
            "/import",
        ] {
            for method in ["POST", "PUT", "PATCH"] {
                let body = command.to_string();
                let answer =
                    crate::support::client::send(address, method, path, &json, body.as_bytes())
                        .unwrap();
                assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
            }
        }
    }
    let children = format!("/proc/{0}/task/{0}/children", gateway.pid());
    assert_eq!(std::fs::read_to_string(children).unwrap(), "");
    assert!(!mark.exists());
    assert_eq!(gateway.metric("doorward_server_processes"), 0.0);
}

struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.py");
        std::fs::write(&file, PROGRAM).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn mark(&self) -> PathBuf {
        self.folder.path().join("mark")
    }

    fn config(&self, more: &str) -> String {
        format!(
            "servers: {{py: {{command: {}, args: [\"{}\"], env: {{MARK: \"{}\", SAID: yes}}{more}}}}}",
            crate::support::python(),
            self.folder.path().join("server.py").display(),
            self.mark().display()
        )
    }

    /// The processes started so far: program and child of each start.
    fn started(&self) -> Vec<(u32, u32)> {
        let text = std::fs::read_to_string(self.mark()).unwrap_or_default();
        text.lines()
            .map(|line| {
                let (program, child) = line.split_once(' ').unwrap();
                (program.parse().unwrap(), child.parse().unwrap())
            })
            .collect()
    }
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    Path::new(&format!("/proc/{pid}")).exists() && !stat.contains(") Z ")
}

#[test]
fn an_idle_program_gives_way_at_whichever_server_it_is() {
    let program = Program::new();
    let one = program.config(", affinity: principal");
    let one = one.strip_prefix("servers: {py: ").unwrap().strip_suffix('}').unwrap();
    let servers: Vec<_> = (0..6).map(|number| format!("s{number}: {one}")).collect();
    let gateway =
        Gateway::start(&format!("limits: {{processes: 16}}\nservers: {{{}}}", servers.join(", ")));
    let calls = |user: &str| {
        let key = gateway.key(&["--user", user]);
        let at = |server: usize| Modern::new(&gateway, &format!("/mcp/s{server}")).bearing(&key);
        wait_for("the key is known", || at(0).ask("tools/list", json!({})).status == 200);
        for server in (0..6).chain(0..6) {
            let answer = at(server).call("echo", json!({}));
            assert_eq!(answer.status, 200, "{user} at {server}: {}", answer.body);
            assert_eq!(answer.text(), "echo", "{user} at {server}: {}", answer.body);
        }
    };
    // A caller's share is two. Beside all shares, six programs run for the servers themselves.
    for user in ["a", "b", "c", "d", "e", "f", "g"] {
        calls(user);
    }
    let all = program.started();
    assert!(all.iter().filter(|(program, _)| is_running(*program)).count() <= 16);
}

#[test]
fn programs_wait_for_sessions_to_come() {
    let program = Program::new();
    let gateway = Gateway::start(&program.config(", prestart: 2, affinity: session"));
    let prestarted = || gateway.states()[0]["prestarted"].as_u64().unwrap_or(0);
    wait_for("two are ready", || prestarted() == 2 && program.started().len() == 3);
    let ready: Vec<u32> = program.started()[1..].iter().map(|(program, _)| *program).collect();
    let client = Handshake::open(&gateway, "/mcp/py", "2025-06-18", json!({}));
    let serves: u32 = client.call(1, "pid", json!({})).text().parse().unwrap();
    assert!(ready.contains(&serves), "{serves} {ready:?}");
    wait_for("there are two again", || prestarted() == 2 && program.started().len() == 4);
    // A waiting program that exits is not used, and not restarted at once.
    let dead = program.started()[3].0;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(dead).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_for("it is missed", || prestarted() == 1);
    let other = Handshake::open(&gateway, "/mcp/py", "2025-06-18", json!({}));
    let serves: u32 = other.call(1, "pid", json!({})).text().parse().unwrap();
    assert!(ready.contains(&serves) && serves != dead, "{serves} {ready:?}");
    let all = program.started();
    assert_eq!(all.len(), 4);
    drop(gateway);
    wait_for("all are gone", || all.iter().all(|(program, _)| !is_running(*program)));
}

#[test]
fn a_program_gets_its_own_environment_only() {
    let program = Program::new();
    let gateway = Gateway::start(&program.config(""));
    let text = Modern::new(&gateway, "/mcp/py").call("env", json!({})).text();
    let env: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(env["SAID"], "yes");
    let own = ["MARK", "SAID"];
    let inherited = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];
    // Python itself adds `LC_CTYPE` under the C locale.
    for name in env.keys().filter(|name| *name != "LC_CTYPE") {
        assert!(
            own.contains(&name.as_str()) || inherited.contains(&name.as_str()),
            "{name} leaked"
        );
    }
    wait_for("its stderr is logged, harmless", || gateway.logged("a line for the log"));
    assert!(!gateway.log().iter().any(|line| line.contains('\x1b')));
}

#[test]
fn a_program_that_dies_is_started_again() {
    let program = Program::new();
    let gateway = Gateway::start(&program.config(""));
    let client = Modern::new(&gateway, "/mcp/py");
    let died = client.call("die", json!({}));
    assert_eq!(died.kind(), "stream_ended", "{}", died.body);
    wait_for("it is up again", || {
        let answer = client.call("echo", json!({}));
        answer.json().get("result").is_some()
    });
    let started = program.started();
    wait_for("the dead one's child is gone", || !is_running(started[0].1));
}

/// Meanwhile, a child of the program holds its output open.
#[test]
fn an_answer_at_the_end_of_a_program_needs_no_line_end() {
    let program = Program::new();
    let gateway = Gateway::start(&program.config(""));
    let answer = Modern::new(&gateway, "/mcp/py").call("last", json!({}));
    assert_eq!(answer.text(), "my last words", "{}", answer.body);
}

#[test]
fn nothing_is_left_of_a_program_at_shutdown() {
    let program = Program::new();
    let mut gateway = Gateway::start(&program.config(""));
    assert_eq!(Modern::new(&gateway, "/mcp/py").call("echo", json!({})).text(), "echo");
    let (parent, child) = *program.started().last().unwrap();
    assert!(is_running(parent) && is_running(child));
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!is_running(parent) && !is_running(child));
}

#[test]
fn a_lazy_program_is_started_at_its_first_use() {
    let program = Program::new();
    let gateway = Gateway::start(&program.config(", start: lazy"));
    assert_eq!(gateway.states()[0]["state"], "idle");
    assert!(program.started().is_empty());
    assert_eq!(Modern::new(&gateway, "/mcp/py").call("echo", json!({})).text(), "echo");
    assert_eq!(gateway.states()[0]["state"], "up");
}

#[test]
fn a_program_that_cannot_be_started_is_reported() {
    let gateway =
        Gateway::start("servers: {gone: {command: /nowhere/at-all}, sample: {sample: true}}");
    let states = gateway.states();
    assert_eq!(states[0]["state"], "down");
    assert!(states[0]["problem"].as_str().unwrap().contains("/nowhere/at-all"), "{states}");
    let answer = Modern::new(&gateway, "/mcp/gone").call("x", json!({}));
    assert_eq!(answer.kind(), "unreachable");
    assert!(!answer.body.contains("nowhere"), "a path is told to a client: {}", answer.body);
}

/// A program usually prints why it exits.
#[test]
fn the_last_lines_of_a_program_that_ends_are_shown_to_operators() {
    let gateway = Gateway::start(
        "servers: {s: {command: sh, args: ['-c', 'echo \"no module named x\" >&2; exit 1']}}",
    );
    wait_for("it is told", || {
        let states = gateway.states();
        states[0]["problem"].as_str().is_some_and(|why| why.contains("no module named x"))
    });
    let answer = Modern::new(&gateway, "/mcp/s").call("x", json!({}));
    assert!(!answer.body.contains("no module"), "a client is told: {}", answer.body);
    let said = gateway.log();
    assert!(said.iter().any(|line| line.contains("\"stderr\":\"no module named x\"")), "{said:?}");
}

#[test]
fn programs_get_no_file_that_was_left_open_for_the_gateway() {
    let folder = crate::support::folder();
    let at = |name: &str| folder.path().join(name);
    let (mark, left) = (at("mark"), at("left"));
    let program = format!("echo x >&9; ls /proc/self/fd >{}.new; mv {0}.new {0}", mark.display());
    let config = json!({ "servers": { "s": { "command": "/bin/sh", "args": ["-c", program] } } });
    std::fs::write(at("config"), config.to_string()).unwrap();
    // The configuration file itself may be passed like this.
    let script = "exec 8<\"$1\" 9>\"$2\"; exec \"$0\" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --config /dev/fd/8";
    let mut gateway = std::process::Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_doorward")])
        .args([at("config"), left.clone()])
        .env("DOORWARD_STORE", crate::support::store_in(folder.path()))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the program has run", || mark.exists());
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert_eq!(std::fs::read_to_string(&left).unwrap(), "");
    // The last one is the folder that lists them.
    let open = std::fs::read_to_string(&mark).unwrap();
    assert_eq!(open.split_whitespace().count(), 4, "{open}");
}

/// Most servers behave the same whatever their clients can do, so one process serves all clients of a caller.
#[test]
fn one_program_serves_clients_that_can_do_different_things_where_that_makes_no_difference() {
    let cannot = json!({});
    let roots = json!({ "roots": {} });
    let forms = json!({ "elicitation": { "form": {} } });
    let both = json!({ "roots": {}, "elicitation": { "form": {} } });
    // Includes the process for the gateway's own requests, which no session uses.
    for (setting, after_each) in
        [("separate", [2, 3, 4]), ("shared", [2, 2, 2]), ("auto", [2, 3, 3])]
    {
        let program = Program::new();
        let gateway = Gateway::start(&program.config(&format!(", client_capabilities: {setting}")));
        let key = gateway.key(&["--user", "me"]);
        let of = |can: &serde_json::Value| {
            Modern::new(&gateway, "/mcp/py").bearing(&key).with(can.clone())
        };
        let pid = |can| of(can).call("pid", json!({})).text();
        for (can, processes) in [&roots, &forms, &cannot].into_iter().zip(after_each) {
            for _ in 0..2 {
                pid(can);
            }
            assert_eq!(program.started().len(), processes, "{setting} {can}");
        }
        if setting == "separate" {
            continue;
        }
        // The server sends a request to the client. If the client does not support it, the gateway responds with an
        // error. From now on clients get separate processes by capability, unless the operator has decided otherwise.
        let told = of(&cannot).call("ask", json!({})).text();
        assert!(told.contains("roots") && told.contains("code"), "{setting}: {told}");
        let (apart, started) = (pid(&cannot), program.started().len());
        assert_eq!(apart == pid(&roots), setting == "shared");
        assert_eq!(started, if setting == "shared" { 2 } else { 4 });
        pid(&both);
        assert_eq!(program.started().len(), if setting == "shared" { 2 } else { 5 });
    }
}

/// A program that a client only used for listing is not needed for long.
#[test]
fn a_program_that_has_only_listed_ends_sooner() {
    let program = Program::new();
    let config = program.config(", client_capabilities: separate");
    let gateway = Gateway::start(&format!("timeouts: {{server_session: 20s}}\n{config}"));
    let key = gateway.key(&["--user", "me"]);
    let of = |can| Modern::new(&gateway, "/mcp/py").bearing(&key).with(can);
    let used: u32 = of(json!({ "roots": {} })).call("pid", json!({})).text().parse().unwrap();
    of(json!({ "sampling": {} })).ask("tools/list", json!({}));
    let all = program.started();
    assert_eq!(all.len(), 3);
    wait_for("one of them has ended", || !all.iter().all(|(program, _)| is_running(*program)));
    assert!(is_running(all[0].0) && is_running(used));
}
