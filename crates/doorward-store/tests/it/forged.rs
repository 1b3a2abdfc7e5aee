//! Forgeries by somebody who can write to the database but has no signing key: the verifier detects them whatever
//! they claim, and the next gateway does not sign them.

#![allow(clippy::unwrap_used)]

use crate::support::World;
use crate::support::chain::{
    AT, Writer, call, calls, ended, insert, intruder, run, signing, verify, written,
};
use doorward_store::{Block, Chain, Fault, Head, Report, Retention, Rule, Store, Verifier};
use sqlx::AnyConnection;

const START: &str =
    "\"kind\":\"start\",\"class\":\"events\",\"at\":\"2026-11-21T00:00:00.000000Z\"";
/// A chain id that sorts after all others.
const FORGED: &str = "ffffffff-00000009";

async fn lines(store: &Store, writer: &str) -> Vec<String> {
    let mut scan = store.audit_chain(writer, i64::MIN);
    let mut lines = Vec::new();
    loop {
        let blocks = scan.next().await.unwrap();
        if blocks.is_empty() {
            return lines;
        }
        lines.extend(blocks.iter().flat_map(Block::lines).map(str::to_owned));
    }
}

/// The members of a record, without those that link it into a chain.
fn members(line: &str) -> String {
    let (_, rest) = line.split_once("\"prev\":\"").unwrap();
    let (_, rest) = rest.split_once("\",").unwrap();
    rest.rsplit_once(",\"hash\"").unwrap().0.to_owned()
}

fn died(writer: &str, last: i64, hash: &str) -> String {
    format!(
        "\"kind\":\"event\",\"class\":\"events\",\"at\":\"2026-11-21T00:00:00.000000Z\",\"event\":\"writer.died\",\
         \"died\":\"{writer}\",\"last\":{last},\"last_hash\":\"{hash}\""
    )
}

/// Replaces a chain, one block per record, and updates the row of its head to match.
async fn put(hand: &mut AnyConnection, writer: &str, records: &[String]) -> Vec<Head> {
    run(hand, &format!("DELETE FROM audit_blocks WHERE writer = '{writer}'")).await;
    let mut chain = Chain::new(writer, Head::default());
    let mut heads = Vec::new();
    for record in records {
        let mut body = String::new();
        chain.append(&[record], &mut body);
        let Head { seq, hash } = chain.head().clone();
        insert(hand, writer, seq, seq, &body).await;
        heads.push(Head { seq, hash });
    }
    let Head { seq, hash } = chain.head();
    let row = format!(
        "UPDATE audit_writers SET ended = NULL, seq = {seq}, hash = '{hash}' WHERE id = '{writer}'"
    );
    run(hand, &row).await;
    heads
}

/// Adds a chain of the intruder.
async fn enter(hand: &mut AnyConnection, records: &[String]) {
    run(
        hand,
        &format!(
            "INSERT INTO audit_writers (id, place, started, beats, seq, hash) VALUES ('{FORGED}', '{{}}', 1, 1, 0, '')"
        ),
    )
    .await;
    put(hand, FORGED, records).await;
}

fn has(report: &Report, writer: &str, fault: Fault) -> bool {
    report.findings.iter().any(|it| it.writer == writer && it.fault == fault)
}

#[tokio::test]
async fn nothing_that_nobody_signed_takes_the_place_of_what_was_signed() {
    for world in World::all() {
        for of_acts in [false, true] {
            let world = world.fresh().await;
            let store = world.open().await;
            let old = ended(&store, 1).await.log.id().0.clone();
            let mut next = Writer::open(&store, 2).await;
            next.write(&calls(50..52)).await;
            next.checkpoint().await;
            assert_eq!(verify(&store).await.findings, []);
            let mut hand = intruder(&world).await;
            let target = if of_acts { "acts" } else { &old };
            let records: Vec<String> =
                lines(&store, target).await.iter().map(|it| members(it)).collect();
            let is_of_chain = |it: &str| it.contains("\"checkpoint\"") || it.contains("\"end\"");
            let records: Vec<String> = records
                .iter()
                .map(|it| {
                    if is_of_chain(it) {
                        START.into()
                    } else {
                        it.replace("acme", "mine").replace("doorward", "mine")
                    }
                })
                .collect();
            let heads = put(&mut hand, target, &records).await;
            // The intruder repeats every claim about the chain, adapted to the forged records.
            let mut forged = vec![START.to_owned()];
            forged.extend(heads.iter().map(|head| died(target, head.seq, &head.hash)));
            enter(&mut hand, &forged).await;
            let report = verify(&store).await;
            assert!(has(&report, target, Fault::Replaced), "{target}: {report:?}");
            assert!(has(&report, FORGED, Fault::NeverSigned), "{target}: {report:?}");
        }
    }
}

