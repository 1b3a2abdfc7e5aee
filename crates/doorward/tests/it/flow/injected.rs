//! An agent that obeys everything reads injected text, in every place where it can appear, and reaches nothing
//! without a person's approval. A day's work that only reads needs no approval.

use serde_json::json;

use super::world::{Client, WANTED, WITH_WORDS, WITHOUT_WORDS, World, is_held};
use crate::support::client::Answer;

/// How the text reaches the agent.
type Reading = fn(&Client) -> Answer;

const PLACES: [(&str, Reading); 7] = [
    ("page", |client| client.call("web__get")),
    ("mail", |client| client.call("mail__inbox")),
    ("ticket", |client| client.call("tickets__show")),
    ("file name", |client| client.ask("resources/list", json!({}))),
    ("file", |client| client.ask("resources/read", json!({ "uri": "files+page:a" }))),
    ("error text", |client| client.call("web__fail")),
    ("prompt", |client| client.ask("prompts/get", json!({ "name": "mail__ask" }))),
];
const DESCRIPTION: (&str, Reading) =
    ("tool description", |client| client.ask("tools/list", json!({})));

/// Each client reads the text in a separate conversation and obeys it. No call may get through.
fn obey(world: &World, places: &[(&str, Reading)]) {
    for text in [WITH_WORDS, WITHOUT_WORDS] {
        world.say(text);
        world.describe(text);
        let gateway = world.start_with("after_start: clean, conversations: trusted", "");
        let keys =
            ["modern", "session"].map(|user| world.known_key(&[&gateway], &["--user", user]));
        for (place, read) in places {
            for client in world.clients_of(&gateway, &keys, Some(place)) {
                let found = read(&client);
                assert!(found.body.contains("bank__pay"), "{place}: {}", found.body);
                let obeyed = client.obeys(&found);
                assert_eq!(obeyed.len(), WANTED.len(), "{place}");
                for answer in obeyed {
                    assert!(is_held(&answer), "{place}: {}", answer.body);
                }
            }
        }
    }
    let reached: Vec<String> =
        world.called().into_iter().filter(|one| WANTED.contains(&one.as_str())).collect();
    assert_eq!(reached, Vec::<String>::new());
}

#[test]
fn an_agent_that_obeys_everything_reaches_no_sink() {
    obey(&World::new(), &PLACES);
}

#[test]
fn definitions_that_nobody_has_approved_are_content_where_settings_say_so() {
    let mut world = World::new();
    world.lists_bring = true;
    obey(&world, &[DESCRIPTION]);
}

#[test]
fn a_day_of_reading_is_never_asked_about() {
    let world = World::new();
    world.say(WITH_WORDS);
    let gateway = world.start();
    for client in world.clients(&gateway, "reader") {
        for round in 0..25 {
            for (place, read) in PLACES.into_iter().chain([DESCRIPTION]) {
                let found = read(&client);
                assert!(!is_held(&found), "{place} in round {round}: {}", found.body);
                assert!(found.json().get("result").is_some(), "{place}: {}", found.body);
            }
            assert_eq!(client.call("bank__balance").text(), WITH_WORDS);
        }
    }
}
