//! A real file of each client: with other servers, comments and unusual formatting.

use super::*;

/// A client, its file as somebody has it, the key, and the lines that are added to the file.
fn fixtures() -> Vec<(Client, &'static str, &'static str, Key, &'static str)> {
    vec![
        (
            Client::ClaudeCode,
            ".claude.json",
            "{\n  \"numStartups\": 34,\n  \"projects\": {\n    \"/p\": { \"mcpServers\": {} }\n  },\n  \"mcpServers\": {\n    \"a\": {\n      \"type\": \"stdio\",\n      \"command\": \"npx\",\n      \"env\": {}\n    }\n  },\n  \"userID\": \"x\"\n}",
            variable(),
            "    \"doorward\": {\n      \"type\": \"http\",\n      \"url\": \"http://127.0.0.1:7300/mcp\",\n      \"headers\": {\n        \"Authorization\": \"Bearer ${MY_KEY}\"\n      }\n    },\n",
        ),
        (
            Client::ClaudeDesktop,
            ".config/Claude/claude_desktop_config.json",
            "{\"mcpServers\": {\"a\": {\"command\": \"x\"}}, \"preferences\": {\"b\": 1}}\n",
            Key::Literal("dw_secret".into()),
            "\"doorward\": {\"command\":\"/opt/doorward\",\"args\":[\"connect\",\"http://127.0.0.1:7300/mcp\"],\"env\":{\"DOORWARD_KEY\":\"dw_secret\"}}, ",
        ),
        (
            Client::Cursor,
            ".cursor/mcp.json",
            "{\n\t\"mcpServers\": {\n\t\t\"web\": { \"url\": \"https://a/\" }\n\t}\n}\n",
            variable(),
            "\t\t\"doorward\": {\n\t\t\t\"url\": \"http://127.0.0.1:7300/mcp\",\n\t\t\t\"headers\": {\n\t\t\t\t\"Authorization\": \"Bearer ${env:MY_KEY}\"\n\t\t\t}\n\t\t},\n",
        ),
        (
            Client::VsCode,
            ".config/Code/User/mcp.json",
            "// of mine\n{\n    \"servers\": { // all\n        /* the first */ \"a\": { \"type\": \"http\", \"url\": \"https://a/\" }, // yes\n    },\n    \"inputs\": [\n        { \"id\": \"token\", \"type\": \"promptString\" },\n    ],\n}\n",
            variable(),
            "        \"doorward\": {\n            \"type\": \"http\",\n            \"url\": \"http://127.0.0.1:7300/mcp\",\n            \"headers\": {\n                \"Authorization\": \"Bearer ${env:MY_KEY}\"\n            }\n        },\n",
        ),
        (
            Client::Windsurf,
            ".codeium/windsurf/mcp_config.json",
            "{\r\n  \"mcpServers\": {\r\n    \"a\": { \"serverUrl\": \"https://a/\" }\r\n  }\r\n}\r\n",
            variable(),
            "    \"doorward\": {\r\n      \"serverUrl\": \"http://127.0.0.1:7300/mcp\",\r\n      \"headers\": {\r\n        \"Authorization\": \"Bearer ${env:MY_KEY}\"\r\n      }\r\n    },\r\n",
        ),
        (
            Client::Codex,
            ".codex/config.toml",
            "# mine\nmodel = \"x\" # the best\n\n[mcp_servers.a]\ncommand = \"x\"\nargs = [\n  \"y\", # why\n]\n# the end\n",
            variable(),
            "\n[mcp_servers.doorward]\nurl = \"http://127.0.0.1:7300/mcp\"\nbearer_token_env_var = \"MY_KEY\"\n",
        ),
        (
            Client::GeminiCli,
            ".gemini/settings.json",
            "{\n  // theme of mine\n  \"ui\": { \"theme\": \"x\" },\n  \"mcpServers\": {\n    \"a\": { \"httpUrl\": \"https://a/\" }\n  }\n}\n",
            variable(),
            "    \"doorward\": {\n      \"httpUrl\": \"http://127.0.0.1:7300/mcp\",\n      \"headers\": {\n        \"Authorization\": \"Bearer $MY_KEY\"\n      }\n    },\n",
        ),
        (
            Client::Zed,
            ".config/zed/settings.json",
            "// Zed settings\n//\n{\n  \"context_servers\": {\n    \"a\": { \"command\": \"x\", \"args\": [], },\n  },\n  \"vim_mode\": true,\n}\n",
            variable(),
            "    \"doorward\": {\n      \"command\": \"/opt/doorward\",\n      \"args\": [\n        \"connect\",\n        \"http://127.0.0.1:7300/mcp\",\n        \"--key-env\",\n        \"MY_KEY\"\n      ]\n    },\n",
        ),
    ]
}

/// The text without the lines that were added.
fn without(text: &str, added: &str) -> String {
    assert_eq!(text.matches(added).count(), 1, "{text}");
    text.replace(added, "")
}

