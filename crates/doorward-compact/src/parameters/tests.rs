#![allow(clippy::unwrap_used)]

use super::*;

fn raw(text: &str) -> Value {
    Value::Raw(text.to_owned().into_bytes().into())
}

fn fix(path: &str, value: &str) -> Rule {
    Rule { path: path.parse().unwrap(), action: Action::Fix(raw(value)) }
}

fn hide(path: &str) -> Rule {
    Rule { path: path.parse().unwrap(), action: Action::Hide }
}

fn default(path: &str, value: &str) -> Rule {
    Rule { path: path.parse().unwrap(), action: Action::Default(raw(value)) }
}

fn describe(path: &str, text: &str) -> Rule {
    Rule { path: path.parse().unwrap(), action: Action::Describe(text.to_owned()) }
}

fn text(value: &Value) -> String {
    String::from_utf8(value.to_bytes().to_vec()).unwrap()
}

fn adapted(schema: &str, rules: &[Rule]) -> Adapted {
    check(&raw(schema), rules).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn sent(adapted: &Adapted, arguments: &str) -> Result<String, String> {
    let arguments = Object::parse(&arguments.to_owned().into_bytes().into()).unwrap();
    let made = adapted.arguments(&arguments);
    made.map(|made| text(&Value::Object(made))).map_err(|refused| refused.path)
}

const ISSUES: &str = r##"{"type":"object","properties":{
    "owner":{"type":"string"},"repo":{"type":"string"},"limit":{"type":"integer","description":"How many."},
    "token":{"type":"string"},
    "filter":{"anyOf":[{"$ref":"#/$defs/Filter"},{"type":"null"}],"default":null},
    "labels":{"type":"array","items":{"$ref":"#/$defs/Label"}}},
    "required":["owner","repo","limit"],"examples":[{"owner":"o"}],"x-order":["owner","repo"],
    "$defs":{"Filter":{"type":"object","properties":{"state":{"enum":["open","closed"]},"since":{"type":"string"}},"required":["state"]},
    "Label":{"type":"object","properties":{"name":{"type":"string"},"scope":{"type":"string"}},"required":["name","scope"],"additionalProperties":false}}}"##;

