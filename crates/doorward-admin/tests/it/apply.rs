//! Applying resources, on generated states of a real store.

use std::collections::{BTreeMap, BTreeSet};

use doorward_admin::Desk;
use doorward_admin::apply::{APPLY, Applied, Budget, EXPORT, Resources, Wanted};
use doorward_admin::openapi::Nothing;
use doorward_config::{Directory, Group, Member, PortalSettings};
use doorward_store::{Amount, BudgetPeriod, Location, Store};
use proptest::prelude::*;

/// A store of its own, and a desk on it.
struct World {
    desk: Desk,
    store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("doorward.db"));
        let store = Store::open(&location).await.unwrap();
        let desk = Desk::of_machine(store.clone(), None);
        Self { desk, store, _folder: folder }
    }

    async fn apply(&self, resources: &Resources, prune: bool) -> Applied {
        let wanted = Wanted { resources: resources.clone(), prune, ..Wanted::default() };
        let planned = APPLY.call(self.desk.clone().rehearsing(), wanted.clone()).await.unwrap();
        let before = self.export().await;
        let done = APPLY.call(self.desk.clone(), wanted).await.unwrap();
        assert_eq!(planned.changes, done.changes, "a plan is what then happens");
        assert_eq!(done.changes.is_empty(), before == self.export().await);
        done
    }

    async fn export(&self) -> Resources {
        EXPORT.call(self.desk.clone(), Nothing {}).await.unwrap()
    }
}

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[a-d]", 0..4)
}

fn member() -> impl Strategy<Value = Member> {
    (prop::option::of("[a-d]"), names(), names(), any::<bool>())
        .prop_map(|(tenant, teams, roles, disabled)| Member { tenant, teams, roles, disabled })
}

fn members() -> impl Strategy<Value = BTreeMap<String, Member>> {
    prop::collection::btree_map("[a-d]", member(), 0..3)
}

fn groups() -> impl Strategy<Value = BTreeMap<String, Group>> {
    let group = any::<bool>().prop_map(|disabled| Group { disabled });
    prop::collection::btree_map("[a-d]", group, 0..3)
}

fn resources() -> impl Strategy<Value = Resources> {
    let directory = (members(), members(), members(), groups(), groups()).prop_map(
        |(users, agents, service_accounts, teams, tenants)| Directory {
            users,
            agents,
            service_accounts,
            teams,
            tenants,
        },
    );
    let portal = prop::collection::btree_set("[a-c]/[a-c]", 1..3).prop_map(|tools| {
        let portal = serde_json::json!({ "tools": tools });
        serde_json::from_value::<PortalSettings>(portal).unwrap()
    });
    let portals = prop::collection::btree_map("[p-s]", portal, 0..3);
    let budget = (0..1_000_i64, any::<bool>()).prop_map(|(amount, daily)| Budget {
        amount: Amount(amount * 1_000_000),
        period: if daily { BudgetPeriod::Day } else { BudgetPeriod::Month },
    });
    let budgets = prop::collection::btree_map("(team|user)/[a-d]", budget, 0..3);
    let policy = prop_oneof![
        Just("permit (principal, action in Action::\"use\", resource);"),
        Just("forbid (principal, action, resource);"),
    ];
    let files = prop::collection::btree_map("[a-c]\\.cedar", policy.prop_map(str::to_owned), 1..3);
    let policies = prop::option::of(files);
    (directory, portals, budgets, policies).prop_map(|(directory, portals, budgets, policies)| {
        Resources { portals, directory, budgets, policies, ..Resources::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_applied_is_there_and_applying_it_again_changes_nothing(
        first in resources(),
        second in resources(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            for wanted in [&first, &second] {
                world.apply(wanted, false).await;
                let there = world.export().await;
                for name in wanted.names() {
                    assert!(there.names().contains(&name), "{name:?}");
                }
                assert_eq!(world.apply(wanted, false).await.changes, []);
                assert_eq!(world.apply(&there, true).await.changes, []);
            }
            // Everything was applied, so pruning leaves what is wanted alone; policies are replaced, not removed.
            world.apply(&second, true).await;
            let mut there = world.export().await;
            let mut wanted = second.clone();
            wanted.policies = wanted.policies.or(there.policies.clone());
            there.policies = wanted.policies.clone();
            assert_eq!(there, wanted);
        });
    }
}

#[tokio::test]
async fn pruning_removes_nothing_that_somebody_else_has_made() {
    let world = World::new().await;
    world.store.put_portal("mine", r#"{"tools":["a/b"]}"#).await.unwrap();
    let portal: PortalSettings =
        serde_json::from_value(serde_json::json!({ "tools": ["a/b"] })).unwrap();
    let mut wanted = Resources::default();
    wanted.portals.insert("applied".into(), portal);
    world.apply(&wanted, true).await;
    world.apply(&Resources::default(), true).await;
    let left: Vec<String> = world.export().await.portals.into_keys().collect();
    assert_eq!(left, ["mine"]);
}

#[tokio::test]
async fn what_cannot_be_applied_as_a_whole_changes_nothing() {
    let world = World::new().await;
    let portal: PortalSettings =
        serde_json::from_value(serde_json::json!({ "tools": ["a/b"] })).unwrap();
    let mut wanted = Resources::default();
    wanted.portals.insert("good".into(), portal);
    // A name that the store refuses, after others were written.
    wanted.directory.users.insert("no\u{200b}name".into(), Member::default());
    let before = world.store.revision().await.unwrap();
    let wanted = Wanted { resources: wanted, ..Wanted::default() };
    assert!(APPLY.call(world.desk.clone(), wanted).await.is_err());
    assert_eq!(world.export().await, Resources::default());
    assert_eq!(world.store.revision().await.unwrap(), before);
}
