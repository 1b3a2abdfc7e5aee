//! Files that cannot be edited, or should not be.

use std::os::unix::fs::symlink;

use doorward_clients::{Os, Surroundings};

use super::*;

fn refused(text: impl AsRef<[u8]>, client: Client) -> String {
    let home = Home::new();
    let file = home.write("file", &text);
    let error = home.set_up(client, &file, &wanted(variable())).unwrap_err().to_string();
    assert_eq!(std::fs::read(&file).unwrap(), text.as_ref(), "{error}");
    assert_eq!(home.files("."), ["file"], "{error}");
    assert!(error.contains("file"), "{error}");
    error
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_nothing_is_touched() {
    for (text, expected) in [
        ("[]", ":1:1: it is not a JSON object"),
        ("{\n  \"mcpServers\": []\n}", ":2:17: 'mcpServers' is not an object"),
        ("{\n  \"mcpServers\": {\n    \"a\": 1", ":3:11: expected"),
        (
            "{\"mcpServers\": {}, \"mcpServers\": {}}",
            ":1:20: 'mcpServers' is here for the second time",
        ),
        (
            "{\"mcpServers\": {\"doorward\": {}, \"doorward\": {}}}",
            "'doorward' is here for the second",
        ),
        (
            "{\"mcpServers\": {\n\"doorward\": {\"url\": \"x\"}}}",
            ":2: there is an entry 'doorward'",
        ),
        ("{\"a\": \"\u{0}\"}", ":1:7:"),
    ] {
        let error = refused(text, Client::Cursor);
        assert!(error.contains(expected), "{error}");
    }
    assert!(refused("a = 1\na = 2\n", Client::Codex).contains(":2:"));
    assert!(refused("mcp_servers = []\n", Client::Codex).contains("not a table"));
    assert!(refused(b"{\"a\": \"\xff\"}", Client::Cursor).contains("UTF-8"));
    assert!(refused("[".repeat(200_000), Client::Zed).contains("deep"));
    let name = refused("{\"mcpServers\": {\"doorward\": {\"url\": \"x\"}}}", Client::Cursor);
    assert!(name.contains("--name"), "{name}");
}

#[test]
fn marks_of_the_encoding_and_empty_files_are_kept() {
    for (client, text) in [
        (Client::Cursor, "\u{feff}{\r\n  \"mcpServers\": {}\r\n}"),
        (Client::Cursor, "\u{feff}"),
        (Client::Cursor, "\n\n"),
        (Client::Codex, "\u{feff}model = \"x\""),
        (Client::Codex, ""),
    ] {
        let home = Home::new();
        let file = home.write("file", text);
        home.set_up(client, &file, &wanted(variable())).unwrap();
        assert_eq!(read(&file).starts_with('\u{feff}'), text.starts_with('\u{feff}'));
        home.undo(client, &file).unwrap();
        assert_eq!(read(&file), text);
    }
}

#[test]
fn large_files_are_edited_and_huge_ones_refused() {
    let home = Home::new();
    let many: Vec<String> = (0..60_000)
        .map(|at| format!("    \"s{at}\": {{ \"url\": \"https://example.com/a/long/path/{at}\", \"x\": [1, 2] }}"))
        .collect();
    let text = format!("{{\n  \"mcpServers\": {{\n{}\n  }}\n}}\n", many.join(",\n"));
    assert!(text.len() > 4_000_000, "{}", text.len());
    let file = home.write("file", &text);
    home.set_up(Client::Cursor, &file, &wanted(variable())).unwrap();
    home.undo(Client::Cursor, &file).unwrap();
    assert_eq!(read(&file), text);
    assert!(refused(" ".repeat(17 << 20), Client::Cursor).contains("16 MiB"));
}

#[test]
fn links_are_not_followed() {
    let home = Home::new();
    let target = home.write("dotfiles/mcp.json", "{}");
    let link = home.path("mcp.json");
    symlink(&target, &link).unwrap();
    let error = home.set_up(Client::Cursor, &link, &wanted(variable())).unwrap_err().to_string();
    assert!(error.contains("dotfiles/mcp.json") && error.contains("--file"), "{error}");
    assert_eq!((read(&target).as_str(), link.is_symlink()), ("{}", true));
    // A link in a project could lead anywhere.
    let project = home.path("project");
    std::fs::create_dir_all(&project).unwrap();
    symlink(home.path("dotfiles"), project.join(".cursor")).unwrap();
    let around = Surroundings { os: Os::Linux, home: home.path("."), project, env: &|_| None };
    let file = setup::file(Client::Cursor, Scope::Project, None, &around);
    assert!(file.unwrap_err().to_string().contains("symbolic link"));
    // A folder, or a device, is no file.
    let error = home.plan(Client::Cursor, &home.path("dotfiles"), &wanted(variable())).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    let null = Path::new("/dev/null");
    assert!(home.plan(Client::Cursor, null, &wanted(variable())).is_err());
}

#[test]
fn one_of_two_places_has_to_be_named() {
    let home = Home::new();
    let around = |project: &str| Surroundings {
        os: Os::Linux,
        home: home.path("."),
        project: home.path(project),
        env: &|_| None,
    };
    let file = |named: Option<&Path>| setup::file(Client::Zed, Scope::User, named, &around("p"));
    assert!(file(None).unwrap().ends_with(".config/zed/settings.json"));
    home.write(".var/app/dev.zed.Zed/config/zed/settings.json", "{}");
    assert!(file(None).unwrap().ends_with(".var/app/dev.zed.Zed/config/zed/settings.json"));
    home.write(".config/zed/settings.json", "{}");
    let error = file(None).unwrap_err().to_string();
    assert!(error.contains("--file") && error.contains(".var/app"), "{error}");
    assert_eq!(file(Some(Path::new("/x/y"))).unwrap(), Path::new("/x/y"));
    let none = setup::file(Client::Windsurf, Scope::Project, None, &around("p"));
    assert!(none.unwrap_err().to_string().contains("--scope user"));
}

#[test]
fn a_folder_that_cannot_be_written_changes_nothing() {
    let home = Home::new();
    let file = home.write("locked/mcp.json", "{}");
    set_mode(&home.path("locked"), 0o500);
    // Root may write everywhere: then there is nothing to see here.
    if std::fs::write(home.path("locked/probe"), "").is_ok() {
        return;
    }
    let error = home.set_up(Client::Cursor, &file, &wanted(variable())).unwrap_err();
    set_mode(&home.path("locked"), 0o700);
    assert!(error.to_string().contains("locked/mcp.json"), "{error}");
    assert_eq!((read(&file).as_str(), home.files("locked").len()), ("{}", 1));
    assert!(home.receipts().all.is_empty());
}

#[test]
fn what_another_program_writes_meanwhile_is_not_overwritten() {
    let home = Home::new();
    let file = home.write("mcp.json", "{}");
    let plan = home.plan(Client::Cursor, &file, &wanted(variable())).unwrap();
    std::fs::write(&file, "{\"mcpServers\": {\"new\": {}}}").unwrap();
    let error = plan.execute(&mut home.receipts(), "t").unwrap_err();
    assert!(error.to_string().contains("try again"), "{error}");
    assert_eq!(read(&file), "{\"mcpServers\": {\"new\": {}}}");
    assert!(home.receipts().all.is_empty());
    assert_eq!(home.files("."), ["data", "mcp.json"]);
}

#[test]
fn a_damaged_list_of_what_was_written_is_said() {
    let home = Home::new();
    let file = home.write("data/clients.json", "{\"written\": [");
    let error = Receipts::read(file).err().unwrap().to_string();
    assert!(error.contains("clients.json"), "{error}");
}