#[tokio::test]
async fn a_second_death_does_not_move_the_end_of_a_chain() {
    for world in World::all() {
        let store = world.open().await;
        let mut dead = Writer::open(&store, 1).await;
        dead.write(&calls(0..3)).await;
        dead.checkpoint().await;
        dead.write(&calls(3..5)).await;
        let id = dead.log.id().0.clone();
        let (seq, hash) = (dead.log.chain().head().seq, dead.log.chain().head().hash.clone());
        let mut heir = Writer::open(&store, 2).await;
        heir.write(&[START.into(), died(&id, seq, &hash)]).await;
        heir.checkpoint().await;
        let mut hand = intruder(&world).await;
        run(&mut hand, &format!("UPDATE audit_writers SET ended = 1 WHERE id = '{id}'")).await;
        assert_eq!(verify(&store).await.findings, []);
        let mut chain = Chain::new(&id, Head { seq, hash });
        let mut body = String::new();
        chain.append(&[&call(99, "reads", "acme")], &mut body);
        insert(&mut hand, &id, seq + 1, seq + 1, &body).await;
        let hash = chain.head().hash.clone();
        let row = format!(
            "UPDATE audit_writers SET seq = {}, hash = '{hash}' WHERE id = '{id}'",
            seq + 1
        );
        run(&mut hand, &row).await;
        assert!(has(&verify(&store).await, &id, Fault::AfterEnd), "behind a signed death");
        enter(&mut hand, &[START.into(), died(&id, seq + 1, &hash)]).await;
        let report = verify(&store).await;
        assert!(has(&report, &id, Fault::AfterEnd), "{report:?}");
        assert!(has(&report, FORGED, Fault::SecondDeath), "{report:?}");
    }
}

#[tokio::test]
async fn a_chain_that_its_gateway_never_signed_is_found_and_not_signed_by_the_next() {
    for world in World::all() {
        for attack in ["unsigned", "rewritten", "unlisted"] {
            let world = world.fresh().await;
            let store = world.open().await;
            let old = ended(&store, 1).await.log.id().0.clone();
            let mut hand = intruder(&world).await;
            let target = if attack == "rewritten" { old.as_str() } else { FORGED };
            let records = [START.to_owned(), call(99, "reads", "framed")];
            match attack {
                "unsigned" => enter(&mut hand, &records).await,
                "unlisted" => _ = put(&mut hand, FORGED, &records).await,
                _ => {
                    let all = lines(&store, &old).await;
                    let all = all.iter().map(|it| members(it).replace("acme", "mine"));
                    let all: Vec<String> = all
                        .filter(|it| !it.contains("\"checkpoint\"") && !it.contains("\"end\""))
                        .collect();
                    put(&mut hand, &old, &all).await;
                }
            }
            let fault = if attack == "unlisted" { Fault::Unlisted } else { Fault::NeverSigned };
            assert!(has(&verify(&store).await, target, fault), "{attack}");
            let mut next = Writer::open(&store, 2).await;
            next.write(&calls(50..52)).await;
            next.checkpoint().await;
            let report = verify(&store).await;
            assert!(has(&report, target, fault), "{attack}: {report:?}");
            assert_eq!(report.chains[target].checkpointed, 0, "{attack}");
        }
    }
}

/// A head that the chain does not lead to is not signed, even though the gateway has signed the chain before.
#[tokio::test]
async fn a_head_that_does_not_follow_is_not_signed() {
    for world in World::all() {
        let store = world.open().await;
        let old = ended(&store, 1).await.log.id().0.clone();
        let mut hand = intruder(&world).await;
        run(&mut hand, &format!("UPDATE audit_writers SET hash = 'x' WHERE id = '{old}'")).await;
        let mut next = Writer::open(&store, 2).await;
        next.checkpoint().await;
        let own = next.log.id().0.clone();
        assert!(!lines(&store, &own).await[0].contains(&old));
    }
}

#[tokio::test]
async fn rows_that_hide_records_are_found() {
    for world in World::all() {
        for (what, sql, fault) in [
            (
                "times",
                "UPDATE audit_blocks SET first_at = 0, last_at = 0 WHERE writer = ",
                Fault::Misfiled,
            ),
            (
                "a time",
                "UPDATE audit_blocks SET last_at = 4000000000000 WHERE writer = ",
                Fault::Misfiled,
            ),
            (
                "numbers",
                "UPDATE audit_blocks SET last_seq = last_seq + 1 WHERE writer = ",
                Fault::Misfiled,
            ),
            ("the chain", "DELETE FROM audit_writers WHERE id = ", Fault::Unlisted),
        ] {
            let world = world.fresh().await;
            let store = world.open().await;
            let (one, _two) = written(&store).await;
            let id = one.log.id().0.clone();
            assert_eq!(verify(&store).await.findings, []);
            run(&mut intruder(&world).await, &format!("{sql}'{id}'")).await;
            assert!(has(&verify(&store).await, &id, fault), "{what}");
            assert!(store.audit_chains().await.unwrap().contains(&id), "{what}");
        }
    }
}

