//! Two gateways on one database.

use super::world::{HOLD, World, id_of, url};
use crate::support::folder;
use crate::support::services::postgres;

#[test]
fn of_two_gateways_that_take_one_approval_one_calls_the_server() {
    let place = folder();
    let (_database, store) = postgres(place.path());
    let world = World::on(folder(), store, HOLD);
    let gateways = [world.start(), world.start()];
    let key = world.known_key(&gateways[0], &["--user", "ann"]);
    let dana = world.lead();
    let clients = gateways.each_ref().map(|gateway| {
        let client = crate::support::client::Modern::new(gateway, "/mcp/s").bearing(&key);
        crate::support::wait_for("the key is known", || {
            client.ask("tools/list", serde_json::json!({})).json()["result"]["tools"].is_array()
        });
        client
    });
    for round in 1..=5 {
        let arguments = url(&round.to_string());
        // Whichever is asked, it is one request.
        let id = id_of(&clients[0].call("get", arguments.clone()));
        assert_eq!(id_of(&clients[1].call("get", arguments.clone())), id);
        world.decide(&gateways[round % 2], &dana, &id, "approve", 200);
        let calls: Vec<_> = (0..6)
            .map(|at| {
                let (client, arguments) = (clients[at % 2].clone(), arguments.clone());
                std::thread::spawn(move || client.call("get", arguments).json())
            })
            .collect();
        let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        let ran = answers.iter().filter(|answer| answer.get("result").is_some()).count();
        assert_eq!((ran, world.called().len()), (1, round), "{answers:?}");
    }
}
