//! Audit records on real databases: the verifier detects tampering.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use crate::support::World;
use crate::support::chain::{
    AT, Writer, call, calls, ended, head, insert, intruder, run, signing, verify, written,
};
use doorward_store::{
    Act, Actor, AuditLog, Commit, Committed, Entry, Fault, Heads, KeyPlace, Kind, Place, Retention,
    Rule, Store, Verifier, WriterId, checkpoint,
};
use sqlx::AnyConnection;

#[tokio::test]
async fn what_is_written_verifies() {
    for world in World::all() {
        let store = world.open().await;
        let (one, two) = written(&store).await;
        let report = verify(&store).await;
        assert_eq!(report.findings, [], "{}", store.location());
        assert_eq!(report.checkpoints, 5);
        assert_eq!(report.chains[&one.log.id().0].last, 16);
        assert_eq!(report.chains[&two.log.id().0].last, 8);
        // One act for the signing key and four for Alice's keys.
        assert_eq!(report.chains["acts"].last, 5);
        assert_eq!(report.chains["acts"].checkpointed, 5);
    }
}

#[tokio::test]
async fn tampering_is_found_and_the_first_bad_record_named() {
    /// The name of the attack, its SQL, and the finding that the verifier must report.
    type Attack =
        (&'static str, fn(&str, &str) -> Vec<String>, fn(&str, &str) -> (String, i64, Fault));
    let attacks: [Attack; 11] = [
        (
            "a record is changed",
            |one, _| {
                vec![format!(
                    "UPDATE audit_blocks SET body = REPLACE(body, '\"id\":\"11\"', '\"id\":\"99\"') WHERE writer = '{one}'"
                )]
            },
            |one, _| (one.into(), 6, Fault::Changed),
        ),
        (
            "an act is changed",
            |_, _| {
                vec!["UPDATE audit_blocks SET body = REPLACE(body, 'root', 'somebody') WHERE writer = 'acts' AND first_seq = 3".into()]
            },
            |_, _| ("acts".into(), 3, Fault::Changed),
        ),
        (
            "a block is removed",
            |_, two| {
                vec![format!("DELETE FROM audit_blocks WHERE writer = '{two}' AND first_seq = 3")]
            },
            |_, two| (two.into(), 3, Fault::Missing),
        ),
        (
            "the end is cut off, and with it the word on where it was",
            |_, two| {
                vec![
                    format!("DELETE FROM audit_blocks WHERE writer = '{two}' AND first_seq >= 5"),
                    format!(
                        "UPDATE audit_writers SET seq = 4, hash = (SELECT SUBSTR(body, LENGTH(body) - 44, 43) \
                         FROM audit_blocks WHERE writer = '{two}' AND first_seq = 3) WHERE id = '{two}'"
                    ),
                ]
            },
            |_, two| (two.into(), 5, Fault::CutOff),
        ),
        (
            "the end is cut off",
            |one, _| {
                vec![format!("DELETE FROM audit_blocks WHERE writer = '{one}' AND first_seq >= 13")]
            },
            |one, _| (one.into(), 13, Fault::CutOff),
        ),
        (
            "a whole chain is taken away",
            |_, two| {
                vec![
                    format!("DELETE FROM audit_blocks WHERE writer = '{two}'"),
                    format!("DELETE FROM audit_writers WHERE id = '{two}'"),
                ]
            },
            |_, two| (two.into(), 1, Fault::CutOff),
        ),
        (
            "the beginning is taken away",
            |_, two| {
                vec![format!("DELETE FROM audit_blocks WHERE writer = '{two}' AND first_seq = 1")]
            },
            |_, two| (two.into(), 1, Fault::Missing),
        ),
        (
            "two blocks change places",
            |one, _| {
                vec![
                    format!(
                        "UPDATE audit_blocks SET first_seq = 1000 WHERE writer = '{one}' AND first_seq = 1"
                    ),
                    format!(
                        "UPDATE audit_blocks SET first_seq = 1 WHERE writer = '{one}' AND first_seq = 5"
                    ),
                    format!(
                        "UPDATE audit_blocks SET first_seq = 5 WHERE writer = '{one}' AND first_seq = 1000"
                    ),
                ]
            },
            |one, _| (one.into(), 1, Fault::Missing),
        ),
        (
            "a block is repeated",
            |one, _| {
                vec![format!(
                    "INSERT INTO audit_blocks SELECT writer, 7000, last_seq, first_at, last_at, body FROM audit_blocks WHERE writer = '{one}' AND first_seq = 5"
                )]
            },
            |one, _| (one.into(), 5, Fault::Misplaced),
        ),
        (
            "records are taken away as if their time were over",
            |_, two| {
                vec![format!(
                    "UPDATE audit_blocks SET body = '{{\"writer\":\"{two}\",\"seq\":3,\"to\":4,\"removed\":\"x\",\"hash\":\"' || SUBSTR(body, LENGTH(body) - 44, 43) || '\"}}' WHERE writer = '{two}' AND first_seq = 3"
                )]
            },
            |_, two| (two.into(), 3, Fault::Unjustified),
        ),
        (
            "the keys are replaced",
            |one, _| {
                vec![format!(
                    "UPDATE audit_blocks SET body = REPLACE(body, '\"key\":\"', '\"key\":\"x') WHERE writer = '{one}' AND first_seq = 4"
                )]
            },
            |one, _| (one.into(), 4, Fault::Changed),
        ),
    ];
    for world in World::all() {
        for (what, attack, expected) in &attacks {
            let world = world.fresh().await;
            let store = world.open().await;
            let (one, two) = written(&store).await;
            let (one, two) = (one.log.id().0.clone(), two.log.id().0.clone());
            let mut intruder = intruder(&world).await;
            for sql in attack(&one, &two) {
                assert!(run(&mut intruder, &sql).await > 0, "{what}: {sql}");
            }
            let report = verify(&store).await;
            let (writer, seq, fault) = expected(&one, &two);
            let first = report.findings.first();
            let found = first.map(|it| (it.writer.clone(), it.seq, it.fault));
            assert_eq!(found, Some((writer, seq, fault)), "{what}: {:?}", report.findings);
        }
    }
}

/// Anybody with write access can rewrite a chain with valid hashes, but not the checkpoints that were signed before.
#[tokio::test]
async fn a_chain_that_was_written_anew_contradicts_its_checkpoints() {
    for world in World::all() {
        let store = world.open().await;
        let (one, two) = written(&store).await;
        let mut intruder = intruder(&world).await;
        let id = two.log.id().0.clone();
        run(&mut intruder, &format!("DELETE FROM audit_blocks WHERE writer = '{id}'")).await;
        let mut chain = doorward_store::Chain::new(&id, Default::default());
        let mut body = String::new();
        for (at, record) in calls(100..108).iter().enumerate() {
            if at > 0 {
                body.push('\n');
            }
            chain.append(&[record], &mut body);
        }
        let sql = format!("INSERT INTO audit_blocks VALUES ('{id}', 1, 8, {AT}, {AT}, '{body}')");
        run(&mut intruder, &sql).await;
        let hash = &chain.head().hash;
        run(&mut intruder, &format!("UPDATE audit_writers SET hash = '{hash}' WHERE id = '{id}'"))
            .await;
        let report = verify(&store).await;
        let first = report.findings.first().unwrap();
        assert_eq!((first.writer.as_str(), first.fault), (id.as_str(), Fault::Replaced));

        // A checkpoint that the intruder signs does not count.
        let own = AuditLog::open(&store, WriterId::new(9), Place::here("test")).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let foreign = store.audit_key(&KeyPlace::File(folder.path().join("key"))).await.unwrap();
        let mut chain = own.chain().clone();
        let mut body = String::new();
        checkpoint(
            &mut chain,
            &foreign,
            "2026-11-21T00:00:00.000000Z",
            0,
            &Heads::new(),
            &mut body,
        );
        let sql =
            format!("INSERT INTO audit_blocks VALUES ('{}', 1, 1, {AT}, {AT}, '{body}')", own.id());
        run(&mut intruder, &sql).await;
        let report = verify(&store).await;
        let bad = report.findings.iter().find(|it| it.writer == own.id().0).unwrap();
        assert_eq!((bad.seq, bad.fault), (1, Fault::BadCheckpoint));
        drop(one);
    }
}

#[tokio::test]
async fn a_commit_is_written_once_however_often_it_is_tried() {
    for world in World::all() {
        let store = world.open().await;
        let mut writer = Writer::open(&store, 1).await;
        let (commit, chain) = writer.commit(&calls(0..3));
        for _ in 0..3 {
            assert_eq!(writer.log.write(&commit).await.unwrap(), Committed::Written);
            writer.log.disconnect();
        }
        writer.log.advance(chain);
        writer.write(&calls(3..5)).await;
        // A record of another chain is not accepted in its place.
        let (other, _) = writer.commit(&calls(7..8));
        let id = writer.log.id().0.clone();
        let sql = format!("INSERT INTO audit_blocks VALUES ('{id}', 6, 6, {AT}, {AT}, 'x')");
        run(&mut intruder(&world).await, &sql).await;
        assert!(writer.log.write(&other).await.is_err());
    }
}

#[tokio::test]
async fn retention_leaves_a_chain_that_verifies_and_holds_what_is_held() {
    for world in World::all() {
        let store = world.open().await;
        let mut writer = Writer::open(&store, 1).await;
        for round in 0..6 {
            writer.write(&calls(round * 10..round * 10 + 4)).await;
            writer.write(&[call(round, "writes", "acme"), call(round, "reads", "globex")]).await;
        }
        writer.checkpoint().await;
        let rule = |class: Option<&str>, tenant: Option<&str>, before| Rule {
            class: class.map(Into::into),
            tenant: tenant.map(Into::into),
            before,
        };
        let late = i64::MAX / 2;
        let hold = store.hold_audit(Some("globex"), None, "case 17").await.unwrap();
        // Reads are removed; writes and the records that globex must retain stay.
        let retention =
            Retention { rules: vec![rule(Some("reads"), None, late), rule(None, None, 0)] };
        let done = store.retain_audit(&retention, &signing(&store).await).await.unwrap();
        assert_eq!((done.removed, done.held), (24, 6));
        let report = verify(&store).await;
        assert_eq!(report.findings, []);
        assert_eq!(report.removed, 24);
        // A second run removes nothing more.
        assert_eq!(
            store.retain_audit(&retention, &signing(&store).await).await.unwrap().removed,
            0
        );
        store.release_audit(&hold.id).await.unwrap();
        assert_eq!(
            store.retain_audit(&retention, &signing(&store).await).await.unwrap().removed,
            6
        );
        // A tenant's rule takes precedence over the rule for the class.
        let all = Retention { rules: vec![rule(None, None, late), rule(None, Some("acme"), 0)] };
        store.retain_audit(&all, &signing(&store).await).await.unwrap();
        let report = verify(&store).await;
        assert_eq!(report.findings, []);
        let kept: BTreeMap<_, _> = report.chains.into_iter().collect();
        assert_eq!(kept[&writer.log.id().0].last, 37);
        writer.write(&calls(90..92)).await;
        assert_eq!(verify(&store).await.findings, []);
    }
}

#[tokio::test]
async fn what_a_dead_process_left_open_is_known_and_it_is_ended_once() {
    for world in World::all() {
        let store = world.open().await;
        let mut dead = Writer::open(&store, 1).await;
        let opened = |id: u32| {
            let class = "\"class\":\"writes\",\"at\":\"2026-11-21T00:00:00.000000Z\"";
            format!("\"kind\":\"opened\",\"id\":\"{id}\",{class},\"tenant\":\"acme\"")
        };
        let closed = |id: u32| format!("\"kind\":\"closed\",\"id\":\"{id}\"");
        dead.write(&[opened(1), opened(2), closed(1)]).await;
        dead.checkpoint().await;
        dead.write(&[opened(3), closed(2), opened(4)]).await;
        dead.write(&[closed(4), opened(5)]).await;
        let mut heir = Writer::open(&store, 2).await;
        let open = heir.log.left_open(&dead.log.id().0).await.unwrap();
        let ids: Vec<&str> = open.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["3", "5"]);
        assert_eq!(open[0].tenant.as_deref(), Some("acme"));

        let mut seen = BTreeMap::new();
        // The writer is this process, which is alive. Its heartbeat alone would make it look dead.
        let patience = std::time::Duration::from_secs(60);
        assert!(heir.log.dead(&mut seen, patience).await.unwrap().is_empty());
        let dead_by_heart = heir.log.dead(&mut seen, std::time::Duration::ZERO).await.unwrap();
        assert_eq!(dead_by_heart.len(), 1);

        let ended = doorward_store::Ended {
            writer: dead.log.id().clone(),
            beats: dead_by_heart[0].beats,
            charges: BTreeMap::new(),
            usage: doorward_store::Tally::default(),
        };
        // The writer sends a heartbeat while its death is being recorded, so it is not declared dead.
        assert!(dead.log.beat().await.unwrap());
        let (commit, _) = heir.commit(&[closed(3), closed(5)]);
        let commit = Commit { ends: Some(ended.clone()), ..commit };
        assert_eq!(heir.log.write(&commit).await.unwrap(), Committed::TooLate);
        let ends = Some(doorward_store::Ended { beats: ended.beats + 1, ..ended });
        let head = dead.log.chain().head();
        let died = format!(
            "\"kind\":\"event\",\"event\":\"writer.died\",\"died\":\"{}\",\"last\":{},\"last_hash\":\"{}\"",
            dead.log.id(),
            head.seq,
            head.hash
        );
        let (commit, chain) = heir.commit(&[closed(3), closed(5), died]);
        let commit = Commit { ends: ends.clone(), ..commit };
        assert_eq!(heir.log.write(&commit).await.unwrap(), Committed::Written);
        heir.log.advance(chain);
        // The second heir is too late, and the dead writer learns that it was closed.
        let mut late = Writer::open(&store, 3).await;
        let (commit, _) = late.commit(&[closed(3), closed(5)]);
        let commit = Commit { ends, ..commit };
        assert_eq!(late.log.write(&commit).await.unwrap(), Committed::TooLate);
        let (commit, _) = dead.commit(&[closed(3)]);
        assert_eq!(dead.log.write(&commit).await.unwrap(), Committed::Fenced);
        assert!(!dead.log.beat().await.unwrap());
        heir.checkpoint().await;
        assert_eq!(verify(&store).await.findings, []);
    }
}

