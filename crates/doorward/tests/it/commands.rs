//! The command line as people and scripts use it: what it prints, and how it exits.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Output, Stdio};

use crate::support::{Gateway, doorward};
use serde_json::{Value, json};

const SAMPLE: &str = "servers: {sample: {sample: true}}";

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = doorward()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_tool_is_called_with_arguments_as_people_type_them() {
    let gateway = Gateway::start(SAMPLE);
    let url = gateway.url("/mcp");
    let call = |arguments: &[&str], input: &str| {
        run(&[&["call", "--url", &url], arguments].concat(), input)
    };
    let sum = call(&["sample__add", "a=2", "b=3.5"], "");
    assert_eq!((out(&sum).as_str(), sum.status.code()), ("5.5\n", Some(0)));
    let sum = call(&["sample__add", "{\"a\": 1, \"b\": 1}", "--json"], "");
    let result: Value = serde_json::from_str(&out(&sum)).unwrap();
    assert_eq!(result["content"][0]["text"], "2");
    let slow = call(&["sample__slow", "steps=2", "pause_ms=1"], "");
    assert!(
        err(&slow).contains("1/2 step 1 of 2") && !err(&slow).contains('\x1b'),
        "{}",
        err(&slow)
    );
    let greeted = call(&["sample__introduce", "--ask", "always"], "Ada\n");
    assert_eq!(out(&greeted), "Hello, Ada!\n");
    let declined = call(&["sample__introduce", "--ask", "always"], "!decline\n");
    assert_eq!(out(&declined), "Then I greet you without a name.\n");
    let sampled = call(&["sample__ask_model", "question=why", "--ask", "always"], "because\n");
    assert_eq!(out(&sampled), "The model said: because\n");
    for (arguments, exit, said) in [
        (&["sample__add", "a=x", "b=1"][..], 2, "a must be of the type number"),
        (&["nothing"], 5, "there is no tool 'nothing'"),
        (&["add"], 5, "did you mean 'sample__add'"),
        (&["sample__introduce"], 5, "capability 'elicitation'"),
        (&["sample__add", "a=1"], 6, "/b: is missing"),
    ] {
        let failed = call(arguments, "");
        assert_eq!(failed.status.code(), Some(exit), "{arguments:?}: {}", err(&failed));
        assert!(err(&failed).contains(said), "{arguments:?}: {}", err(&failed));
        assert!(out(&failed).is_empty());
    }
}

#[test]
fn a_gateway_that_is_not_there_is_exit_code_4() {
    for arguments in [
        &["tools", "--url", "http://127.0.0.1:1/mcp"][..],
        &["call", "x", "--url", "http://127.0.0.1:1/mcp"],
        &["servers", "--admin-url", "http://127.0.0.1:1"],
    ] {
        let failed = run(arguments, "");
        assert_eq!(failed.status.code(), Some(4), "{arguments:?}");
        assert!(err(&failed).contains("doorward serve"), "{}", err(&failed));
    }
    assert_eq!(run(&["tools", "--url", "ftp://x/"], "").status.code(), Some(2));
    assert_eq!(run(&["frobnicate"], "").status.code(), Some(2));
}

#[test]
fn lists_are_for_people_and_for_machines() {
    let gateway =
        Gateway::start("servers: {sample: {sample: true}, gone: {url: 'http://127.0.0.1:1/mcp'}}");
    let tools = run(&["tools", "--url", &gateway.url("/mcp")], "");
    assert!(
        out(&tools).contains("sample__add a=<number> b=<number>\n    Adds two numbers."),
        "{}",
        out(&tools)
    );
    let tools = run(&["tools", "--json", "--url", &gateway.url("/mcp/sample")], "");
    let tools: Value = serde_json::from_str(&out(&tools)).unwrap();
    assert_eq!(tools.as_array().unwrap().len(), 5);
    let admin = format!("http://{}", gateway.admin);
    let servers = out(&run(&["servers", "--admin-url", &admin], ""));
    let lines: Vec<&str> = servers.lines().collect();
    assert!(lines[0].starts_with("NAME"), "{servers}");
    assert!(
        lines[1].contains("gone")
            && lines[1].contains("down")
            && lines[2].contains("cannot be reached"),
        "{servers}"
    );
    assert!(
        lines[3].contains("sample")
            && lines[3].contains("2026-07-28")
            && lines[3].contains("built-in"),
        "{servers}"
    );
    let states: Value =
        serde_json::from_str(&out(&run(&["servers", "--json", "--admin-url", &admin], "")))
            .unwrap();
    assert_eq!(states[1]["state"], "up");
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    std::fs::write(&file, "servers:\n  tickets:\n    ulr: http://x/\n    timeout: soon\n").unwrap();
    let path = file.to_str().unwrap();
    let failed = run(&["check", path], "");
    assert_eq!(failed.status.code(), Some(3));
    let text = err(&failed);
    assert!(text.contains("did you mean 'url'?") && text.contains("doorward.yaml:3:5"), "{text}");
    let json: Value = serde_json::from_str(&out(&run(&["check", "--json", path], ""))).unwrap();
    assert_eq!((&json[1]["line"], &json[1]["key"]), (&json!(4), &json!("servers.tickets.timeout")));
    std::fs::write(&file, SAMPLE).unwrap();
    assert_eq!(run(&["check", path], "").status.code(), Some(0));
    std::fs::write(&file, "listen: 0.0.0.0:7300\nservers: {}\n").unwrap();
    let refused = run(&["serve", "--config", path, "--listen", "0.0.0.0:0"], "");
    assert_eq!(refused.status.code(), Some(3));
    assert!(err(&refused).contains("authentication is not configured"), "{}", err(&refused));
    std::fs::write(&file, "public_url: http://gw.example/x\nservers: {}\n").unwrap();
    assert!(err(&run(&["check", path], "")).contains("https://"));
}