#[tokio::test]
async fn files_without_a_signature_prove_nothing() {
    for world in World::all() {
        let store = world.open().await;
        let old = ended(&store, 1).await.log.id().0.clone();
        let key = signing(&store).await;
        let checked = |lines: &[String]| {
            let keys = [(key.id.clone(), key.public_bytes())].into();
            let mut verifier = Verifier::new(keys, false);
            lines.iter().for_each(|line| verifier.gather(line));
            lines.iter().for_each(|line| verifier.check(line));
            verifier.finish()
        };
        let all = [lines(&store, "acts").await, lines(&store, &old).await].concat();
        assert_eq!(checked(&all).findings, []);
        let mut chain = Chain::new(&old, Head::default());
        let forged: Vec<String> = lines(&store, &old)
            .await
            .iter()
            .map(|line| members(line))
            .filter(|it| !it.contains("\"checkpoint\"") && !it.contains("\"end\""))
            .map(|record| {
                let mut line = String::new();
                chain.append(&[&record], &mut line);
                line
            })
            .collect();
        let report = checked(&forged);
        assert!(report.findings.iter().any(|it| it.fault == Fault::NoCheckpoint), "{report:?}");
        assert!(has(&report, &old, Fault::NeverSigned), "{report:?}");
        // A checkpoint names the old chain, and the files begin with the first act: the old chain must be there.
        let mut next = Writer::open(&store, 2).await;
        next.checkpoint().await;
        let next = next.log.id().0.clone();
        let without = [lines(&store, "acts").await, lines(&store, &next).await].concat();
        assert!(has(&checked(&without), &old, Fault::CutOff));
    }
}

fn everything() -> Retention {
    Retention { rules: vec![Rule { class: None, tenant: None, before: AT + 1 }] }
}

/// This also holds after the end of a chain, where retention removes all checkpoints but the last.
#[tokio::test]
async fn a_chain_whose_time_is_over_verifies() {
    for world in World::all() {
        let store = world.open().await;
        let old = ended(&store, 1).await.log.id().0.clone();
        // The end was signed twice, so retention removes one of its two checkpoints.
        let mut twice = Writer::open(&store, 2).await;
        twice.write(&calls(0..3)).await;
        twice.write(&[START.replace("start", "end")]).await;
        twice.checkpoint().await;
        twice.checkpoint().await;
        twice.log.end().await.unwrap();
        let done = store.retain_audit(&everything(), &signing(&store).await).await.unwrap();
        assert_eq!(done.removed, 12 + 4);
        let report = verify(&store).await;
        assert_eq!((report.findings, report.checkpoints), (vec![], 2));
        assert_eq!(report.chains[&old].last, 14);
        let mut next = Writer::open(&store, 3).await;
        next.checkpoint().await;
        assert_eq!(verify(&store).await.findings, []);
    }
}

#[tokio::test]
async fn a_hold_ends_by_its_release_and_not_with_its_row() {
    for world in World::all() {
        for sql in [
            "DELETE FROM audit_holds",
            "UPDATE audit_holds SET released = 1",
            "UPDATE audit_holds SET tenant = 'globex'",
        ] {
            let world = world.fresh().await;
            let store = world.open().await;
            ended(&store, 1).await;
            let key = signing(&store).await;
            let hold = store.hold_audit(Some("acme"), None, "case 17").await.unwrap();
            assert_eq!(store.retain_audit(&everything(), &key).await.unwrap().held, 9);
            assert_eq!(run(&mut intruder(&world).await, sql).await, 1);
            let refused = store.retain_audit(&everything(), &key).await.unwrap_err().to_string();
            assert!(refused.contains(&hold.id) && refused.contains("is active"), "{refused}");
            store.release_audit(&hold.id).await.unwrap();
            assert_eq!(store.retain_audit(&everything(), &key).await.unwrap().removed, 9);
            assert_eq!(verify(&store).await.findings, []);
        }
    }
}

/// Removing the act as well breaks the chain of acts, and then retention removes nothing.
#[tokio::test]
async fn without_a_whole_chain_of_acts_nothing_is_removed() {
    for world in World::all() {
        let store = world.open().await;
        ended(&store, 1).await;
        let key = signing(&store).await;
        store.hold_audit(Some("acme"), None, "case 17").await.unwrap();
        store.hold_audit(Some("globex"), None, "case 18").await.unwrap();
        let mut hand = intruder(&world).await;
        run(&mut hand, "DELETE FROM audit_holds").await;
        run(&mut hand, "DELETE FROM audit_blocks WHERE writer = 'acts' AND first_seq > 1 AND body LIKE '%case 17%'").await;
        let refused = store.retain_audit(&everything(), &key).await.unwrap_err().to_string();
        assert!(refused.contains("administrative actions is not intact"), "{refused}");
    }
}