#[tokio::test]
async fn acts_stand_in_the_transaction_of_the_change_and_name_who_acted() {
    for world in World::all() {
        let store = world.open().await;
        let admin = Actor { via: "admin", name: "user \"eve\"".into(), address: None };
        let acting = store.acting(admin);
        acting.put_principal(&Entry::new(Kind::Team, "support")).await.unwrap();
        assert!(acting.remove_principal(Kind::Team, "nobody").await.is_err());
        acting.put_portal("desk", "{}").await.unwrap();
        // Concurrent acts are serialized and none is lost.
        let many = (0..20).map(|number| {
            let acting = acting.clone();
            tokio::spawn(async move {
                acting.put_principal(&Entry::new(Kind::User, &format!("u{number}"))).await
            })
        });
        for one in many.collect::<Vec<_>>() {
            one.await.unwrap().unwrap();
        }
        let mut scan = store.audit_chain(doorward_store::ACTS, 0);
        let mut blocks = scan.next().await.unwrap();
        while let more = scan.next().await.unwrap()
            && !more.is_empty()
        {
            blocks.extend(more);
        }
        assert_eq!(blocks.len(), 22);
        let first: serde_json::Value = serde_json::from_str(&blocks[0].body).unwrap();
        assert_eq!(first["act"], "principal.put");
        assert_eq!(first["subject"], "team support");
        assert_eq!(first["actor"]["name"], "user \"eve\"");
        assert_eq!(verify(&store).await.findings, []);
        let _ = Act::new("x", "y");
    }
}

