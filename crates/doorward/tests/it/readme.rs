//! Runs every command of the README, in order, as a newcomer would type them.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::process::{Child, Command, Stdio};

use crate::support::wait_for;

const README: &str = include_str!("../../../../README.md");

/// The lines of the README's `sh` blocks.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in README.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside && !line.trim().is_empty() => commands.push(line.to_owned()),
            _ => {}
        }
    }
    commands
}

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn every_command_of_the_readme_works() {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_doorward"));
    let home = crate::support::folder();
    // Files of editors that the README assumes.
    for file in [".cursor/mcp.json", ".vscode/mcp.json"] {
        let path = home.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let key = if file.contains("vscode") { "servers" } else { "mcpServers" };
        let text = format!(
            "{{\"{key}\": {{\"mine\": {{\"type\": \"http\", \"url\": \"http://127.0.0.1:9/mcp\"}}}}}}"
        );
        std::fs::write(path, text).unwrap();
    }
    let (main, admin) = (free_port(), free_port());
    let mut served: Option<Served> = None;
    let mut ran = 0;
    for command in commands() {
        // This test is part of that command.
        if command == "tests/run" {
            continue;
        }
        // Use the binary under test instead of the one that cargo would build.
        let line = command.replace("cargo run --release --", "doorward");
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("exec {line}")])
            .current_dir(home.path())
            .env("HOME", home.path())
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    binary.parent().unwrap().display(),
                    std::env::var("PATH").unwrap()
                ),
            )
            .env("DOORWARD_LISTEN", format!("127.0.0.1:{main}"))
            .env("DOORWARD_ADMIN", format!("127.0.0.1:{admin}"))
            .env("DOORWARD_URL", format!("http://127.0.0.1:{main}/mcp"))
            .env("DOORWARD_ADMIN_URL", format!("http://127.0.0.1:{admin}"));
        // The first key is created in the store, before the reader has set this variable.
        if line.starts_with("doorward keys ") {
            shell.env_remove("DOORWARD_ADMIN_URL");
        }
        ran += 1;
        if line == "doorward serve" || line.starts_with("doorward serve ") {
            drop(served.take());
            served =
                Some(Served(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
            wait_for(&command, || {
                crate::support::client::try_get(&format!("127.0.0.1:{admin}"), "/readyz")
                    == Some(200)
            });
            continue;
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        if line.contains("sample__add") {
            assert_eq!(String::from_utf8_lossy(&output.stdout), "5\n", "{command}");
        }
    }
    assert!(ran >= 10, "only {ran} commands were found");
}

/// The snippets for clients are valid JSON, and the YAML is a valid configuration.
#[test]
fn the_snippets_of_the_readme_can_be_used() {
    let mut blocks = README.split("\n```").skip(1).step_by(2);
    let json: Vec<_> =
        README.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.next().is_some() && json.len() == 3);
    for snippet in json {
        serde_json::from_str::<serde_json::Value>(snippet).unwrap();
    }
    let yaml = README.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    std::fs::write(&file, yaml).unwrap();
    let checked = crate::support::doorward()
        .arg("check")
        .arg(&file)
        .env("TICKETS_TOKEN", "t")
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// `docs/configuration.md` matches the gateway: its example is valid, and it names every limit.
#[test]
fn the_configuration_page_is_complete() {
    let page = include_str!("../../../../docs/configuration.md");
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    std::fs::write(&file, yaml).unwrap();
    let checked = crate::support::doorward().arg("check").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let schema = crate::support::doorward().arg("schema").output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    let definitions = &schema["$defs"];
    for kind in ["Limits", "Timeouts", "ServerSettings"] {
        for (key, property) in definitions[kind]["properties"].as_object().unwrap() {
            assert!(page.contains(&format!("`{key}`")), "{kind}.{key} is not explained");
            let default = &property["default"];
            let said = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            let told = matches!(kind, "ServerSettings") || page.contains(&said);
            assert!(told, "the default of {key}, {said}, is not told");
        }
    }
}