#[test]
fn one_tool_becomes_another_for_a_team() {
    let rules = [
        fix("owner", r#""acme""#),
        hide("token"),
        default("limit", "10"),
        describe("repo", "One of ours."),
        fix("filter.state", r#""open""#),
        fix("labels[].scope", r#""team""#),
    ];
    let made = adapted(ISSUES, &rules);
    assert_eq!(
        text(made.schema()),
        r##"{"type":"object","properties":{"repo":{"type":"string","description":"One of ours."},"limit":{"type":"integer","description":"How many.","default":10},"filter":{"type":"object","properties":{"since":{"type":"string"}}},"labels":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}}},"required":["repo"]}"##
    );
    for (arguments, made_of_it) in [
        (r#"{"repo":"r"}"#, r#"{"repo":"r","owner":"acme","limit":10,"filter":{"state":"open"}}"#),
        (
            r#"{"repo":"r","limit": 1.0,"filter":{"since":"s"},"labels":[{"name":"n"},{"name":"m"}]}"#,
            r#"{"repo":"r","limit":1.0,"filter":{"since":"s","state":"open"},"labels":[{"name":"n","scope":"team"},{"name":"m","scope":"team"}],"owner":"acme"}"#,
        ),
        (
            r#"{"labels":null,"limit":null}"#,
            r#"{"labels":null,"limit":null,"owner":"acme","filter":{"state":"open"}}"#,
        ),
    ] {
        assert_eq!(sent(&made, arguments).unwrap(), made_of_it, "{arguments}");
    }
    for (arguments, path) in [
        (r#"{"owner":"acme"}"#, "owner"),
        (r#"{"Owner":"x"}"#, "owner"),
        (r#"{"owner[]":"x"}"#, "owner"),
        (r#"{"\u006fwner":"x"}"#, "owner"),
        (r#"{"token":null}"#, "token"),
        (r#"{"filter":null}"#, "filter"),
        (r#"{"filter":"{\"state\":\"closed\"}"}"#, "filter"),
        (r#"{"filter":[{"state":"closed"}]}"#, "filter"),
        (r#"{"filter":{"STATE":"closed"}}"#, "filter.state"),
        (r#"{"FILTER":{"state":"closed"}}"#, "filter"),
        (r#"{"labels":[{"name":"a"},{"scope":"b"}]}"#, "labels[1].scope"),
        (r#"{"labels":[null]}"#, "labels[0]"),
        (r#"{"labels":{"scope":"b"}}"#, "labels"),
    ] {
        assert_eq!(sent(&made, arguments).unwrap_err(), path, "{arguments}");
    }
}

#[test]
fn objects_are_created_for_values_unless_the_caller_must_set_more() {
    let schema = r#"{"type":"object","properties":{
        "a":{"type":"object","properties":{"x":{},"y":{}},"required":["x"]},
        "b":{"type":"object","properties":{"x":{},"y":{}}}},"required":["b"]}"#;
    let made = adapted(schema, &[default("a.y", "1"), default("b.y", "2")]);
    assert_eq!(sent(&made, "{}").unwrap(), r#"{"b":{"y":2}}"#);
    assert_eq!(sent(&made, r#"{"a":{}}"#).unwrap(), r#"{"a":{"y":1},"b":{"y":2}}"#);
    assert!(!text(made.schema()).ends_with(r#""required":["b"]}"#));
    let made = adapted(schema, &[fix("a.y", "1"), fix("b.y", "2")]);
    assert_eq!(sent(&made, "{}").unwrap(), r#"{"a":{"y":1},"b":{"y":2}}"#);
    assert!(text(made.schema()).ends_with(r#""required":["a"]}"#), "{}", text(made.schema()));
}

#[test]
fn problems_have_their_path_and_say_why() {
    let one = |of: &str| format!(r#"{{"type":"object","properties":{{"a":{of}}}}}"#);
    let inner = r#"{"type":"object","properties":{"b":{"type":"integer"}}"#;
    for (schema, rule, why) in [
        (ISSUES.to_owned(), fix("nothing", "1"), "no property 'nothing'"),
        (ISSUES.to_owned(), fix("owner.x", "1"), "'owner' is no object"),
        (ISSUES.to_owned(), fix("owner[].x", "1"), "'owner' is no array"),
        (ISSUES.to_owned(), fix("owner", "1"), "another type"),
        (ISSUES.to_owned(), fix("limit", "1.5"), "another type"),
        (ISSUES.to_owned(), default("filter.state", r#""all""#), "'enum'"),
        (ISSUES.to_owned(), hide("repo"), "required"),
        (ISSUES.to_owned(), fix("labels[]", "1"), "items"),
        (ISSUES.to_owned(), fix("[].a", "1"), "'[]'"),
        (ISSUES.to_owned(), fix("owner", "nonsense"), "not JSON"),
        (one(r#"{"const":2.0}"#), fix("a", "3"), "'const'"),
        (one("false"), fix("a", "3"), "nothing"),
        (one(r##"{"$ref":"#/$defs/none"}"##), fix("a.b", "3"), "nowhere"),
        (one(&format!(r#"{inner},"allOf":[{{}},{{}}]}}"#)), fix("a.b", "3"), "'allOf'"),
        (
            one(&format!(r#"{inner},"patternProperties":{{"":{{}}}}}}"#)),
            fix("a.b", "3"),
            "'patternProperties'",
        ),
        (one(&format!(r#"{inner},"enum":[{{"b":1}}]}}"#)), hide("a.b"), "'enum'"),
        (
            one(&format!(r#"{{"oneOf":[{inner}}},{{"type":"string"}}]}}"#)),
            fix("a.b", "3"),
            "'oneOf'",
        ),
        (one(r##"{"type":"array","items":{"$ref":"#"}}"##), fix("a", "[]"), "'#'"),
        (
            r##"{"properties":{"a":{},"b":{"$ref":"#/properties/a"}}}"##.to_owned(),
            fix("a", "1"),
            "'#/properties/a'",
        ),
        (r#"{"properties":{"a":{},"b":{"$id":"https://e.org"}}}"#.to_owned(), fix("a", "1"), "$id"),
        (r#"{"properties":{"etag":{},"eTag":{}}}"#.to_owned(), fix("etag", "1"), "'eTag'"),
        (
            r#"{"properties":{"a":{}},"allOf":[{"required":["a"]},{}]}"#.to_owned(),
            fix("a", "1"),
            "'allOf'",
        ),
        ("true".to_owned(), fix("a", "1"), "not a JSON object"),
    ] {
        let problems = check(&raw(&schema), std::slice::from_ref(&rule)).unwrap_err();
        assert!(problems[0].why.contains(why), "{schema} by {rule:?}: {problems:?}");
        assert!(problems[0].path.as_ref().is_none_or(|path| *path == rule.path));
    }
    let many = vec![describe("owner", "d"); 129];
    assert!(check(&raw(ISSUES), &many).unwrap_err()[0].why.contains("128"));
}

#[test]
fn rules_in_conflict_are_problems_of_the_later_or_inner_one() {
    for (one, two) in [
        (fix("owner", r#""a""#), fix("owner", r#""a""#)),
        (fix("owner", r#""a""#), describe("owner", "d")),
        (default("owner", r#""a""#), default("owner", r#""b""#)),
        (hide("filter"), fix("filter.since", r#""a""#)),
        (fix("filter.since", r#""a""#), hide("filter")),
        (default("filter", r#"{"state":"open"}"#), fix("filter.since", r#""a""#)),
        (describe("owner", "d"), describe("owner", "e")),
    ] {
        assert!(check(&raw(ISSUES), &[one.clone(), two.clone()]).is_err(), "{one:?} {two:?}");
    }
    for (one, two) in [
        (default("owner", r#""a""#), describe("owner", "d")),
        (describe("filter", "d"), fix("filter.since", r#""a""#)),
        (default("filter", r#"{"state":"open"}"#), describe("filter.since", "d")),
        (hide("token"), fix("owner", r#""a""#)),
    ] {
        assert!(check(&raw(ISSUES), &[one.clone(), two.clone()]).is_ok(), "{one:?} {two:?}");
    }
}

#[test]
fn references_are_written_out_on_the_way_and_stay_elsewhere() {
    let schema = r##"{"$ref":"#/$defs/Root","$defs":{"Root":{"type":"object","properties":{
        "one":{"allOf":[{"$ref":"#/$defs/Point"}],"description":"first"},"two":{"$ref":"#/$defs/Point"}}},
        "Point":{"type":"object","properties":{"x":{"$ref":"#/$defs/N"},"y":{"$ref":"#/$defs/N"}},"required":["x"]},
        "N":{"type":"number"},"Unused":{}}}"##;
    let made = adapted(schema, &[fix("one.x", "1")]);
    assert_eq!(
        text(made.schema()),
        r##"{"type":"object","properties":{"one":{"type":"object","properties":{"y":{"$ref":"#/$defs/N"}},"description":"first"},"two":{"$ref":"#/$defs/Point"}},"$defs":{"Point":{"type":"object","properties":{"x":{"$ref":"#/$defs/N"},"y":{"$ref":"#/$defs/N"}},"required":["x"]},"N":{"type":"number"}}}"##
    );
    assert_eq!(sent(&made, r#"{"two":{"x":2}}"#).unwrap(), r#"{"two":{"x":2},"one":{"x":1}}"#);
    let circle =
        r##"{"properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"$ref":"#/$defs/A"}}}"##;
    assert!(check(&raw(circle), &[fix("a.b", "1")]).is_err());
    assert!(check(&raw(circle), &[fix("a", "1")]).is_ok());
    assert!(check(&raw(circle), &[describe("a", "text")]).is_ok());
}

#[test]
fn hostile_arguments_are_refused_in_bounds() {
    let schema = r#"{"type":"object","properties":{"list":{"type":"array","items":{"type":"object","properties":{"a":{},"b":{}}}}}}"#;
    let made = adapted(schema, &[fix("list[].a", &format!("{:?}", "x".repeat(60_000)))]);
    let many = format!(r#"{{"list":[{}]}}"#, vec!["{}"; 20].join(","));
    let refused = made.arguments(&Object::parse(&many.into_bytes().into()).unwrap()).unwrap_err();
    assert!(refused.why.contains("1 MiB"), "{refused:?}");
    let mut deep = Object::new();
    deep.set("other", raw(&format!("{}{}", "[".repeat(200), "]".repeat(200))));
    assert!(made.arguments(&deep).unwrap_err().why.contains("128"));
    // A raw value that is more than a value.
    let made = adapted(schema, &[hide("list")]);
    let mut smuggled = Object::new();
    smuggled.set("other", raw(r#"1,"list":[]"#));
    assert_eq!(made.arguments(&smuggled).unwrap_err().path, "list");
    smuggled.set("other", raw(r#"1,"other":2"#));
    assert!(made.arguments(&smuggled).unwrap_err().why.contains("repeated"));
}
