//! Compares credit with a simple model, in random histories of two concurrent gateways: no credit is lost or created.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use crate::support::World;
use doorward_store::{
    Amount, AuditLog, Block, Books, BudgetPeriod, Commit, Committed, Ended, Place, Store, Tally,
    WriterId,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const TENANT: &str = "tenant/acme";
const TODAY: &str = "2026-11-21";

#[derive(Debug, Clone)]
enum Step {
    Hold(i64, i64),
    /// Settles a call with this cost, in hundredths, out of the held credit.
    Settle(i64),
    Free(i64),
    Grant(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_i64..300, 0_i64..2_000).prop_map(|(needed, more)| Step::Hold(needed, more)),
        4 => (0_i64..120).prop_map(Step::Settle),
        2 => (0_i64..100).prop_map(Step::Free),
        1 => (1_i64..500).prop_map(Step::Grant),
    ];
    prop::collection::vec(step, 1..25)
}

/// What one gateway knows about its own credit, using only addition and subtraction.
#[derive(Debug, Default, Clone, Copy)]
struct Model {
    held: i64,
    spent: i64,
    granted: i64,
    /// The cost of calls beyond the credit held for them: it is owed.
    beyond: i64,
}

struct Gateway {
    store: Store,
    log: AuditLog,
    model: Model,
}

impl Gateway {
    async fn open(store: &Store, run: u32) -> Self {
        let log = AuditLog::open(store, WriterId::new(run), Place::here("test")).await.unwrap();
        Self { store: store.clone(), log, model: Model::default() }
    }

    async fn settle(&mut self, amount: i64) {
        let mut chain = self.log.chain().clone();
        let first = chain.head().seq + 1;
        let mut body = String::new();
        chain.append(&["\"kind\":\"call\""], &mut body);
        let writer = chain.writer().to_owned();
        let block = Block { writer, first, last: first, first_at: 1, last_at: 1, body };
        let charges: BTreeMap<String, Amount> = [(TENANT.to_owned(), Amount(amount))].into();
        let commit = Commit { block, head: chain.head().clone(), charges, usage: None, ends: None };
        // Write twice, as after a lost response: the commit counts once.
        for _ in 0..2 {
            assert_eq!(self.log.write(&commit).await.unwrap(), Committed::Written);
        }
        self.log.advance(chain);
        self.model.beyond += (amount - self.model.held.max(0)).max(0);
        self.model.held -= amount;
        self.model.spent += amount;
    }

    async fn run(mut self, steps: Vec<Step>) -> Self {
        for step in steps {
            match step {
                Step::Hold(needed, more) => {
                    let amounts = (Amount(needed), Amount(more));
                    let held =
                        self.store.hold_credit(self.log.id(), TENANT, amounts, TODAY, false).await;
                    if let Some(held) = held.unwrap() {
                        assert!(held.0 >= needed && held.0 <= needed + more);
                        self.model.held += held.0;
                    }
                }
                Step::Settle(part) => {
                    let amount = self.model.held * part / 100;
                    self.settle(amount).await;
                }
                Step::Free(part) => {
                    let amount = (self.model.held * part / 100).max(0);
                    self.store.free_credit(self.log.id(), TENANT, Amount(amount)).await.unwrap();
                    self.model.held -= amount;
                }
                Step::Grant(amount) => {
                    self.store.grant_credit(TENANT, Amount(amount), "").await.unwrap();
                    self.model.granted += amount;
                }
            }
        }
        self
    }
}

async fn check(store: &Store, models: &[Model]) -> Books {
    let books = store.check_books().await.unwrap();
    assert!(books.are_good(), "{books:?}");
    let sum = |of: fn(&Model) -> i64| models.iter().map(of).sum::<i64>();
    let account = store.credit_account(TENANT).await.unwrap();
    assert_eq!(account.spent.0, sum(|it| it.spent));
    assert_eq!(account.held.0, sum(|it| it.held));
    assert_eq!(account.balance.0, sum(|it| it.granted) - sum(|it| it.spent) - sum(|it| it.held));
    // No credit is spent twice. The balance is negative only by what was charged beyond the held credit.
    assert!(account.balance.0 >= -sum(|it| it.beyond), "{account:?} {models:?}");
    books
}

#[test]
fn no_history_loses_or_makes_credit() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for world in World::all() {
        let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
        let histories = (steps(), steps(), 100_i64..3_000);
        runner
            .run(&histories, |(one, two, granted)| {
                runtime.block_on(async {
                    let world = world.fresh().await;
                    let store = world.open().await;
                    store.grant_credit(TENANT, Amount(granted), "begin").await.unwrap();
                    let begin = Model { granted, ..Model::default() };
                    let first = Gateway::open(&store, 1).await;
                    let second = Gateway::open(&store, 2).await;
                    let (one, two) =
                        tokio::join!(tokio::spawn(first.run(one)), tokio::spawn(second.run(two)));
                    let (one, two) = (one.unwrap(), two.unwrap());
                    check(&store, &[begin, one.model, two.model]).await;
                    // One gateway dies: the other charges its open calls and releases the rest, once.
                    let mut heir = Gateway::open(&store, 3).await;
                    let open = one.model.held.max(0) / 2;
                    let writers = store.audit_writers().await.unwrap();
                    let dead = writers.iter().find(|row| row.id == one.log.id().0).unwrap();
                    let ended = Ended {
                        writer: one.log.id().clone(),
                        beats: dead.beats,
                        charges: [(TENANT.to_owned(), Amount(open))].into(),
                        usage: Tally::default(),
                    };
                    let mut chain = heir.log.chain().clone();
                    let mut body = String::new();
                    chain.append(&["\"kind\":\"event\""], &mut body);
                    let writer = chain.writer().to_owned();
                    let block = Block { writer, first: 1, last: 1, first_at: 1, last_at: 1, body };
                    let head = chain.head().clone();
                    let commit = Commit {
                        block,
                        head,
                        charges: BTreeMap::new(),
                        usage: None,
                        ends: Some(ended),
                    };
                    for _ in 0..2 {
                        assert_eq!(heir.log.write(&commit).await.unwrap(), Committed::Written);
                    }
                    heir.log.advance(chain);
                    let dead = Model { held: 0, spent: one.model.spent + open, ..one.model };
                    check(&store, &[begin, dead, two.model]).await;
                });
                Ok(())
            })
            .unwrap();
    }
}

#[tokio::test]
async fn a_budget_is_filled_again_each_day_and_a_clock_that_is_set_back_fills_nothing() {
    for world in World::all() {
        let store = world.open().await;
        let gateway = Gateway::open(&store, 1).await;
        let account = "user/alice";
        store.set_budget(account, Some((Amount(100), BudgetPeriod::Day))).await.unwrap();
        let take = async |amount: i64, day: &str| {
            let amounts = (Amount(amount), Amount::ZERO);
            store
                .hold_credit(gateway.log.id(), account, amounts, day, false)
                .await
                .unwrap()
                .is_some()
        };
        let days = [
            (60, "2026-11-21"),
            (60, "2026-11-21"),
            (60, "2026-11-22"),
            (60, "2026-11-21"),
            (60, "2026-11-22"),
            (40, "2026-11-22"),
        ];
        let mut taken = Vec::new();
        for (amount, day) in days {
            taken.push(take(amount, day).await);
        }
        assert_eq!(taken, [true, false, true, false, false, true]);
        assert!(store.check_books().await.unwrap().are_good());
        store.set_budget(account, None).await.unwrap();
        assert!(store.set_budget(account, None).await.is_err());
    }
}
