//! Replicas whose definitions differ from the approved ones.

use super::rugs;
use super::world::{Changing, Door, FIRST, World, hashes};
use crate::support::hostile::Era;
use crate::support::wait_for;

fn start(world: &World, replicas: &[&Changing]) -> Door {
    let urls: Vec<_> =
        replicas.iter().map(|it| format!("{{url: \"{}\"}}", it.server.url())).collect();
    world.start_with(&format!(
        "pins: {{mode: \"on\"}}\nservers:\n  s: {{replicas: [{}]}}",
        urls.join(", ")
    ))
}

#[test]
fn a_replica_that_says_something_else_is_out_of_rotation_until_it_says_what_was_approved() {
    for era in [Era::Modern, Era::Handshake] {
        let (one, other) = (Changing::start(era), Changing::start(era));
        let world = World::new();
        let gateway = start(&world, &[&one, &other]);
        gateway.accept_all();
        wait_for("both are in use", || gateway.replicas() == ["up", "up"]);

        other.say(&rugs().remove(0).1);
        other.tell(era, "tools");
        wait_for("the other is out", || gateway.replicas() == ["up", "differs"]);
        assert_eq!(gateway.drift_of("get").len(), 1);
        for _ in 0..10 {
            assert_eq!(gateway.tools(), ["get", "other"], "{era:?}");
            assert!(gateway.calls("get") && gateway.calls("other"), "{era:?}");
        }

        // When all replicas differ, tools that changed in any of them cannot be called; the others can.
        one.say(&rugs().remove(1).1);
        one.tell(era, "tools");
        wait_for("both differ", || gateway.replicas() == ["differs", "differs"]);
        wait_for("it is not listed", || gateway.tools() == ["other"]);
        for _ in 0..5 {
            assert!(!gateway.calls("get"), "{era:?}");
            assert!(gateway.calls("other"), "{era:?}");
        }

        one.say(FIRST);
        one.tell(era, "tools");
        wait_for("one is back", || gateway.replicas() == ["up", "differs"]);
        wait_for("it is listed", || gateway.tools() == ["get", "other"]);
        assert!(gateway.calls("get"), "{era:?}");

        // The definition of the other replica is accepted, so now the first one differs.
        let changed = gateway.drift_of("get");
        assert_eq!(changed.len(), 1, "{era:?}: {changed:?}");
        assert_eq!(gateway.decide("accept", &hashes(&changed)), 200);
        wait_for("they have changed places", || gateway.replicas() == ["differs", "up"]);
        wait_for("it is served", || gateway.tools() == ["get", "other"]);
        assert!(gateway.calls("get"), "{era:?}");
        drop(gateway);

        one.forget();
        other.forget();
        let gateway = start(&world, &[&one, &other]);
        wait_for("the same after a restart", || gateway.replicas() == ["differs", "up"]);
        wait_for("it is served", || gateway.tools() == ["get", "other"]);
        assert!(gateway.calls("get"), "{era:?}");
    }
}