/// Appends an act to the chain of acts, as anybody with write access to the database can.
async fn append_act(store: &Store, intruder: &mut AnyConnection, members: &str) {
    let (seq, hash) = head(store, "acts").await;
    let mut chain = doorward_store::Chain::new("acts", doorward_store::Head { seq, hash });
    let mut body = String::new();
    chain.append(&[members], &mut body);
    insert(intruder, "acts", seq + 1, seq + 1, &body).await;
    let sql = format!(
        "UPDATE audit_writers SET seq = {}, hash = '{}' WHERE id = 'acts'",
        seq + 1,
        chain.head().hash
    );
    run(intruder, &sql).await;
}

/// Removes the second block of a chain as retention would, and adds an act that reports it.
async fn remove_unsigned(store: &Store, world: &World, writer: &str, with_hashes: bool) {
    let mut intruder = intruder(world).await;
    run(
        &mut intruder,
        &format!(
            "UPDATE audit_blocks SET body = '{{\"writer\":\"{writer}\",\"seq\":5,\"to\":7,\"removed\":\"x\",\"hash\":\"' \
             || SUBSTR(body, LENGTH(body) - 44, 43) || '\"}}' WHERE writer = '{writer}' AND first_seq = 5"
        ),
    )
    .await;
    let mut scan = store.audit_chain(writer, 4);
    let body = scan.next().await.unwrap()[0].body.clone();
    let hash = doorward_store::Line::read(&body).unwrap().hash;
    let removed = if with_hashes {
        format!("[[\"{writer}\",5,7,\"{hash}\"]],\"proof\":{{\"key\":\"x\",\"signature\":\"y\"}}")
    } else {
        format!("[[\"{writer}\",5,7]]")
    };
    let act = format!(
        "\"kind\":\"act\",\"class\":\"acts\",\"act\":\"audit.retention\",\"subject\":\"x\",\"details\":{{\"removed\":{removed}}}"
    );
    append_act(store, &mut intruder, &act).await;
}

