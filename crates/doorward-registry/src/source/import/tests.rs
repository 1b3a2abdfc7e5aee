//! Tests of imports, on SQLite.

use super::*;
use crate::source::{actor, entry};
use serde_json::json;

fn read(names: &[&str]) -> Read {
    let servers: Vec<_> = names
        .iter()
        .map(|name| {
            json!({ "server": { "name": name, "version": "1.0.0", "remotes": [
                { "type": "streamable-http", "url": "https://a.example/mcp" }] } })
        })
        .collect();
    let page = entry::read(json!({ "servers": servers }).to_string().as_bytes()).unwrap();
    let entries = page.entries.into_iter().map(|it| (it.name.clone(), it)).collect();
    Read { entries, ..Read::default() }
}

#[tokio::test]
async fn a_gateway_that_ends_while_it_proposes_has_proposed_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doorward.db");
    let store = Store::open(&doorward_store::Location::Sqlite(path)).await.unwrap();
    let store = store.acting(actor("public"));
    let settings = Settings::default();
    let registry: RegistrySettings =
        serde_json::from_value(json!({ "url": "https://registry.example" })).unwrap();
    let import = Import { store: &store, settings: &settings, registry: &registry, name: "public" };
    let (names, found) = (["a.b/made", "a.b/named"], read(&["a.b/made", "a.b/named"]));
    // Both had a name stored, and of one the server was proposed.
    for (name, listed) in names.into_iter().zip(found.entries.values()) {
        let offer = translate("public", listed).unwrap();
        let server = name.rsplit('/').next().unwrap();
        let known = RegistryEntry {
            registry: "public".into(),
            entry: name.into(),
            version: "1.0.0".into(),
            state: EntryState::Waiting,
            reason: String::new(),
            server: server.into(),
            proposed: String::new(),
            spec: offer.spec.clone(),
            digest: offer.digest.clone(),
            updated: 0,
        };
        store.put_registry_entry(&known).await.unwrap();
        if server == "made" {
            let Offer { spec, digest } = &offer;
            let proposal = ServerProposal { name: server, spec, digest, why: "" };
            store.propose_server(&proposal).await.unwrap();
        }
    }
    for read in [&found, &Read::default()] {
        assert_eq!(import.all(read).await.unwrap(), None);
        let servers = store.servers().await.unwrap();
        let servers: Vec<_> = servers.iter().map(|it| (it.name.as_str(), it.revision)).collect();
        assert_eq!(servers, [("made", 1), ("named", 1)]);
        for name in names {
            let known = store.registry_entry("public", name).await.unwrap().unwrap();
            assert_eq!((known.state, &*known.proposed), (EntryState::Proposed, "1.0.0"));
            assert_eq!((&*known.spec, &*known.digest), ("", ""));
        }
    }
    // What was not finished is, too, if the registry has nothing new to say.
    let known = store.registry_entry("public", "a.b/made").await.unwrap().unwrap();
    let offer = translate("public", &found.entries["a.b/made"]).unwrap();
    let Offer { spec, digest } = offer;
    let known = RegistryEntry { state: EntryState::Waiting, spec, digest, ..known };
    store.put_registry_entry(&known).await.unwrap();
    assert_eq!(import.all(&Read::default()).await.unwrap(), None);
    let known = store.registry_entry("public", "a.b/made").await.unwrap().unwrap();
    assert_eq!((known.state, &*known.server), (EntryState::Proposed, "made"));
    let servers = store.servers().await.unwrap();
    assert_eq!(servers.iter().map(|it| it.revision).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_name_that_is_taken_or_looks_like_another_is_not_used() {
    let taken = ["weather", "food", "Mail", "pay.pal"].map(str::to_owned);
    for (entry, expected) in [
        ("a.b/files", Some("files")),
        ("a.b/weather", Some("a.b.weather")),
        ("a.b/MAIL", Some("a.b.MAIL")),
        ("a.b/f0od", Some("a.b.f0od")),
        ("a.b/status", Some("a.b.status")),
        ("pay/pal", Some("pal")),
        ("weather/weather", Some("weather.weather")),
    ] {
        assert_eq!(free_name(entry, &taken).as_deref(), expected, "{entry}");
    }
    let taken = ["x", "a.x"].map(str::to_owned);
    assert_eq!(free_name("a/x", &taken), None);
}
