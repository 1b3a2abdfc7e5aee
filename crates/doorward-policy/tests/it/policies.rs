//! Policies as operators write them: what is rejected, what is decided, and how long it takes.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use doorward_policy::{
    Action, Arguments, Case, Code, Context, Decision, PolicySet, Principal, PrincipalKind, Request,
    Target, TargetKind, Verdict, ready_made,
};
use proptest::prelude::*;
use serde_json::json;

fn compile(text: &str) -> Result<PolicySet, Vec<String>> {
    let files = BTreeMap::from([("main.cedar".to_owned(), text.to_owned())]);
    PolicySet::compile(&files).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn case(value: serde_json::Value) -> Request {
    serde_json::from_value::<Case>(value).unwrap().request().unwrap()
}

fn decide(policies: &PolicySet, value: serde_json::Value) -> Decision {
    policies.decide(&case(value))
}

#[test]
fn every_ready_made_set_passes_its_tests() {
    for set in ready_made::ALL {
        let mut files = BTreeMap::from([(format!("{}.cedar", set.name), set.policies.to_owned())]);
        if set.only_forbids {
            files.insert("open.cedar".into(), ready_made::find("open").unwrap().policies.into());
        }
        let policies = PolicySet::compile(&files).unwrap_or_else(|all| panic!("{all:#?}"));
        let mut cases: Vec<Case> = serde_saphyr::from_str(set.tests).unwrap();
        if set.only_forbids {
            let open = ready_made::find("open").unwrap().tests;
            cases.extend(serde_saphyr::from_str::<Vec<Case>>(open).unwrap());
        }
        assert!(cases.len() > 1, "{}", set.name);
        for case in cases {
            if let Err(failed) = case.run(&policies) {
                panic!("{}: {}: {} {:?}", set.name, case.name, failed.why, failed.decision);
            }
        }
    }
}

#[test]
fn what_does_not_fit_the_schema_is_refused_with_its_line() {
    for (text, line, said) in [
        (
            "permit (principal, action, resource)\nwhen { context.arguments.amount > 1 };",
            1,
            "'amount' without declaring it",
        ),
        (
            "forbid (principal, action, resource)\nwhen { context.arguments has amount && context.arguments.amount > 1 };",
            1,
            "'amount' without declaring it",
        ),
        (
            "@arguments(\"to: {city: String}\") forbid (principal, action, resource)\n\
             unless { context.arguments has to && context.arguments.to has country };",
            1,
            "'to.country' without declaring it",
        ),
        (
            "forbid (principal, action, resource) when { context.arguments has to.city };",
            1,
            "without declaring it",
        ),
        (
            "@arguments(\"n: Long\") forbid (principal, action, resource)\n\
             when { (if true then context else context).arguments has x };",
            1,
            "uses 'context' as a whole",
        ),
        (
            "forbid (principal, action, resource)\n\
             when { (if true then context.arguments else context.arguments) has x };",
            1,
            "uses 'context.arguments' as a whole",
        ),
        (
            "@arguments(\"to: {city: String}\") forbid (principal, action, resource)\n\
             when { (if true then context.arguments.to else context.arguments.to) has country };",
            1,
            "as a whole",
        ),
        (
            "@arguments(\"to: {city: String}\") forbid (principal, action, resource)\n\
             when { [context.arguments.to].contains(context.arguments.to) };",
            1,
            "as a whole",
        ),
        (
            "forbid (principal, action, resource) when { context == context };",
            1,
            "uses 'context' as a whole",
        ),
        (
            "forbid (principal, action, resource) when { {a: context}.a.arguments has x };",
            1,
            "uses 'context' as a whole",
        ),
        (
            "forbid (principal, action, resource) when { {a: context.arguments}.a has x };",
            1,
            "as a whole",
        ),
        (
            "forbid (principal, action, resource) when { context[\"arguments\"][\"x\"] == 1 };",
            1,
            "'x' without declaring it",
        ),
        (
            "@arguments(\"to: Emails\") forbid (principal, action, resource)\n\
             when { context.arguments has to && context.arguments.to has domain };",
            1,
            "'to.domain' without declaring it",
        ),
        (
            "@arguments(\"to: Emails\") permit (principal, action == Action::\"call\", resource)\n\
             when { context.arguments has to && context.arguments.to == context.arguments.to };",
            1,
            "as a whole",
        ),
        (
            "\n\npermit (principal, action, resource) when { resource.colour == \"red\" };",
            3,
            "colour",
        ),
        ("permit (principal, action == Action::\"destroy\", resource);", 1, "destroy"),
        ("permit (principal in Group::\"x\", action, resource);", 1, "Group"),
        ("// fine\npermit (principal, action resource);", 2, "resource"),
        ("@arguments(\"n: Int\") permit (principal, action, resource);", 1, "String, Long, Bool"),
        (
            "@arguments(\"n?: Long\") permit (principal, action, resource);\n\
             @arguments(\"n?: Bool\") permit (principal, action, resource);",
            2,
            "another type",
        ),
        (
            "@id(\"a\") permit (principal, action, resource);\n\n@id(\"a\") permit (principal, action, resource);",
            3,
            "used in main.cedar:1",
        ),
        ("permit (principal == ?principal, action, resource);", 0, "templates"),
        (
            "@arguments(\"n?: Long\")\npermit (principal, action == Action::\"call\", resource) when { context.arguments.n > 1 };",
            2,
            "has",
        ),
    ] {
        let findings = compile(text).unwrap_err();
        let place =
            if line == 0 { "main.cedar: ".to_owned() } else { format!("main.cedar:{line}: ") };
        assert!(
            findings.iter().any(|finding| finding.starts_with(&place) && finding.contains(said)),
            "{text}: {findings:#?}"
        );
    }
}

#[test]
fn what_is_not_permitted_is_denied_and_the_reasons_are_told() {
    let policies = compile(
        "@id(\"p\") @reason(\"never told\") permit (principal in Team::\"t\", action, resource);
         @id(\"f\") @reason(\"Not today\") forbid (principal, action, resource in Server::\"pay\");
         forbid (principal, action, resource) when { context has agent && context.chain.contains(\"evil\") };",
    )
    .unwrap();
    let denied = decide(&policies, json!({ "user": "u", "tool": "a/b" }));
    assert_eq!((denied.verdict, denied.code), (Verdict::Deny, Code::NotPermitted));
    assert!(denied.policies.is_empty());
    let allowed = decide(&policies, json!({ "user": "u", "teams": ["t"], "tool": "a/b" }));
    assert_eq!((allowed.verdict, allowed.policies[0].id.as_str()), (Verdict::Allow, "p"));
    let forbidden = decide(&policies, json!({ "user": "u", "teams": ["t"], "tool": "pay/b" }));
    assert_eq!((forbidden.code, forbidden.reason().as_str()), (Code::Forbidden, "Not today"));
    let chained =
        json!({ "user": "u", "agent": "a", "chain": ["evil", "a"], "teams": ["t"], "tool": "a/b" });
    let chained = decide(&policies, chained);
    assert_eq!((chained.code, chained.policies[0].id.as_str()), (Code::Forbidden, "main.cedar#3"));
}

#[test]
fn a_policy_that_fails_forbids() {
    let policies = compile(
        "@arguments(\"n?: Long\")
         forbid (principal, action == Action::\"call\", resource)
         when { context.arguments has n && context.arguments.n * 9223372036854775807 > 1 };
         permit (principal, action, resource);",
    )
    .unwrap();
    let denied = decide(&policies, json!({ "user": "u", "tool": "a/b", "arguments": { "n": 3 } }));
    assert_eq!((denied.verdict, denied.code), (Verdict::Deny, Code::PolicyError));
    assert!(!denied.errors.is_empty());
    assert!(decide(&policies, json!({ "user": "u", "tool": "a/b" })).is_allowed());
}

#[test]
fn a_tool_is_listed_when_some_arguments_would_do() {
    let policies = compile(
        "@arguments(\"n?: Long\")
         permit (principal, action == Action::\"call\", resource == Tool::\"a/some\")
         when { context.arguments has n && context.arguments.n < 5 };
         permit (principal, action == Action::\"call\", resource == Tool::\"a/all\");
         permit (principal, action == Action::\"call\", resource == Tool::\"a/none\");
         forbid (principal, action == Action::\"call\", resource == Tool::\"a/none\");",
    )
    .unwrap();
    for (tool, verdict) in [
        ("a/some", Verdict::Depends),
        ("a/all", Verdict::Allow),
        ("a/none", Verdict::Deny),
        ("a/other", Verdict::Deny),
    ] {
        let listed = json!({ "user": "u", "tool": tool, "listed": true });
        assert_eq!(decide(&policies, listed).verdict, verdict, "{tool}");
    }
}

#[test]
fn a_request_can_be_written_down_and_decided_again() {
    let request = case(json!({
        "user": "u", "agent": "a", "tenant": "t", "teams": ["x"], "roles": ["r"], "chain": ["a"],
        "tool": "s/t", "write": false, "tags": ["pii"], "arguments": { "n": 1 }, "time": "mon 09:30",
        "address": "10.0.0.1", "client": "me/1", "expect": "allow"
    }));
    let written = serde_json::to_string(&request).unwrap();
    let read: Request = serde_json::from_str(&written).unwrap();
    assert_eq!(read, request);
    let policies = compile(
        "permit (principal in Tenant::\"t\", action, resource)
         when { context.address.isInRange(ip(\"10.0.0.0/8\")) && context.client.name == \"me\" && resource.tags.contains(\"pii\") };",
    );
    assert!(policies.is_err(), "an address that may be absent must be asked for");
    let policies = compile(
        "permit (principal in Tenant::\"t\", action == Action::\"call\", resource)
         when { context has address && context.address.isInRange(ip(\"10.0.0.0/8\")) && context.client.name == \"me\" && resource.tags.contains(\"pii\") };",
    )
    .unwrap();
    assert_eq!(policies.decide(&read), policies.decide(&request));
    assert!(policies.decide(&read).is_allowed());
}

/// Policies of every kind of scope, in any order.
fn some_policies() -> impl Strategy<Value = Vec<String>> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
    let principal = prop_oneof![
        Just("principal"),
        Just("principal == User::\"u0\""),
        Just("principal in Team::\"t\""),
        Just("principal is Agent"),
    ];
    let action = prop_oneof![
        Just("action"),
        Just("action == Action::\"call\""),
        Just("action in Action::\"use\""),
        Just("action in [Action::\"call\", Action::\"get\"]"),
    ];
    let resource = prop_oneof![
        Just("resource"),
        Just("resource in Server::\"s0\""),
        Just("resource == Tool::\"s0/t0\""),
        Just("resource == Tool::\"s1/t1\""),
        Just("resource is Tool in Server::\"s1\""),
        Just("resource is Tool"),
    ];
    let when = prop_oneof![
        Just(""),
        Just("when { context.arguments has n && context.arguments.n > 5 }"),
        Just("when { resource is Tool && resource.write }"),
        Just("unless { context.time.hour < 12 }"),
    ];
    let one = (effect, principal, action, resource, when)
        .prop_map(|(e, p, a, r, w)| format!("@arguments(\"n?: Long\") {e} ({p}, {a}, {r}) {w};"));
    proptest::collection::vec(one, 1..8)
}

fn some_request() -> impl Strategy<Value = Request> {
    let who = prop_oneof![
        Just((PrincipalKind::User, "u0")),
        Just((PrincipalKind::User, "u1")),
        Just((PrincipalKind::Agent, "a0")),
    ];
    (who, any::<bool>(), 0..2usize, 0..2usize, any::<bool>(), 0..10i64, 8..16u8).prop_map(
        |((kind, id), in_team, server, tool, write, n, hour)| {
            let teams = if in_team { ["t".to_owned()].into() } else { Default::default() };
            let principal =
                Principal { kind, id: id.into(), tenant: None, teams, roles: Default::default() };
            let target = Target {
                write,
                ..Target::new(TargetKind::Tool, &format!("s{server}"), &format!("t{tool}"))
            };
            let known = serde_json::Map::from_iter([("n".to_owned(), n.into())]);
            let mut context = Context { arguments: Arguments::Known(known), ..Context::default() };
            context.time.hour = hour;
            Request { principal, action: Action::Call, target, context }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The order of policies, and how they are spread over files, does not matter.
    #[test]
    fn the_order_of_policies_does_not_matter(policies in some_policies(), request in some_request()) {
        let named: Vec<String> = policies
            .iter()
            .enumerate()
            .map(|(number, text)| format!("@id(\"{number}\") {text}"))
            .collect();
        let there = compile(&named.join("\n"));
        prop_assume!(there.is_ok());
        let files: BTreeMap<String, String> = named
            .iter()
            .rev()
            .enumerate()
            .map(|(number, text)| (format!("{number}.cedar"), text.clone()))
            .collect();
        let back = PolicySet::compile(&files).unwrap();
        prop_assert_eq!(there.unwrap().decide(&request), back.decide(&request));
    }

    /// A tool is listed exactly when it can be called. For policies on arguments, every tool that can be called is
    /// listed, but the list does not detect conditions that exclude each other.
    #[test]
    fn what_is_listed_is_what_is_callable(policies in some_policies(), request in some_request()) {
        let set = compile(&policies.join("\n"));
        prop_assume!(set.is_ok());
        let set = set.unwrap();
        let mut listed = request.clone();
        listed.context.arguments = Arguments::Any;
        let listed = set.decide(&listed).verdict;
        let callable = [json!({}), json!({ "n": 0 }), json!({ "n": 9 })].map(|arguments| {
            let serde_json::Value::Object(map) = arguments else { unreachable!() };
            let mut call = request.clone();
            call.context.arguments = Arguments::Known(map);
            set.decide(&call).is_allowed()
        });
        match listed {
            Verdict::Allow => prop_assert_eq!(callable, [true; 3]),
            Verdict::Deny => prop_assert_eq!(callable, [false; 3]),
            Verdict::Depends => prop_assert!(policies.iter().any(|text| text.contains("has n"))),
            Verdict::Hold => prop_assert!(false, "no policy of these holds"),
        }
    }

    /// Evaluating a slice of the policies gives the same decision as evaluating all.
    #[test]
    fn a_slice_decides_what_the_whole_decides(policies in some_policies(), request in some_request()) {
        let set = compile(&policies.join("\n"));
        // A scope that is written as a condition does not take part in slicing.
        let whole: Vec<String> = policies.iter().map(|text| {
            let resource = text.rsplit_once(") ").map_or(text.as_str(), |(scope, _)| scope).rsplit(", ").next().unwrap().trim_end_matches(");").to_owned();
            text.replacen(&format!(", {resource})"), ", resource)", 1)
                .replace(';', &format!(" when {{ {} }};", if resource == "resource" { "true" } else { &resource }))
        }).collect();
        let whole = compile(&whole.join("\n"));
        prop_assume!(set.is_ok() && whole.is_ok());
        prop_assert_eq!(set.unwrap().decide(&request).verdict, whole.unwrap().decide(&request).verdict);
    }
}

/// This is not a benchmark but a guard against growth: a decision among two thousand policies about other tools takes
/// as long as among ten.
#[test]
fn policies_about_other_tools_cost_nothing() {
    let median = |count: usize| {
        let mut text = String::from("permit (principal, action, resource in Server::\"s0\");\n");
        for number in 0..count {
            text.push_str(&format!(
                "@id(\"{number}\") forbid (principal, action == Action::\"call\", resource == Tool::\"s1/t{number}\") when {{ context.time.hour < 5 }};\n"
            ));
        }
        let policies = compile(&text).unwrap();
        let request = case(json!({ "user": "u", "tool": "s0/t", "expect": "allow" }));
        assert!(policies.decide(&request).is_allowed());
        let mut times: Vec<_> = (0..201)
            .map(|_| {
                let began = Instant::now();
                assert!(policies.decide(&request).is_allowed());
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let (few, many) = (median(10), median(2_000));
    eprintln!("a decision among 10 policies: {few:?}, among 2000: {many:?}");
    assert!(many < few * 5, "{few:?} and {many:?}");
}

#[test]
fn who_may_do_anything_administers_nothing_and_the_check_says_so() {
    let kinds = [PrincipalKind::User, PrincipalKind::Agent, PrincipalKind::ServiceAccount];
    for (policy, views, changes, warned) in [
        ("permit (principal, action, resource);", false, false, true),
        ("permit (principal, action, resource is Gateway);", false, false, true),
        ("permit (principal, action, resource == Gateway::\"doorward\");", false, false, true),
        ("permit (principal, action in Action::\"use\", resource);", false, false, false),
        ("permit (principal, action, resource in Server::\"s\");", false, false, false),
        ("permit (principal, action in Action::\"administer\", resource);", true, true, true),
        ("permit (principal, action == Action::\"view\", resource);", true, false, true),
        (
            "permit (principal, action in [Action::\"operate\"], resource) \
             when { context.protocol == \"admin\" };",
            false,
            true,
            false,
        ),
        (
            "permit (principal, action in Action::\"administer\", resource);
             forbid (principal, action, resource);",
            false,
            false,
            true,
        ),
    ] {
        let files = [("p.cedar".to_owned(), policy.to_owned())].into();
        let set = PolicySet::compile(&files).unwrap();
        assert_eq!(!set.warnings().is_empty(), warned, "{policy}: {:?}", set.warnings());
        for kind in kinds {
            for (action, may) in [(Action::View, views), (Action::Operate, changes)] {
                let request = Request {
                    principal: Principal {
                        kind,
                        id: "somebody".into(),
                        tenant: None,
                        teams: BTreeSet::new(),
                        roles: BTreeSet::new(),
                    },
                    action,
                    target: Target::new(TargetKind::Gateway, "", ""),
                    context: Context { protocol: "admin".into(), ..Context::default() },
                };
                assert_eq!(set.decide(&request).is_allowed(), may, "{policy}: {kind:?} {action:?}");
            }
        }
    }
}
