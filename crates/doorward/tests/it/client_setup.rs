//! `doorward clients`: the files of MCP clients, as people change them from the command line.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Gateway, doorward, folder};

/// A computer with clients.
struct Computer(tempfile::TempDir);

impl Computer {
    fn new() -> Self {
        Self(folder())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = doorward();
        command
            .arg("clients")
            .args(words)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("CODEX_HOME")
            .env_remove("CLAUDE_CONFIG_DIR");
        command
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn told(&self, words: &[&str]) -> String {
        let output = self.run(words, "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &[&str], input: &str) -> (Option<i32>, String) {
        let output = self.run(words, input);
        assert!(!output.status.success(), "{words:?}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_client_is_set_up_looked_at_and_restored() {
    let computer = Computer::new();
    let before =
        "{\n  // mine\n  \"mcpServers\": {\n    \"web\": { \"url\": \"https://a/\" }\n  }\n}\n";
    let file = computer.write(".cursor/mcp.json", before);
    let status = computer.told(&["status"]);
    assert!(status.contains("cursor") && status.contains("web") && !status.contains("zed"));
    let words = ["setup", "cursor", "--portal", "support", "--key-env", "MY_KEY"];
    let shown = computer.told(&[&words[..], &["--dry-run"]].concat());
    assert!(shown.contains("+    4     \"doorward\": {"), "{shown}");
    assert!(!shown.contains("web"), "{shown}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let done = computer.told(&words);
    for part in
        ["added the entry 'doorward'", "/mcp/support", "backup: ", "MY_KEY", "clients undo cursor"]
    {
        assert!(done.contains(part), "{part}: {done}");
    }
    assert!(computer.told(&words).contains("already"));
    let status: Value = serde_json::from_str(&computer.told(&["status", "--json"])).unwrap();
    assert_eq!(status[0]["through"], json!(["doorward"]));
    assert_eq!(status[0]["around"], json!(["web"]));
    assert!(computer.told(&["undo", "cursor", "--dry-run"]).contains("-    4     \"doorward\": {"));
    assert!(computer.told(&["undo", "cursor"]).contains("as it was before"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let (exit, error) = computer.refused(&["undo", "cursor"], "");
    assert!(exit == Some(1) && error.contains("Nothing was changed"), "{error}");
}

#[test]
fn a_key_comes_from_standard_input_and_is_never_printed() {
    let computer = Computer::new();
    let words = ["setup", "claude-desktop", "--key-stdin"];
    let shown = computer.run(&[&words[..], &["--dry-run"]].concat(), "dw_top.secret\n");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("DOORWARD_KEY") && !shown.contains("top.secret"), "{shown}");
    let done = computer.run(&words, "dw_top.secret\n");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success() && !String::from_utf8(said).unwrap().contains("top.secret"));
    let file = computer.path(".config/Claude/claude_desktop_config.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let value: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let entry = &value["mcpServers"]["doorward"];
    assert_eq!(entry["env"], json!({ "DOORWARD_KEY": "dw_top.secret" }));
    assert_eq!(entry["command"], env!("CARGO_BIN_EXE_doorward"));
    assert_eq!(entry["args"], json!(["connect", "http://127.0.0.1:7300/mcp"]));
    let kept = std::fs::read_to_string(computer.path("data/doorward/clients.json")).unwrap();
    assert!(!kept.contains("secret"), "{kept}");
    assert!(computer.told(&["undo", "claude-desktop"]).contains("deleted"));
    assert!(!computer.path(".config").exists());
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let computer = Computer::new();
    computer.write(".codex/config.toml", "a = \n");
    computer.write("project/.mcp.json", "{}");
    for (words, input, exit, said) in [
        (&["setup", "codex"][..], "", 1, "config.toml:1:"),
        (&["setup", "emacs"], "", 2, "expected one of claude-code"),
        (&["setup", "cursor", "--key-env", "dw_key-1"], "", 2, "the name of a variable"),
        (&["setup", "cursor", "--key-stdin"], "two words\n", 2, "not a key"),
        (&["setup", "cursor", "--key-stdin"], "${HOME}", 2, "not a key"),
        (&["setup", "cursor", "--key-stdin"], "", 2, "not a key"),
        (&["setup", "cursor", "--key-stdin", "--key-ask"], "", 2, "cannot be used with"),
        (&["setup", "cursor", "--key-ask"], "", 2, "--key-env"),
        (&["setup", "claude-desktop", "--key-env", "K"], "", 2, "--key-stdin"),
        (&["setup", "cursor", "--scope", "project", "--key-stdin"], "k", 2, "committed"),
        (&["setup", "windsurf", "--scope", "project"], "", 2, "--scope user"),
        (&["setup", "cursor", "--url", "ftp://x/"], "", 2, "http:// or https://"),
        (&["setup", "cursor", "--url", "http://u:p@x/mcp"], "", 2, "user, password"),
        (&["setup", "cursor", "--url", "http://x/$HOME"], "", 2, "'$'"),
        (&["setup", "cursor", "--portal", "../x"], "", 2, "name of a portal"),
        (&["setup", "cursor", "--name", "a b"], "", 2, "'a-b' can"),
    ] {
        let (code, error) = computer.refused(words, input);
        assert!(code == Some(exit) && error.contains(said), "{words:?}: {error}");
        assert!(!error.contains("dw_key-1"), "{error}");
    }
    assert!(!computer.path(".cursor").exists());
}

#[test]
fn a_project_has_an_entry_of_its_own() {
    let computer = Computer::new();
    let words = [
        "setup",
        "vscode",
        "--scope",
        "project",
        "--key-ask",
        "--url",
        "http://tools.example.com/mcp",
    ];
    let done = computer.told(&words);
    assert!(done.contains(".vscode/mcp.json") && done.contains("not encrypted"), "{done}");
    let text = std::fs::read_to_string(computer.path(".vscode/mcp.json")).unwrap();
    assert!(text.contains("${input:doorward-key}"), "{text}");
    assert!(computer.told(&["status"]).contains(".vscode/mcp.json"));
    computer.told(&["undo", "vscode", "--scope", "project"]);
    assert!(!computer.path(".vscode").exists());
}

#[test]
fn an_entry_is_printed_for_pipes() {
    let computer = Computer::new();
    let shown = computer.told(&["show", "vscode", "--auth", "key", "--portal", "support"]);
    let value: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(value["servers"]["support"]["url"], "http://127.0.0.1:7300/mcp/support");
    assert!(computer.told(&["show", "python"]).starts_with("# pip install"));
    let made: Value = serde_json::from_str(&computer.told(&["show", "cursor", "--json"])).unwrap();
    assert_eq!((&made["name"], &made["file"]), (&json!("Cursor"), &json!("~/.cursor/mcp.json")));
}

#[test]
fn other_servers_of_a_client_move_behind_the_gateway() {
    let computer = Computer::new();
    let before = r#"{
  "mcpServers": {
    "web": { "url": "https://a.example/mcp", "headers": { "X-Key": "${env:WEB_KEY:-none}" } },
    "files": { "command": "npx", "args": ["-y", "x"], "env": { "A": "1" } },
    "odd": { "url": "https://b.example/mcp", "oauth": { "clientId": "x" } }
  }
}
"#;
    let file = computer.write(".cursor/mcp.json", before);
    let config = computer.write("doorward.yaml", "# mine\nservers:\n  own: {sample: true}\n");
    let words = ["setup", "cursor", "--move", "doorward.yaml"];
    let shown = computer.told(&[&words[..], &["--dry-run"]].concat());
    assert!(shown.contains("\"web\"") && shown.contains("'odd' stays where it is"), "{shown}");
    assert!(!std::fs::read_to_string(&config).unwrap().contains("web"));
    let done = computer.told(&words);
    assert!(done.contains("moved 'web'") && done.contains("moved 'files'"), "{done}");
    let left: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let left: Vec<&String> = left["mcpServers"].as_object().unwrap().keys().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.starts_with("# mine\n") && text.contains("${env:WEB_KEY:-none}"), "{text}");
    let checked = doorward().args(["check", config.to_str().unwrap()]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let (_, error) = computer.refused(&words, "");
    assert!(error.contains("clients undo cursor"), "{error}");
    computer.told(&["undo", "cursor"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    // A name that is taken there: nothing happens to the client.
    let (_, error) = computer.refused(&words, "");
    assert!(error.contains("already"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let codex =
        "[mcp_servers.web2]\nurl = \"https://c.example/mcp\"\nbearer_token_env_var = \"C_KEY\"\n";
    let file = computer.write(".codex/config.toml", codex);
    computer.told(&["setup", "codex", "--move", "doorward.yaml"]);
    assert!(std::fs::read_to_string(&config).unwrap().contains("Bearer ${env:C_KEY}"));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("web2"));
    computer.told(&["undo", "codex"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), codex);
}

#[test]
fn the_bridge_of_an_entry_reads_the_key_from_the_variable_that_it_names() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let key = gateway.key(&["--user", "alice"]);
    let computer = Computer::new();
    let url = gateway.url("/mcp");
    computer.told(&["setup", "zed", "--url", &url, "--key-env", "MY_KEY"]);
    let text = std::fs::read_to_string(computer.path(".config/zed/settings.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let entry = &value["context_servers"]["doorward"];
    let args = entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    // Started as Zed starts it, with another gateway's key in the environment.
    let start = |variables: &[(&str, &str)]| {
        let mut command = Command::new(entry["command"].as_str().unwrap());
        command.args(args.clone()).env_remove("MY_KEY").envs(variables.iter().copied());
        command.env("DOORWARD_KEY", "of another gateway");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "zed", "version": "1" } } });
        let _ = writeln!(child.stdin.take().unwrap(), "{ask}");
        child.wait_with_output().unwrap()
    };
    let output = start(&[("MY_KEY", &key)]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\"protocolVersion\":\"2025-06-18\""), "{said}");
    let output = start(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("MY_KEY"), "{said}");
}
