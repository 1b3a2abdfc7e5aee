//! The same tests on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use crate::support::World;
use doorward_store::{
    Entry, Error, Kind, Location, MasterKey, NewGrant, NewKey, NewTicket, OpenError, Presented,
    Scopes, Store, TicketKind, now,
};

fn key_for(owner: &str) -> NewKey {
    NewKey {
        label: "laptop".into(),
        owner: Entry { tenant: Some("acme".into()), ..Entry::new(Kind::User, owner) },
        scopes: Scopes { servers: vec!["tickets".into()], read_only: true, ..Scopes::default() },
        expires: None,
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    for world in World::all() {
        let store = world.open().await;
        let (made, text) = store.create_key(&key_for("alice")).await.unwrap();
        store.close().await;
        let store = world.open().await;
        let kept = store.keys().await.unwrap();
        assert_eq!(kept, [made]);
        assert!(kept[0].is(&Presented::read(&text).unwrap()));
        assert_eq!(kept[0].scopes, key_for("alice").scopes);
        let people = store.principals().await.unwrap();
        assert_eq!(people.len(), 1);
        assert_eq!(people[0].tenant.as_deref(), Some("acme"));
        store.close().await;
    }
}

#[tokio::test]
async fn a_rotated_key_overlaps_and_a_revoked_one_does_not() {
    for world in World::all() {
        let store = world.open().await;
        let expires = Some(now() + 1000);
        let (old, old_text) =
            store.create_key(&NewKey { expires, ..key_for("alice") }).await.unwrap();
        let (new, new_text) = store.rotate_key(&old.id, 60).await.unwrap();
        let old = store.key(&old.id).await.unwrap();
        assert_eq!(old.replaced_by.as_ref(), Some(&new.id));
        assert!(old.is_valid_at(now()) && !old.is_valid_at(now() + 61));
        assert_eq!((&new.owner, &new.scopes), (&old.owner, &old.scopes));
        assert!((new.expires.unwrap() - now() - 1000).abs() <= 2);
        assert!(!new.is(&Presented::read(&old_text).unwrap()));
        assert!(new.is(&Presented::read(&new_text).unwrap()));
        assert!(matches!(store.rotate_key(&old.id, 60).await, Err(Error::Refused(_))));
        let revoked = store.revoke_key(&new.id).await.unwrap();
        assert!(!revoked.is_valid_at(now()));
        assert_eq!(store.revoke_key(&new.id).await.unwrap(), revoked);
        assert!(matches!(store.rotate_key(&new.id, 60).await, Err(Error::Refused(_))));
        let nobody = doorward_store::KeyId("nobody".into());
        assert!(matches!(store.revoke_key(&nobody).await, Err(Error::Absent { .. })));
        store.close().await;
    }
}

#[tokio::test]
async fn every_change_counts() {
    for world in World::all() {
        let store = world.open().await;
        let other = world.open().await;
        let before = other.revision().await.unwrap();
        store.put_principal(&Entry::new(Kind::Team, "support")).await.unwrap();
        assert_eq!(other.revision().await.unwrap(), before + 1);
        let refused = store.remove_principal(Kind::Team, "nobody").await;
        assert!(matches!(refused, Err(Error::Absent { .. })));
        assert_eq!(other.revision().await.unwrap(), before + 1);
        store.remove_principal(Kind::Team, "support").await.unwrap();
        assert_eq!(store.principals().await.unwrap(), []);
        store.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn changes_of_several_replicas_do_not_get_lost() {
    for world in World::all() {
        let stores = [world.open().await, world.open().await];
        let before = stores[0].revision().await.unwrap();
        let writing = (0..20).map(|number| {
            let store = stores[number % 2].clone();
            async move { store.create_key(&key_for(&format!("user-{number}"))).await }
        });
        for made in futures(writing).await {
            made.unwrap();
        }
        assert_eq!(stores[0].keys().await.unwrap().len(), 20);
        assert_eq!(stores[1].revision().await.unwrap(), before + 20);
        for store in stores {
            store.close().await;
        }
    }
}

async fn futures<F: Future + Send + 'static>(all: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F::Output: Send,
{
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

#[tokio::test]
async fn policies_are_numbered_and_rolled_back() {
    for world in World::all() {
        let store = world.open().await;
        assert_eq!(store.active_policies().await.unwrap(), None);
        let refused = store.roll_back_policies(None).await;
        assert!(matches!(refused, Err(Error::Refused(_))));
        let set = |text: &str| BTreeMap::from([("main.cedar".to_owned(), text.to_owned())]);
        assert_eq!(store.apply_policies(&set("one"), "the first").await.unwrap(), 1);
        assert_eq!(store.apply_policies(&set("two"), "").await.unwrap(), 2);
        assert_eq!(store.active_policies().await.unwrap().unwrap().files, set("two"));
        assert_eq!(store.roll_back_policies(None).await.unwrap(), 1);
        let active = store.active_policies().await.unwrap().unwrap();
        assert_eq!((active.version, active.note.as_str()), (1, "the first"));
        assert_eq!(store.roll_back_policies(Some(2)).await.unwrap(), 2);
        let absent = store.roll_back_policies(Some(9)).await;
        assert!(matches!(absent, Err(Error::Absent { .. })));
        let history = store.policy_activations().await.unwrap();
        let history: Vec<i64> = history.iter().map(|one| one.version).collect();
        assert_eq!(history, [2, 1, 2, 1]);
        store.close().await;
    }
}

#[tokio::test]
async fn credentials_are_sealed_and_sealed_anew() {
    for world in World::all() {
        let store = world.open().await;
        let (old, new) =
            (MasterKey::new(&"a".repeat(32)).unwrap(), MasterKey::new(&"b".repeat(32)).unwrap());
        store.put_credential(&old, "tickets", (Kind::User, "alice"), "planted-1").await.unwrap();
        store.put_credential(&old, "tickets", (Kind::Team, "support"), "planted-2").await.unwrap();
        store.put_credential(&old, "tickets", (Kind::User, "alice"), "planted-3").await.unwrap();
        let all = store.credentials().await.unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(&**all[1].open(&old).unwrap(), "planted-3");
        assert!(all[1].open(&new).is_err());
        assert!(store.rekey(&new, &old).await.is_err(), "with the wrong key nothing is done");
        assert_eq!(store.rekey(&old, &new).await.unwrap(), 2);
        let all = store.credentials().await.unwrap();
        assert_eq!(&**all[0].open(&new).unwrap(), "planted-2");
        store.remove_credential("tickets", Kind::Team, "support").await.unwrap();
        let again = store.remove_credential("tickets", Kind::Team, "support").await;
        assert!(matches!(again, Err(Error::Absent { .. })));
        store.close().await;
        if let Location::Sqlite(path) = &world.location {
            for file in std::fs::read_dir(path.parent().unwrap()).unwrap().flatten() {
                let bytes = std::fs::read(file.path()).unwrap();
                assert!(!bytes.windows(7).any(|part| part == b"planted"));
            }
        }
    }
}

#[tokio::test]
async fn a_group_is_renamed_wherever_it_is_kept_or_nowhere() {
    for world in World::all() {
        let store = world.open().await;
        let master = MasterKey::new(&"a".repeat(32)).unwrap();
        let member = |name: &str| Entry {
            teams: ["payments".to_owned(), "support".to_owned()].into(),
            ..Entry::new(Kind::User, name)
        };
        store.put_principal(&member("alice")).await.unwrap();
        store
            .put_principal(&Entry { disabled: true, ..Entry::new(Kind::Team, "payments") })
            .await
            .unwrap();
        let team = NewKey { owner: Entry::new(Kind::Team, "payments"), ..key_for("x") };
        let (key, _) = store.create_key(&team).await.unwrap();
        let owner = (Kind::Team, "payments");
        store.put_credential(&master, "bank", owner, "s3cret").await.unwrap();
        let amount = "5".parse().unwrap();
        store.grant_credit("team/payments", amount, "").await.unwrap();
        let rename = |new: &'static str, key| store.rename_group(Kind::Team, "payments", new, key);
        // Renaming is atomic: without the master key, or where the name is taken, nothing changes.
        for (new, key) in
            [("okta:payments", None), ("payments", Some(&master)), ("", Some(&master))]
        {
            assert!(matches!(rename(new, key).await, Err(Error::Refused(_))), "{new}");
        }
        store.put_principal(&Entry::new(Kind::Team, "taken")).await.unwrap();
        assert!(matches!(rename("taken", Some(&master)).await, Err(Error::Refused(_))));
        assert_eq!(store.key(&key.id).await.unwrap().owner, "payments");
        let revision = store.revision().await.unwrap();
        assert!(rename("okta:payments", Some(&master)).await.unwrap() >= 5);
        assert_eq!(store.revision().await.unwrap(), revision + 1);
        let people = store.principals().await.unwrap();
        let alice = people.iter().find(|entry| entry.name == "alice").unwrap();
        assert!(alice.teams.contains("okta:payments") && alice.teams.contains("support"));
        assert!(!alice.teams.contains("payments"));
        assert!(people.iter().any(|entry| entry.name == "okta:payments" && entry.disabled));
        assert_eq!(store.key(&key.id).await.unwrap().owner, "okta:payments");
        let kept = &store.credentials().await.unwrap()[0];
        assert_eq!(
            (kept.owner.as_str(), &**kept.open(&master).unwrap()),
            ("okta:payments", "s3cret")
        );
        let accounts = store.credit_accounts().await.unwrap();
        assert!(accounts.iter().any(|account| account.id == "team/okta:payments"));
        assert!(!accounts.iter().any(|account| account.id == "team/payments"));
        assert!(matches!(rename("other", Some(&master)).await, Err(Error::Absent { .. })));
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_from_the_future_is_refused() {
    for world in World::all() {
        let store = world.open().await;
        store.close().await;
        sqlx::any::install_default_drivers();
        let url = match &world.location {
            Location::Sqlite(path) => format!(
                "sqlite://{}",
                path.display().to_string().replace('?', "%3F").replace(' ', "%20")
            ),
            Location::Postgres(url) => url.clone(),
        };
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
        sqlx::query(newer).execute(&pool).await.unwrap();
        pool.close().await;
        let refused = Store::open(&world.location).await.unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 9999, .. }), "{refused}");
        assert!(refused.to_string().contains("newer doorward"), "{refused}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no.db");
    std::fs::write(&file, "this is not a database, however long it is made to be ......").unwrap();
    let refused = Store::open(&Location::Sqlite(file.clone())).await.unwrap_err().to_string();
    assert!(refused.contains("no.db") && refused.contains("not a database"), "{refused}");
    let nowhere: Location = "postgres://me:hunter2@127.0.0.1:9/none".parse().unwrap();
    let refused = Store::open(&nowhere).await.unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1:9") && !refused.contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_holds_no_key() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::sqlite();
    let store = world.open().await;
    let (_, text) = store.create_key(&key_for("alice")).await.unwrap();
    let Location::Sqlite(path) = &world.location else { unreachable!() };
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    store.close().await;
    // The secret follows the id, and may itself contain the separator.
    let secret = text.splitn(3, '_').nth(2).unwrap();
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
}

fn ticket(kind: TicketKind, secret: &str) -> NewTicket<'_> {
    let (redirect_uri, challenge) = (Some("http://127.0.0.1/"), Some("challenge"));
    NewTicket { kind, secret, redirect_uri, challenge, expires: now() + 60 }
}

async fn put_grant(store: &Store, master: &MasterKey, id: &str) -> doorward_store::Result<()> {
    let scopes = ["read".to_owned()].into();
    let grant = NewGrant {
        id,
        client: "desk",
        client_name: "Desk",
        subject: "alice",
        claims: "{}",
        resource: "https://gw.example",
        scopes: &scopes,
        secret: Some("what the provider gave"),
        expires: now() + 3600,
    };
    let code = format!("code of {id}");
    store
        .put_grant(master, &format!("login of {id}"), &grant, &ticket(TicketKind::Code, &code))
        .await
}

#[tokio::test]
async fn a_code_and_a_refresh_token_are_used_once_whoever_else_tries() {
    for world in World::all() {
        let stores = [world.open().await, world.open().await];
        let master = MasterKey::new(&"k".repeat(32)).unwrap();
        put_grant(&stores[0], &master, "one").await.unwrap();
        let again = put_grant(&stores[1], &master, "one").await;
        assert!(matches!(again, Err(Error::Refused(_))), "a login is finished once");
        let found = stores[1].ticket(TicketKind::Code, "code of one").await.unwrap().unwrap();
        assert_eq!((&*found.grant.subject, found.used), ("alice", None));
        assert_eq!(&**found.grant.secret(&master).unwrap().unwrap(), "what the provider gave");
        assert!(stores[1].ticket(TicketKind::Refresh, "code of one").await.unwrap().is_none());
        let before = stores[0].revision().await.unwrap();
        let using = (0..20).map(|number| {
            let store = stores[number % 2].clone();
            async move { store.use_ticket("code of one").await.unwrap() }
        });
        assert_eq!(futures(using).await.into_iter().filter(|first| *first).count(), 1);
        assert!(
            stores[0]
                .ticket(TicketKind::Code, "code of one")
                .await
                .unwrap()
                .unwrap()
                .used
                .is_some()
        );
        assert_eq!(stores[0].revision().await.unwrap(), before, "nobody need read anything again");
        assert!(stores[0].is_first("x", now() + 60).await.unwrap());
        assert!(!stores[1].is_first("x", now() + 60).await.unwrap());
        // Everything can be moved to a new master key.
        let next = MasterKey::new(&"n".repeat(32)).unwrap();
        assert!(stores[0].put_signing_key(&master, "key", "private", 0).await.unwrap());
        assert!(!stores[1].put_signing_key(&master, "other", "private", 0).await.unwrap());
        assert_eq!(stores[0].rekey(&master, &next).await.unwrap(), 2);
        let grant = stores[1].grant("one").await.unwrap().unwrap();
        assert!(grant.secret(&master).is_err() && grant.secret(&next).unwrap().is_some());
        assert_eq!(&**stores[1].signing_keys().await.unwrap()[0].open(&next).unwrap(), "private");
        for store in stores {
            store.close().await;
        }
    }
}

#[tokio::test]
async fn clients_are_bounded_and_take_their_grants_with_them() {
    for world in World::all() {
        let store = world.open().await;
        let master = MasterKey::new(&"k".repeat(32)).unwrap();
        assert!(store.put_client("desk", "192.0.2.1", "{}", Some("secret"), 1).await.unwrap());
        put_grant(&store, &master, "one").await.unwrap();
        assert!(store.client("desk").await.unwrap().unwrap().used.is_some());
        assert!(!store.put_client("more", "192.0.2.1", "{}", None, 1).await.unwrap());
        // A client without consent of the user is evicted to make room; other clients are not.
        assert!(store.put_client("passing", "192.0.2.1", "{}", None, 2).await.unwrap());
        assert!(store.put_client("next", "192.0.2.1", "{}", None, 2).await.unwrap());
        assert!(store.client("passing").await.unwrap().is_none());
        store.remove_client("next").await.unwrap();
        // Of several candidates, one from the network with most clients is evicted, not a client from elsewhere.
        let put =
            async |id: &str, network: &str| store.put_client(id, network, "{}", None, 4).await;
        for (id, network) in [("theirs", "192.0.2.9"), ("one", "192.0.2.2"), ("two", "192.0.2.2")] {
            assert!(put(id, network).await.unwrap());
        }
        for id in ["three", "four", "five"] {
            assert!(put(id, "192.0.2.2").await.unwrap());
            assert!(store.client("theirs").await.unwrap().is_some());
        }
        for other in store.clients().await.unwrap().iter().filter(|client| client.id != "desk") {
            store.remove_client(&other.id).await.unwrap();
        }
        store.prune_grants().await.unwrap();
        assert!(store.client("desk").await.unwrap().is_some());
        store.remove_client("desk").await.unwrap();
        assert!(!store.grant("one").await.unwrap().unwrap().is_good_at(now()));
        assert_eq!(store.revoked_grants(now() - 60).await.unwrap(), ["one"]);
        assert_eq!(
            (store.grants(false).await.unwrap().len(), store.grants(true).await.unwrap().len()),
            (0, 1)
        );
        assert!(matches!(store.remove_client("desk").await, Err(Error::Absent { .. })));
        store.close().await;
    }
}

/// No sequence of operations leaves a revoked or replaced key, or a used or revoked token, working.
mod sequences {
    use super::*;
    use doorward_store::KeyId;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Create,
        Rotate(usize),
        Revoke(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Create),
            (0..8usize).prop_map(Step::Rotate),
            (0..8usize).prop_map(Step::Revoke),
        ];
        proptest::collection::vec(step, 1..16)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_sequence_leaves_a_revoked_key_working(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let world = World::sqlite();
                let store = world.open().await;
                let mut made: Vec<KeyId> = Vec::new();
                let mut ended: Vec<KeyId> = Vec::new();
                for step in steps {
                    match step {
                        Step::Create => made.push(store.create_key(&key_for("a")).await.unwrap().0.id),
                        Step::Rotate(at) => {
                            let Some(old) = made.get(at).cloned() else { continue };
                            // Without overlap: the old key must stop working at once.
                            if let Ok((new, _)) = store.rotate_key(&old, 0).await {
                                made.push(new.id);
                                ended.push(old);
                            }
                        }
                        Step::Revoke(at) => {
                            let Some(old) = made.get(at).cloned() else { continue };
                            store.revoke_key(&old).await.unwrap();
                            ended.push(old);
                        }
                    }
                    for key in store.keys().await.unwrap() {
                        assert_eq!(key.is_valid_at(now()), !ended.contains(&key.id));
                    }
                }
                store.close().await;
            });
        }

        #[test]
        fn no_sequence_leaves_a_revoked_grant_working(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let world = World::sqlite();
                let store = world.open().await;
                let master = MasterKey::new(&"k".repeat(32)).unwrap();
                // For each grant: its last token, its used tokens, and whether it is revoked.
                let mut made: Vec<(String, Vec<String>, bool)> = Vec::new();
                for (number, step) in steps.into_iter().enumerate() {
                    match step {
                        Step::Create => {
                            let id = format!("g{number}");
                            put_grant(&store, &master, &id).await.unwrap();
                            store.put_ticket(&id, &ticket(TicketKind::Refresh, &id)).await.unwrap();
                            made.push((id, Vec::new(), false));
                        }
                        Step::Rotate(at) => {
                            let Some((last, used, _)) = made.get_mut(at) else { continue };
                            assert!(store.use_ticket(last).await.unwrap());
                            let next = format!("{last}+");
                            let id = last.split('+').next().unwrap().to_owned();
                            store.put_ticket(&id, &ticket(TicketKind::Refresh, &next)).await.unwrap();
                            used.push(std::mem::replace(last, next));
                        }
                        Step::Revoke(at) => {
                            let Some((last, _, revoked)) = made.get_mut(at) else { continue };
                            store.revoke_grant(last.split('+').next().unwrap()).await.unwrap();
                            *revoked = true;
                        }
                    }
                    for (last, used, revoked) in &made {
                        for token in used {
                            let found = store.ticket(TicketKind::Refresh, token).await.unwrap().unwrap();
                            assert!(found.used.is_some() && !store.use_ticket(token).await.unwrap());
                        }
                        let found = store.ticket(TicketKind::Refresh, last).await.unwrap().unwrap();
                        assert_eq!(found.grant.is_good_at(now()) && found.used.is_none(), !revoked);
                    }
                }
                store.close().await;
            });
        }
    }
}