#[test]
fn import_merges_files_and_never_writes_over_one() {
    let folder = crate::support::folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let claude = write(
        "claude.json",
        r#"{"mcpServers": {"files": {"command": "npx", "args": ["-y", "x"], "env": {"KEY": "${SECRET}"}}}}"#,
    );
    let code = write(
        ".vscode/mcp.json",
        "{\n// mine\n\"servers\": {\"files\": {\"type\": \"http\", \"url\": \"http://127.0.0.1:9/mcp\"}, \"bin\": {\"type\": \"stdio\", \"command\": \"${workspaceFolder}/bin\"},}}",
    );
    let output = folder.path().join("doorward.yaml");
    let path = output.to_str().unwrap();
    let done = run(&["import", &claude, &code, "--output", path], "");
    assert_eq!(done.status.code(), Some(0), "{}", err(&done));
    assert!(err(&done).contains("'files-2'"), "{}", err(&done));
    let yaml = std::fs::read_to_string(&output).unwrap();
    for said in [
        "KEY: ${env:SECRET}",
        "files-2:",
        "url: http://127.0.0.1:9/mcp",
        &format!("{}/bin", folder.path().display()),
    ] {
        assert!(yaml.contains(said), "{said} is not in\n{yaml}");
    }
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&output.metadata().unwrap()) & 0o777, 0o600);
    let refused = run(&["import", &claude, "--output", path], "");
    assert!(refused.status.code() == Some(1) && err(&refused).contains("--force"));
    let without = run(&["check", path], "");
    assert!(
        without.status.code() == Some(3) && err(&without).contains("SECRET is not set"),
        "{}",
        err(&without)
    );
}

#[test]
fn the_json_of_agents_and_editors_is_served_unchanged() {
    let inner = Gateway::start(SAMPLE);
    let program = env!("CARGO_BIN_EXE_doorward");
    let files = [
        format!(
            "{{\"mcpServers\": {{\"web\": {{\"type\": \"http\", \"url\": \"{}\"}}, \"pipe\": {{\"command\": \"{program}\", \"args\": [\"connect\", \"${{INNER}}\"]}}}}}}",
            inner.url("/mcp/sample")
        ),
        format!(
            "{{\"servers\": {{\"web\": {{\"type\": \"sse\", \"url\": \"{}\"}}, \"pipe\": {{\"type\": \"stdio\", \"command\": \"{program}\", \"args\": [\"connect\", \"${{env:INNER}}\"]}}}}, \"inputs\": []}}",
            inner.url("/sse/sample")
        ),
    ];
    for text in files {
        let folder = crate::support::folder();
        let file = folder.path().join("mcp.json");
        std::fs::write(&file, &text).unwrap();
        let checked = doorward()
            .arg("check")
            .arg(&file)
            .env("INNER", inner.url("/mcp/sample"))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", err(&checked));
        let text = text
            .replace("${INNER}", &inner.url("/mcp/sample"))
            .replace("${env:INNER}", &inner.url("/mcp/sample"));
        let gateway = Gateway::start(&text);
        for name in ["web__add", "pipe__add"] {
            let sum = run(&["call", "--url", &gateway.url("/mcp"), name, "a=20", "b=22"], "");
            assert_eq!(out(&sum), "42\n", "{name}: {}", err(&sum));
        }
        let states = gateway.states();
        assert_eq!(states[0]["transport"], "stdio", "{states}");
    }
}

#[test]
fn output_that_nobody_reads_to_its_end_is_no_error() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let url = gateway.url("/mcp");
    for arguments in [&["schema"][..], &["tools", "--url", &url]] {
        let mut command = crate::support::doorward();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(err(&output), "", "{arguments:?}");
    }
}

#[test]
fn completions_and_schema_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&run(&["completions", shell], "")).contains("doorward"));
    }
    let schema: Value = serde_json::from_str(&out(&run(&["schema"], ""))).unwrap();
    assert!(schema["properties"]["servers"].is_object());
}

/// A client that can only start a command.
struct Piped {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Piped {
    fn start(url: &str) -> Self {
        let mut child = doorward()
            .args(["connect", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line:?}"))
    }

    fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.hear();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }
}

fn meta(capabilities: &Value) -> Value {
    json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities })
}

