//! Policies that hold calls until they are approved.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use doorward_policy::{Approver, Case, Code, Decision, PolicySet, Remember, Verdict};
use proptest::prelude::*;
use serde_json::json;

fn compile(text: &str) -> Result<PolicySet, Vec<String>> {
    let files = BTreeMap::from([("main.cedar".to_owned(), text.to_owned())]);
    PolicySet::compile(&files).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn decide(policies: &PolicySet, value: serde_json::Value) -> Decision {
    policies.decide(&serde_json::from_value::<Case>(value).unwrap().request().unwrap())
}

const OPEN: &str = "permit (principal, action in Action::\"use\", resource);\n";
const CALL: &str = "(principal, action == Action::\"call\", resource)";

#[test]
fn what_the_annotations_say_is_read() {
    let policies = compile(&format!(
        "{OPEN}@id(\"a\") @reason(\"Payments need a lead\") @approval(\"role:lead, user:https://idp:dana,team:ops\") \
         @approval_ttl(\"30m\") @approval_by(\"2\") @approval_remember(\"2h\") @approval_self(\"true\") forbid {CALL};\n\
         @id(\"b\") @approval(\"role:lead\") @approval_edit(\"to, note\") forbid {CALL};"
    ))
    .unwrap();
    let decision = decide(&policies, json!({"user": "ann", "tool": "pay/send"}));
    assert_eq!((decision.verdict, decision.code), (Verdict::Hold, Code::ApprovalRequired));
    assert!(!decision.is_allowed() && decision.is_possible());
    assert_eq!(decision.reason(), "Payments need a lead");
    let [a, b] = &decision.holds[..] else { panic!("{decision:?}") };
    let approvers = vec![
        Approver::Role("lead".into()),
        Approver::User("https://idp:dana".into()),
        Approver::Team("ops".into()),
    ];
    assert_eq!((&*a.policy, &a.approvers), ("a", &approvers));
    assert_eq!((a.ttl, a.people, a.remember), (1_800, 2, Some(Remember::Seconds(7_200))));
    assert!(a.by_self);
    assert_eq!((&*b.policy, b.ttl, b.people, b.remember, b.by_self), ("b", 3_600, 1, None, false));
    assert_eq!((&*a.edit, &*b.edit), (&[][..], &["to".to_owned(), "note".to_owned()][..]));
    let read: Decision = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
    assert_eq!(read, decision);
}

#[test]
fn malformed_annotations_are_refused_with_their_line() {
    for (annotations, policy, said) in [
        ("@approval(\"\")", "forbid", "expected 'role:NAME'"),
        ("@approval(\"lead\")", "forbid", "expected 'role:NAME'"),
        ("@approval(\"role:\")", "forbid", "expected 'role:NAME'"),
        ("@approval(\"role:a,\")", "forbid", "expected 'role:NAME'"),
        ("@approval(\"agent:a\")", "forbid", "approvers are roles, teams and users"),
        ("@approval(\"role:a\")", "permit", "only a 'forbid'"),
        ("@approval(\"role:a\") @approval_ttl(\"8d\")", "forbid", "expected a time"),
        ("@approval(\"role:a\") @approval_ttl(\"1\")", "forbid", "expected a time"),
        ("@approval(\"role:a\") @approval_ttl(\"-1h\")", "forbid", "expected a time"),
        ("@approval(\"role:a\") @approval_ttl(\"1é\")", "forbid", "expected a time"),
        ("@approval(\"role:a\") @approval_by(\"0\")", "forbid", "expected 1 to 5"),
        ("@approval(\"role:a\") @approval_by(\"6\")", "forbid", "expected 1 to 5"),
        ("@approval(\"user:a\") @approval_by(\"2\")", "forbid", "names 1"),
        ("@approval(\"role:a\") @approval_remember(\"always\")", "forbid", "or 'session'"),
        ("@approval(\"role:a\") @approval_self(\"yes\")", "forbid", "'true' or 'false'"),
        ("@approval_ttl(\"1h\")", "forbid", "without @approval"),
        ("@approval_edit(\"to\")", "forbid", "without @approval"),
        ("@approval(\"role:a\") @approval_edit(\"to,\")", "forbid", "names of arguments"),
        ("@approval(\"role:a\") @approval_edit(\"to\") @approval_by(\"2\")", "forbid", "only one"),
        (
            "@approval(\"role:a\") @approval_edit(\"to\") @approval_remember(\"1h\")",
            "forbid",
            "leave out",
        ),
    ] {
        let text = format!("{OPEN}\n{annotations}\n{policy} {CALL};");
        let findings = compile(&text).unwrap_err().join("\n");
        assert!(findings.starts_with("main.cedar:3: ") && findings.contains(said), "{findings}");
    }
    for action in ["action", "action in Action::\"administer\"", "action == Action::\"stop\""] {
        let text = format!("{OPEN}@approval(\"role:a\") forbid (principal, {action}, resource);");
        let findings = compile(&text).unwrap_err().join("\n");
        assert!(
            findings.contains("main.cedar:2: ") && findings.contains("callers do"),
            "{findings}"
        );
    }
}

#[test]
fn only_what_nothing_else_refuses_is_held() {
    let policies = compile(
        "permit (principal, action in Action::\"use\", resource in Server::\"a\");
         @id(\"hold\") @approval(\"role:lead\") @arguments(\"n: Long\")
         forbid (principal, action in Action::\"use\", resource)
         when { context.arguments has n && context.arguments.n > 10 };
         @id(\"never\") @reason(\"Too much\") @arguments(\"n: Long\")
         forbid (principal, action == Action::\"call\", resource)
         when { context.arguments has n && context.arguments.n > 100 };",
    )
    .unwrap();
    let at = |tool: &str, n: i64| {
        decide(&policies, json!({"user": "u", "tool": tool, "arguments": {"n": n}}))
    };
    assert_eq!(at("a/x", 10).verdict, Verdict::Allow);
    assert_eq!(at("a/x", 11).verdict, Verdict::Hold);
    let refused = at("a/x", 101);
    assert_eq!((refused.verdict, refused.code), (Verdict::Deny, Code::Forbidden));
    assert_eq!((refused.policies.len(), &*refused.reason()), (1, "Too much"));
    let elsewhere = at("b/x", 11);
    assert_eq!((elsewhere.verdict, elsewhere.code), (Verdict::Deny, Code::NotPermitted));
    assert!(elsewhere.holds.is_empty() && elsewhere.policies.is_empty());
    for (tool, verdict) in [("a/x", Verdict::Depends), ("b/x", Verdict::Deny)] {
        let listed = decide(&policies, json!({"user": "u", "tool": tool, "listed": true}));
        assert_eq!(listed.verdict, verdict);
    }
}

#[test]
fn a_tool_that_is_always_held_is_listed() {
    let policies = compile(&format!(
        "{OPEN}@approval(\"role:lead\") forbid (principal, action in Action::\"use\", resource in Server::\"a\");"
    ))
    .unwrap();
    for what in ["tool", "prompt", "resource"] {
        let listed = decide(&policies, json!({"user": "u", what: "a/x", "listed": true}));
        assert_eq!(listed.verdict, Verdict::Hold, "{what}");
        assert_eq!(decide(&policies, json!({"user": "u", what: "b/x"})).verdict, Verdict::Allow);
    }
    assert!(decide(&policies, json!({"user": "u", "server": "a"})).is_possible());
    // These actions cannot be held.
    for action in ["subscribe", "complete"] {
        let decision = decide(&policies, json!({"user": "u", "resource": "a/x", "action": action}));
        assert_eq!(decision.verdict, Verdict::Deny, "{action}");
    }
}

#[test]
fn a_resource_is_held_however_its_uri_is_written() {
    let policies = compile(&format!(
        "{OPEN}@approval(\"role:lead\") forbid (principal, action == Action::\"read\", resource)
         when {{ resource.uri == \"file:///etc/secret\" }};"
    ))
    .unwrap();
    for uri in ["file:///etc/secret", "file:///etc/%73ecret"] {
        let decision = decide(&policies, json!({"user": "u", "resource": format!("a/{uri}")}));
        assert_eq!(decision.verdict, Verdict::Hold, "{uri}");
    }
}

#[test]
fn a_policy_that_cannot_be_evaluated_refuses() {
    let error = "when { context.time.unix + 9223372036854775807 > 0 };";
    for (holds, plain) in [("", error), (error, "when { false };")] {
        let holds = if holds.is_empty() { ";".to_owned() } else { holds.to_owned() };
        let policies = compile(&format!(
            "{OPEN}@approval(\"role:lead\") forbid {CALL}{holds}\nforbid {CALL} {plain}"
        ))
        .unwrap();
        let mut request = serde_json::from_value::<Case>(json!({"user": "u", "tool": "a/x"}))
            .unwrap()
            .request()
            .unwrap();
        request.context.time.unix = 10;
        let decision = policies.decide(&request);
        assert_eq!((decision.verdict, decision.code), (Verdict::Deny, Code::PolicyError));
    }
}

#[test]
fn tests_beside_policies_expect_approval() {
    let policies = compile(&format!("{OPEN}@approval(\"role:lead\") forbid {CALL};")).unwrap();
    let case = |expect: &str| {
        let value = json!({"user": "u", "tool": "a/x", "expect": expect});
        serde_json::from_value::<Case>(value).unwrap()
    };
    assert!(case("approval").run(&policies).is_ok());
    let failed = case("allow").run(&policies).unwrap_err();
    assert_eq!(failed.why, "expected allow, got approval");
    let listed = json!({"user": "u", "tool": "a/x", "listed": true, "expect": "allow"});
    assert!(serde_json::from_value::<Case>(listed).unwrap().run(&policies).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// A policy set decides as if its holding policies were `forbid`, except that a call refused only by these is
    /// held.
    #[test]
    fn holding_changes_nothing_but_what_it_holds(
        rules in proptest::collection::vec((0..3u8, 0..3usize, -2..4i64), 0..6),
        server in 0..3usize,
        n in -3..5i64,
    ) {
        let text = |holds: bool| {
            rules.iter().enumerate().map(|(at, (kind, server, least))| {
                let effect = if *kind == 0 { "permit" } else { "forbid" };
                let hold = if *kind == 2 && holds { "@approval(\"role:lead\") " } else { "" };
                format!("@id(\"{at}\") {hold}@arguments(\"n: Long\") {effect} (principal, action == Action::\"call\", \
                         resource in Server::\"{server}\") when {{ context.arguments has n && context.arguments.n > {least} }};\n")
            }).collect::<String>()
        };
        let without: String = text(false).lines().zip(&rules)
            .filter(|(_, (kind, ..))| *kind != 2).map(|(line, _)| line.to_owned() + "\n").collect();
        let ask = |text: &str| decide(
            &compile(text).unwrap(),
            json!({"user": "u", "tool": format!("{server}/x"), "arguments": {"n": n}}),
        ).verdict;
        let expected = match (ask(&text(false)), ask(&without)) {
            (Verdict::Deny, Verdict::Allow) => Verdict::Hold,
            (refusing, _) => refusing,
        };
        prop_assert_eq!(ask(&text(true)), expected);
    }
}