#[tokio::test]
async fn a_removal_that_nobody_signed_is_found_though_an_act_says_so_and_a_checkpoint_follows() {
    for world in World::all() {
        for with_hashes in [false, true] {
            let world = world.fresh().await;
            let store = world.open().await;
            let writer = ended(&store, 1).await;
            let id = writer.log.id().0.clone();
            assert_eq!(verify(&store).await.findings, []);
            remove_unsigned(&store, &world, &id, with_hashes).await;
            // The next gateway signs the state that it finds.
            let mut next = Writer::open(&store, 2).await;
            next.write(&calls(50..52)).await;
            next.checkpoint().await;
            let report = verify(&store).await;
            let found: Vec<_> =
                report.findings.iter().map(|it| (&*it.writer, it.seq, it.fault)).collect();
            assert_eq!(found, [(&*id, 5, Fault::UnsignedRemoval)]);
            // The removal is accepted when the verifier trusts the database, or after an operator has signed it.
            let key = signing(&store).await;
            let keys: doorward_store::PublicKeys = [(key.id.clone(), key.public_bytes())].into();
            let trusting = Verifier::new(keys.clone(), true).trusting_database(true);
            assert_eq!(store.verify_audit(trusting).await.unwrap().findings, []);
            assert_eq!(store.sign_earlier_removals(&key, keys).await.unwrap(), 1);
            assert_eq!(verify(&store).await.findings, []);
        }
    }
}