#[test]
fn connect_carries_a_client_of_either_era() {
    let gateway = Gateway::start(SAMPLE);
    let mut old = Piped::start(&gateway.url("/mcp/sample"));
    let about = old.ask(1, "initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": { "elicitation": {} }, "clientInfo": { "name": "t", "version": "1" } }));
    assert_eq!(about["result"]["protocolVersion"], "2025-06-18");
    old.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    old.say(&json!({ "jsonrpc": "2.0", "id": "q", "method": "tools/call", "params": { "name": "introduce", "arguments": {} } }));
    let question = old.hear();
    assert_eq!(question["method"], "elicitation/create");
    old.say(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": { "name": "Ada" } } }));
    assert_eq!(old.hear()["result"]["content"][0]["text"], "Hello, Ada!");
    old.ask(3, "resources/subscribe", json!({ "uri": "sample://clock" }));
    assert_eq!(old.hear()["method"], "notifications/resources/updated");
    drop(old.input.take());
    assert_eq!(old.child.wait().unwrap().code(), Some(0));
    crate::support::wait_for("its session is ended", || {
        gateway.metric("doorward_client_sessions") == 0.0
    });

    let mut modern = Piped::start(&gateway.url("/mcp"));
    let about = modern.ask(1, "server/discover", json!({ "_meta": meta(&json!({})) }));
    assert_eq!(about["result"]["supportedVersions"], json!(["2026-07-28"]));
    let sum = modern.ask(2, "tools/call", json!({ "name": "sample__add", "arguments": { "a": 1, "b": 2 }, "_meta": meta(&json!({})) }));
    assert_eq!(sum["result"]["content"][0]["text"], "3");
    modern.say(&json!({ "jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {
        "notifications": { "resourceSubscriptions": ["sample+sample://clock"] }, "_meta": meta(&json!({})) } }));
    assert_eq!(modern.hear()["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(modern.hear()["method"], "notifications/resources/updated");
    modern.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "l" } }));
    crate::support::wait_for("nobody listens", || gateway.metric("doorward_listeners") == 0.0);
    let mut listening = Piped::start(&gateway.url("/mcp"));
    listening
        .say(&json!({ "jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {
        "notifications": { "toolsListChanged": true }, "_meta": meta(&json!({})) } }));
    listening.hear();
    drop(listening.input.take());
    let ended = std::time::Instant::now();
    assert_eq!(listening.child.wait().unwrap().code(), Some(0));
    assert!(ended.elapsed() < std::time::Duration::from_secs(3), "a listener holds up the end");
    for (line, code) in
        [("{", -32700), ("{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}", -32600)]
    {
        writeln!(modern.input.as_mut().unwrap(), "{line}").unwrap();
        assert_eq!(modern.hear()["error"]["code"], code);
    }
    let _ = modern.child.kill();
    let _ = modern.child.wait();
}

#[test]
fn connect_survives_a_gateway_that_is_restarted() {
    let mut gateway = Gateway::start(SAMPLE);
    let mut client = Piped::start(&gateway.url("/mcp/sample"));
    client.ask(1, "initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }));
    client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    client.ask(2, "ping", json!({}));
    let address = gateway.address.clone();
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    gateway.wait();
    let config = gateway.config.clone();
    let mut again = doorward()
        .args(["serve", "--listen", &address, "--admin", "off", "--config"])
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sum =
        client.ask(3, "tools/call", json!({ "name": "add", "arguments": { "a": 3, "b": 4 } }));
    assert_eq!(sum["result"]["content"][0]["text"], "7", "{sum}");
    let _ = again.kill();
    let _ = again.wait();
    let _ = client.child.kill();
    let _ = client.child.wait();
}

#[test]
fn issuers_that_put_people_into_the_same_teams_are_a_warning() {
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    let check = |ours: &str, theirs: &str| {
        let text = format!(
            "identity:\n  issuers:\n    ours: {{issuer: 'https://a.example', trusted_for: {ours}}}\n    \
             partner: {{issuer: 'https://b.example', trusted_for: {theirs}}}\nservers: {{}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output = doorward().arg("check").arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    for (ours, theirs, shared) in [
        ("{teams: [payments]}", "{teams: [payments]}", true),
        ("{teams: ['pay*']}", "{teams: [payments]}", true),
        ("{teams: ['*']}", "{teams: ['eng-*']}", true),
        ("{roles: [lead]}", "{roles: ['le*']}", true),
        ("{teams: [payments]}", "{roles: [payments]}", false),
        ("{teams: [payments]}", "{teams: [support]}", false),
        ("{}", "{teams: ['*']}", false),
    ] {
        let (good, told) = check(ours, theirs);
        assert!(good, "{told}");
        assert_eq!(told.contains("'ours' and 'partner' both put people into"), shared, "{told}");
    }
    let (good, _) = check("{teams: ['a*b']}", "{}");
    assert!(!good);
}
