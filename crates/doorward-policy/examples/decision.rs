//! The cost of a decision, and that it does not grow with policies about other tools: `cargo run --release -p
//! doorward-policy --example decision`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// As in the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use doorward_policy::{Arguments, Case, PolicySet};

/// Policies as a platform team would have them: five about all tools of the server that is called, five
/// about the very tool, the others about other tools.
fn policies(count: usize) -> BTreeMap<String, String> {
    let mut text = String::new();
    for number in 0..count {
        let (scope, condition) = match number % 20 {
            0 if number < 100 => (
                "resource in Server::\"tickets\"".to_owned(),
                format!("principal in Team::\"team-{number}\" || context.time.hour >= 9"),
            ),
            1 if number < 100 => (
                "resource == Tool::\"tickets/close\"".to_owned(),
                "context.arguments has amount && context.arguments.amount.lessThan(decimal(\"100.0\"))"
                    .to_owned(),
            ),
            _ => (
                format!("resource == Tool::\"other/tool-{number}\""),
                format!("principal == User::\"user-{number}\" && resource.write"),
            ),
        };
        text.push_str(&format!(
            "@id(\"p{number}\") @arguments(\"amount?: decimal\") permit (principal, action == Action::\"call\", {scope}) when {{ {condition} }};\n"
        ));
    }
    BTreeMap::from([("all.cedar".into(), text)])
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let mut request = Case {
        user: Some("alice".into()),
        teams: ["support".to_owned(), "eu".to_owned()].into(),
        roles: ["reader".to_owned()].into(),
        tenant: Some("acme".into()),
        tool: Some("tickets/close".into()),
        time: Some("mon 10:00".into()),
        arguments: [("amount".to_owned(), 12.5.into())].into_iter().collect(),
        ..Case::default()
    }
    .request()
    .unwrap_or_else(|why| panic!("{why}"));
    println!("{:>10} {:>14} {:>14} {:>14}", "policies", "compiling", "a call", "in a list");
    for count in [10, 100, 1_000, 10_000] {
        let files = policies(count);
        let began = Instant::now();
        let set = PolicySet::compile(&files).unwrap_or_else(|all| panic!("{all:?}"));
        let compiling = began.elapsed();
        let known = request.context.arguments.clone();
        let mut costs = Vec::new();
        for arguments in [known.clone(), Arguments::Any] {
            request.context.arguments = arguments;
            let times = (0..2_000).map(|_| {
                let began = Instant::now();
                assert!(set.decide(&request).is_possible());
                began.elapsed()
            });
            costs.push(median(times.collect()));
        }
        request.context.arguments = known;
        println!("{count:>10} {compiling:>14.1?} {:>14.1?} {:>14.1?}", costs[0], costs[1]);
    }
}