#[tokio::test]
async fn what_is_behind_an_end_or_cut_off_before_it_is_found() {
    for world in World::all() {
        for attack in ["behind", "checkpoint", "end", "chain"] {
            let world = world.fresh().await;
            let store = world.open().await;
            let writer = ended(&store, 1).await;
            let id = writer.log.id().0.clone();
            assert_eq!(verify(&store).await.findings, []);
            let mut hand = intruder(&world).await;
            let (seq, hash) = head(&store, &id).await;
            assert_eq!(seq, 14);
            let (last, hash, expected) = match attack {
                "behind" | "chain" => {
                    let mut chain =
                        doorward_store::Chain::new(&id, doorward_store::Head { seq, hash });
                    let mut body = String::new();
                    chain.append(&[&call(99, "reads", "acme")], &mut body);
                    insert(&mut hand, &id, 15, 15, &body).await;
                    (15, chain.head().hash.clone(), Fault::AfterEnd)
                }
                // Cut off the last checkpoint, or also the end and the records since the checkpoint before.
                "checkpoint" | "end" => {
                    let from = if attack == "end" { 13 } else { 14 };
                    let sql = format!(
                        "DELETE FROM audit_blocks WHERE writer = '{id}' AND first_seq >= {from}"
                    );
                    run(&mut hand, &sql).await;
                    let mut scan = store.audit_chain(&id, from - 3);
                    let blocks = scan.next().await.unwrap();
                    let line = blocks.last().unwrap().lines().next_back().unwrap().to_owned();
                    let hash = doorward_store::Line::read(&line).unwrap().hash;
                    let fault = if attack == "end" { Fault::NoEnd } else { Fault::Unsigned };
                    (from - 1, hash, fault)
                }
                _ => unreachable!(),
            };
            let sql =
                format!("UPDATE audit_writers SET seq = {last}, hash = '{hash}' WHERE id = '{id}'");
            run(&mut hand, &sql).await;
            let faults: Vec<_> = verify(&store).await.findings.iter().map(|it| it.fault).collect();
            assert!(faults.contains(&expected), "{attack}: {faults:?}");
        }
    }
}