#[tokio::test]
async fn a_batch_is_made_as_a_whole_or_not_at_all() {
    for world in World::all() {
        let store = world.open().await;
        let before = store.revision().await.unwrap();
        let batch = store.batch();
        batch.put_portal("a", "{}").await.unwrap();
        batch.put_principal(&Entry::new(Kind::Team, "t")).await.unwrap();
        assert!(store.portals().await.unwrap().is_empty(), "before it is committed");
        batch.commit_batch().await.unwrap();
        assert_eq!(store.portals().await.unwrap().len(), 1);
        assert_eq!(store.revision().await.unwrap(), before + 1);
        // One failing operation rolls back the whole batch.
        let batch = store.batch();
        batch.put_portal("b", "{}").await.unwrap();
        assert!(batch.remove_portal("nothing").await.is_err());
        assert!(batch.put_portal("c", "{}").await.is_err());
        assert!(batch.commit_batch().await.is_err());
        assert_eq!(store.portals().await.unwrap().len(), 1);
        // A dry run changes nothing and reports what would fail.
        let rehearsal = store.rehearsing().batch();
        rehearsal.put_portal("d", "{}").await.unwrap();
        assert!(rehearsal.remove_portal("nothing").await.is_err());
        store.rehearsing().put_portal("d", "{}").await.unwrap();
        assert_eq!(store.portals().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_change_is_made_at_the_revision_it_was_decided_at() {
    for world in World::all() {
        let store = world.open().await;
        let revision = store.revision().await.unwrap();
        let decided = store.at_revision(revision);
        store.put_portal("a", "{}").await.unwrap();
        assert!(matches!(decided.put_portal("b", "{}").await, Err(Error::Moved)));
        let batch = store.at_revision(revision + 1).batch();
        batch.put_portal("b", "{}").await.unwrap();
        batch.put_portal("c", "{}").await.unwrap();
        batch.commit_batch().await.unwrap();
        assert_eq!(store.portals().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn an_idempotency_key_is_taken_with_the_change() {
    for world in World::all() {
        let store = world.open().await;
        let claim = || doorward_store::Claim::new("me".into(), "k".into(), "d".into());
        // A failed operation does not claim the idempotency key.
        assert!(store.claiming(claim()).remove_portal("nothing").await.is_err());
        assert_eq!(store.claimed("me", "k").await.unwrap(), None);
        store.claiming(claim()).put_portal("a", "{}").await.unwrap();
        let again = store.claiming(claim()).put_portal("b", "{}").await;
        assert!(matches!(again, Err(Error::Claimed)));
        assert_eq!(store.portals().await.unwrap().len(), 1);
        assert_eq!(store.claimed("me", "k").await.unwrap().unwrap().response, None);
        store.answer_claim(&claim(), 201, "{}").await.unwrap();
        // Another request with the same key does not replace the response.
        let other = doorward_store::Claim::new("me".into(), "k".into(), "e".into());
        store.answer_claim(&other, 200, "other").await.unwrap();
        let known = store.claimed("me", "k").await.unwrap().unwrap();
        assert_eq!((known.digest.as_str(), known.response), ("d", Some((201, "{}".into()))));
        assert_eq!(store.claimed("you", "k").await.unwrap(), None);
        // An operation without a change in the store claims the key together with its response.
        let reload = doorward_store::Claim::new("me".into(), "reload".into(), "d".into());
        store.answer_claim(&reload, 200, "{}").await.unwrap();
        let known = store.claimed("me", "reload").await.unwrap().unwrap();
        assert_eq!(known.response, Some((200, "{}".into())));
    }
}

#[tokio::test]
async fn entries_of_an_account_come_page_by_page() {
    for world in World::all() {
        let store = world.open().await;
        for amount in 1..=5 {
            store.grant_credit("tenant/acme", doorward_store::Amount(amount), "x").await.unwrap();
        }
        let all = store.credit_entries("tenant/acme", None, 100).await.unwrap();
        assert_eq!(all.len(), 5);
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.credit_entries("tenant/acme", after.as_ref(), 2).await.unwrap();
            let Some(last) = page.last().cloned() else { break };
            after = Some(last);
            seen.extend(page);
        }
        assert_eq!(seen, all);
    }
}
