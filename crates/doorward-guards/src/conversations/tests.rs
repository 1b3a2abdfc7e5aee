//! Bounds of conversations in memory.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::flow::{Caller, Flow};
use doorward_config::Separation;
use proptest::prelude::*;

fn conversations(own: ConversationSettings) -> (Arc<Conversations>, Carrier) {
    let mut settings = Settings { conversations: own, ..Settings::default() };
    settings.flow.conversations = Separation::Trusted;
    let principal = Arc::from("user \"a\"");
    let caller =
        Caller { principal: &principal, tenant: None, session: None, conversation: Some("1") };
    let carrier = Flow::new(&settings).carrier(&caller);
    (Arc::new(Conversations::new(&settings)), carrier)
}

fn call(arguments: &str) -> Option<Key> {
    Some(digest_of("s", "tools/call", "get", arguments.as_bytes()))
}

#[test]
fn the_model_is_warned_first_and_refused_then() {
    let (all, carrier) =
        conversations(ConversationSettings { calls: Some(5), ..ConversationSettings::default() });
    let counter = all.counter(&carrier, None);
    let mut came = Vec::new();
    for number in 0..7 {
        let counts = all.count_now(&counter, call(&number.to_string()), 0).unwrap();
        came.push((all.warning(&counts).is_some(), all.refuses(&counts).map(|why| why.bound)));
    }
    let refused = (true, Some(Bound::Calls));
    let (quiet, warned) = ((false, None), (true, None));
    assert_eq!(came, [quiet, quiet, quiet, warned, warned, refused, refused]);
}

#[test]
fn equal_calls_count_only_in_a_row_and_continuations_not_at_all() {
    let bounded = ConversationSettings { repeated: Some(3), ..ConversationSettings::default() };
    let (all, carrier) = conversations(bounded);
    let counter = all.counter(&carrier, None);
    let repeated = |one: Option<Key>| all.count_now(&counter, one, 0).unwrap().repeated;
    let made = [call("a"), call("a"), None, call("a"), call("b"), call("a")].map(repeated);
    assert_eq!(made, [1, 2, 2, 3, 1, 1]);
    let counts = Counts { repeated: 4, ..Counts::default() };
    assert!(all.refuses(&counts).unwrap().message.contains("4 times in a row"));
    assert!(all.warning(&Counts { repeated: 3, ..Counts::default() }).is_some());
    assert!(all.warning(&Counts { repeated: 2, ..Counts::default() }).is_none());
}

#[test]
fn what_is_spent_refuses_the_next_call() {
    let bounded = ConversationSettings {
        cost: Some("0.5".parse().unwrap()),
        ..ConversationSettings::default()
    };
    let (all, carrier) = conversations(bounded);
    let counter = all.counter(&carrier, None);
    let next = || all.count_now(&counter, call("a"), 0).unwrap();
    assert!(all.refuses(&next()).is_none());
    assert!(all.add_cost(&counter, 400_000).is_none());
    assert_eq!(all.warning(&next()).unwrap().matches("0.4 of 0.5").count(), 1);
    assert!(all.add_cost(&counter, 100_000).is_none());
    assert_eq!(all.refuses(&next()).unwrap().bound, Bound::Cost);
}

#[test]
fn too_many_agents_are_refused_and_traces_count_apart() {
    let bounded = ConversationSettings {
        depth: Some(2),
        calls: Some(1),
        by: CountBy::Trace,
        ..ConversationSettings::default()
    };
    let (all, carrier) = conversations(bounded);
    let (one, two) = (all.counter(&carrier, Some(&[1; 16])), all.counter(&carrier, Some(&[2; 16])));
    assert_eq!(all.count_now(&one, call("a"), 2).unwrap().calls, 1);
    let counts = all.count_now(&two, call("a"), 3).unwrap();
    assert_eq!((counts.calls, all.refuses(&counts).unwrap().bound), (1, Bound::Depth));
    assert_eq!(all.counter(&carrier, None), Counter(carrier.key));
}

proptest! {
    /// A bound lets exactly as many calls pass, whatever they are.
    #[test]
    fn a_bound_lets_as_many_calls_pass(most in 1_u32..40, calls in proptest::collection::vec(0_u8..3, 0..80)) {
        let (all, carrier) =
            conversations(ConversationSettings { calls: Some(most), ..ConversationSettings::default() });
        let counter = all.counter(&carrier, None);
        let passed = calls.iter().filter(|one| {
            let counts = all.count_now(&counter, call(&one.to_string()), 0).unwrap();
            all.refuses(&counts).is_none()
        });
        prop_assert_eq!(passed.count(), calls.len().min(most as usize));
    }
}
