//! `doorward catalog`: entries for popular servers become servers of a configuration, or proposals.
#![allow(clippy::unwrap_used)]

use std::process::Output;

use serde_json::Value;

use crate::support::{Gateway, doorward, folder};

fn run(words: &[&str]) -> Output {
    doorward().arg("catalog").args(words).output().unwrap()
}

fn told(words: &[&str]) -> String {
    let output = run(words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(words: &[&str]) -> String {
    let output = run(words);
    assert_eq!(output.status.code(), Some(2), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn entries_are_listed_and_shown() {
    let all: Value = serde_json::from_str(&told(&["list", "--json"])).unwrap();
    assert!(all.as_array().unwrap().len() >= 40);
    let table = told(&["list", "web", "search"]);
    assert!(table.contains("tavily") && !table.contains("filesystem"), "{table}");
    let shown = told(&["show", "github"]);
    for part in ["publisher", "--set token=", "https://github.com/settings/", "${env:GITHUB_TOKEN}"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(refused(&["show", "nothing"]).contains("catalog list"));
}

#[test]
fn entries_are_added_to_a_configuration_that_passes_the_check() {
    let folder = folder();
    let path = folder.path().join("doorward.yaml");
    let text = "public_url: https://tools.example.com\nstore_key: not-for-production-0123456789abcdef\nservers:\n  # mine\n  own: {sample: true}\n";
    std::fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap();
    let all: Value = serde_json::from_str(&told(&["list", "--json"])).unwrap();
    let mut count = 0;
    // All entries are parsed by the tests of their crate.
    for item in all.as_array().unwrap().iter().step_by(4) {
        let mut words = vec!["add".to_owned(), item["id"].as_str().unwrap().into()];
        for parameter in item["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let value = match parameter["example"].as_str() {
                Some(example) => example.to_owned(),
                None => "${env:NOT_SET:-none}".into(),
            };
            words.extend(["--set".into(), format!("{name}={value}")]);
        }
        words.extend(["--file".into(), file.into()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(told(&words).contains("added"));
        count += 1;
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written.starts_with("public_url") && written.contains("  # mine\n  own: {sample: true}\n")
    );
    let checked = doorward().args(["check", file]).output().unwrap();
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(checked.status.success(), "{said}");
    assert!(count >= 10);
}

#[test]
fn what_is_missing_wrong_or_there_already_is_said_and_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("doorward.yaml");
    let file = path.to_str().unwrap();
    assert!(refused(&["add", "filesystem"]).contains("--set folder=/srv/files"));
    let error = refused(&["add", "github", "--set", "token=ghp_abc"]);
    assert!(error.contains("${env:NAME}") && !error.contains("ghp_abc"), "{error}");
    assert!(refused(&["add", "github", "--name", "a/b"]).contains("name of a server"));
    told(&["add", "microsoft-learn", "--file", file]);
    let before = std::fs::read_to_string(&path).unwrap();
    let again = run(&["add", "microsoft-learn", "--file", file]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("--name"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    for (text, exit) in
        [("servers: {a: {sample: true}}\n", 1), ("servers: [\n", 3), ("nonsense: 1\n", 3)]
    {
        std::fs::write(&path, text).unwrap();
        let output = run(&["add", "microsoft-learn", "--file", file]);
        assert_eq!(output.status.code(), Some(exit), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_service_is_proposed_with_keys_of_the_callers() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let key = gateway.key(&["--user", "root", "--admin"]);
    let propose = |id: &str| {
        doorward()
            .args(["catalog", "add", id, "--propose", "--reason", "for search"])
            .env("DOORWARD_ADMIN_URL", format!("http://{}", gateway.admin))
            .env("DOORWARD_KEY", &key)
            .output()
            .unwrap()
    };
    for id in ["microsoft-learn", "tavily", "exa"] {
        let output = propose(id);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{id}: {error}");
    }
    let (_, shown) = gateway.administer(&key, "GET", "/admin/v1/servers/tavily", &Value::Null);
    assert_eq!(shown["state"], "proposed", "{shown}");
    let personal = &shown["settings"]["personal"];
    assert_eq!(
        (&personal["header"], &personal["scheme"]),
        (&"Authorization".into(), &"Bearer".into())
    );
    assert!(shown["settings"].get("headers").is_none(), "{shown}");
    for (id, said) in [("filesystem", "--set folder"), ("time", "--file"), ("linear", "--file")] {
        let output = propose(id);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(said), "{id}: {error}");
    }
}

#[test]
fn the_admin_api_lists_the_same_entries() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let key = gateway.key(&["--user", "root", "--admin"]);
    let list = |query: &str| {
        let path = format!("/admin/v1/catalog?{query}");
        gateway.administer(&key, "GET", &path, &Value::Null)
    };
    let (status, page) = list("limit=1000");
    let printed: Value = serde_json::from_str(&told(&["list", "--json"])).unwrap();
    assert_eq!((status, &page["items"]), (200, &printed));
    let (_, found) = list("text=web%20search&limit=1");
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(found["next_cursor"].is_string(), "{found}");
    assert_eq!(gateway.administer("nobody", "GET", "/admin/v1/catalog", &Value::Null).0, 401);
}