#[tokio::test]
async fn without_a_key_that_is_trusted_nothing_verifies_but_what_no_gateway_wrote() {
    for world in World::all() {
        let store = world.open().await;
        let admin = store.acting(Actor { via: "command", name: "root".into(), address: None });
        admin.put_principal(&Entry::new(Kind::Team, "support")).await.unwrap();
        let nobody = || Verifier::new(BTreeMap::new(), true);
        assert_eq!(store.verify_audit(nobody()).await.unwrap().findings, []);
        ended(&store, 1).await;
        let report = store.verify_audit(nobody()).await.unwrap();
        assert!(report.findings.iter().any(|it| it.fault == Fault::NoKey), "{report:?}");
        assert!(report.findings.iter().any(|it| it.fault == Fault::BadCheckpoint), "{report:?}");
    }
}

#[tokio::test]
async fn retention_takes_only_what_a_checkpoint_vouches_for_and_reads_records_not_text() {
    for world in World::all() {
        let store = world.open().await;
        let mut writer = Writer::open(&store, 1).await;
        let named = call(1, "reads", "acme").replace("\"id\":\"1\"", "\"id\":\"audit.retention\"");
        writer.write(&[named, call(2, "reads", "acme")]).await;
        let all =
            Retention { rules: vec![Rule { class: None, tenant: None, before: i64::MAX / 2 }] };
        let key = signing(&store).await;
        let done = store.retain_audit(&all, &key).await.unwrap();
        assert_eq!((done.removed, done.unvouched > 0), (0, true));
        writer.checkpoint().await;
        writer.write(&calls(5..7)).await;
        // Retention does not sign the removal of changed records: the checkpoint vouches for different ones.
        store.retain_audit(&all, &key).await.unwrap();
        let report = verify(&store).await;
        assert_eq!(report.findings, []);
        let left = &report.chains[&writer.log.id().0];
        assert_eq!((left.last, report.removed >= 2), (5, true));
        writer.checkpoint().await;
        let id = writer.log.id().0.clone();
        let sql = format!(
            "UPDATE audit_blocks SET body = REPLACE(body, '\"id\":\"5\"', '\"id\":\"6\"') WHERE writer = '{id}' AND first_seq = 4"
        );
        assert_eq!(run(&mut intruder(&world).await, &sql).await, 1);
        store.retain_audit(&all, &key).await.unwrap();
        let report = verify(&store).await;
        assert!(report.findings.iter().any(|it| it.fault == Fault::Changed), "{report:?}");
    }
}