#[test]
fn an_entry_is_added_to_each_client_s_file_and_taken_out_to_the_byte() {
    for (client, name, before, key, added) in fixtures() {
        let home = Home::new();
        let file = home.write(name, before);
        set_mode(&file, 0o644);
        let wanted = wanted(key);
        assert_eq!(home.set_up(client, &file, &wanted).unwrap(), Outcome::Added, "{client}");
        assert_eq!(without(&read(&file), added), before, "{client}");
        // A file with a key is its owner's alone; every other keeps its mode.
        let has_key = matches!(wanted.key, Key::Literal(_));
        assert_eq!(mode(&file), if has_key { 0o600 } else { 0o644 });
        let backup = home.path(&format!("{name}.doorward-backup-20261130T000000Z"));
        assert_eq!((read(&backup).as_str(), mode(&backup)), (before, 0o600));
        // Again: nothing changes.
        let after = read(&file);
        assert_eq!(home.set_up(client, &file, &wanted).unwrap(), Outcome::Unchanged);
        assert_eq!(read(&file), after);
        assert_eq!(home.undo(client, &file).unwrap(), Undoing::Restored, "{client}");
        assert_eq!((read(&file).as_str(), mode(&file), backup.exists()), (before, 0o644, false));
        assert!(matches!(home.undo(client, &file), Err(Error::NotOurs { .. })));
    }
}

#[test]
fn what_has_changed_since_is_kept() {
    for (client, name, before, key, _) in fixtures() {
        let home = Home::new();
        let file = home.write(name, before);
        home.set_up(client, &file, &wanted(key)).unwrap();
        // Somebody changes something else, and the client adds to the entry.
        let (from, to) = match client {
            Client::Codex => ("model = \"x\"", "model = \"y\""),
            _ => ("\"a\"", "\"aa\""),
        };
        let from = if client == Client::Cursor { "\"web\"" } else { from };
        let changed = read(&file).replace(from, to);
        std::fs::write(&file, &changed).unwrap();
        assert_eq!(home.undo(client, &file).unwrap(), Undoing::TakenOut, "{client}");
        assert_eq!(read(&file), before.replace(from, to), "{client}");
    }
}

#[test]
fn a_file_that_is_not_there_is_made_and_deleted_with_its_folders() {
    for (client, name, _, key, _) in fixtures() {
        let home = Home::new();
        let file = home.path(name);
        assert_eq!(home.set_up(client, &file, &wanted(key)).unwrap(), Outcome::Added);
        assert_eq!(mode(&file), 0o600);
        assert!(read(&file).ends_with('\n'));
        assert_eq!(home.undo(client, &file).unwrap(), Undoing::Deleted, "{client}");
        assert_eq!(home.files("."), ["data"], "{client}");
    }
}

#[test]
fn an_entry_gets_another_endpoint_and_the_first_file_comes_back() {
    for (client, name, before, key, _) in fixtures() {
        let home = Home::new();
        let file = home.write(name, before);
        home.set_up(client, &file, &wanted(key)).unwrap();
        let mut other = wanted(Key::None);
        other.url = "https://tools.example.com/mcp".into();
        assert_eq!(home.set_up(client, &file, &other).unwrap(), Outcome::Replaced, "{client}");
        let after = read(&file);
        assert!(after.contains(&other.url) && !after.contains(URL) && !after.contains("MY_KEY"));
        assert_eq!(home.undo(client, &file).unwrap(), Undoing::Restored);
        assert_eq!(read(&file), before, "{client}");
    }
}

#[test]
fn vs_code_asks_for_the_key() {
    let (client, name, before, ..) = fixtures().swap_remove(3);
    for (text, made) in [(before, false), ("{\n  \"servers\": {}\n}\n", true)] {
        let home = Home::new();
        let file = home.write(name, text);
        home.set_up(client, &file, &wanted(Key::Ask)).unwrap();
        let after = read(&file);
        assert!(after.contains("${input:doorward-key}") && after.contains("\"promptString\""));
        assert_eq!(after.contains("\"id\": \"token\""), !made);
        // With the entry goes the input, and what else was changed stays.
        std::fs::write(&file, format!("{after}// more\n")).unwrap();
        assert_eq!(home.undo(client, &file).unwrap(), Undoing::TakenOut);
        let left = read(&file);
        assert!(!left.contains("doorward") && left.ends_with("// more\n"), "{left}");
        assert_eq!(left.contains("\"token\""), !made);
    }
}

#[test]
fn keys_go_where_the_client_reads_them() {
    let literal = || Key::Literal("dw_secret".into());
    for (client, key, has) in [
        (Client::Codex, literal(), "http_headers = { Authorization = \"Bearer dw_secret\" }"),
        (Client::Zed, literal(), "\"Authorization\": \"Bearer dw_secret\""),
        (Client::Zed, Key::None, "\"url\": \"http://127.0.0.1:7300/mcp\""),
        (Client::ClaudeDesktop, Key::None, "\"command\": \"/opt/doorward\""),
        (Client::ClaudeCode, literal(), "\"Authorization\": \"Bearer dw_secret\""),
    ] {
        let home = Home::new();
        let file = home.path("file");
        home.set_up(client, &file, &wanted(key)).unwrap();
        assert!(read(&file).contains(has), "{client}: {}", read(&file));
    }
    let home = Home::new();
    for (client, key) in
        [(Client::ClaudeDesktop, variable()), (Client::Cursor, Key::Ask), (Client::Codex, Key::Ask)]
    {
        let error = home.plan(client, &home.path("file"), &wanted(key)).unwrap_err();
        assert!(error.to_string().contains("--key-stdin"), "{error}");
    }
    let receipts = home.receipts();
    let file = home.path("project/.mcp.json");
    let planned =
        setup::plan(Client::ClaudeCode, Scope::Project, file, &wanted(literal()), &receipts);
    assert!(planned.unwrap_err().to_string().contains("--key-env"));
}
