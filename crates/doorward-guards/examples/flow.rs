//! What flow rules and bounds of conversations cost a call whose caller carries nothing: finding its conversation, what that
//! carries, and counting the call. `cargo run --release -p doorward-guards --example flow`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use doorward_config::{AfterStart, ServerSettings, Settings};
use doorward_guards::conversations::{Conversations, digest_of};
use doorward_guards::flow::{Caller, Flow, Origin};

const CALLS: u32 = 500_000;
/// Others who carry something.
const OTHERS: usize = 10_000;

fn main() {
    let web =
        ServerSettings { brings: ["untrusted".to_owned()].into(), ..ServerSettings::sample() };
    let mut settings =
        Settings { servers: [("web".to_owned(), web)].into(), ..Settings::default() };
    settings.flow.after_start = AfterStart::Clean;
    settings.conversations.calls = Some(u32::MAX);
    settings.conversations.repeated = Some(u32::MAX);
    let (flow, conversations) = (Flow::new(&settings), Conversations::new(&settings));
    let labels = ["untrusted".to_owned()].into();
    let origin = Origin { call: "1".into(), server: "web".into(), target: "get".into(), at: 1 };
    for number in 0..OTHERS {
        let principal = Arc::from(format!("user \"{number}\""));
        let other = flow.carrier(&of(&principal, None));
        flow.bring_now(&other, &labels, &origin);
    }
    let principal = Arc::from("user \"alice\" of \"acme\" by \"assistant\"");
    let session = Arc::from("0123456789abcdef0123456789abcdef");
    for (what, session) in [("without a session", None), ("in a session", Some(&session))] {
        let caller = of(&principal, session);
        let start = Instant::now();
        for _ in 0..CALLS {
            let carrier = flow.carrier(black_box(&caller));
            assert!(flow.carried_now(&carrier).is_some_and(|carried| carried.labels.is_empty()));
        }
        println!("flow rules, a caller {what}: {:?} a call", start.elapsed() / CALLS);
    }
    let counter = conversations.counter(&flow.carrier(&of(&principal, None)), None);
    let arguments = "x".repeat(1_024);
    let start = Instant::now();
    for _ in 0..CALLS {
        let digest = digest_of("web", "tools/call", "get", black_box(arguments.as_bytes()));
        let counts = conversations.count_now(&counter, Some(digest), 1);
        assert!(counts.is_some_and(|counts| conversations.refuses(&counts).is_none()));
    }
    println!("bounds, arguments of 1 KiB: {:?} a call", start.elapsed() / CALLS);
    let start = Instant::now();
    for _ in 0..CALLS {
        assert!(black_box(&flow).is_on() && black_box(&conversations).is_on());
    }
    println!("whether there are any: {:?} a call", start.elapsed() / CALLS);
}

fn of<'a>(principal: &'a Arc<str>, session: Option<&'a Arc<str>>) -> Caller<'a> {
    Caller { principal, tenant: Some("acme"), session, conversation: None }
}
