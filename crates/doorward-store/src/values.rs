//! Values that several gateways share for a time, in Valkey or Redis, each with the count of changes after
//! which it is not good any more.

use std::time::Duration;

use redis::aio::ConnectionManager;

use crate::valkey::{connect, in_time};

#[derive(Clone)]
pub struct SharedValues {
    manager: ConnectionManager,
    namespace: String,
}

impl std::fmt::Debug for SharedValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedValues").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl SharedValues {
    /// Says what is wrong with an URL.
    pub fn check(url: &str) -> Result<(), String> {
        crate::valkey::check(url)
    }

    /// Prepares to use a store, which need not be there yet. Must be called within the runtime that the
    /// connection shall live on.
    pub fn open(url: &str, namespace: &str) -> Result<Self, String> {
        Ok(Self { manager: connect(url)?, namespace: namespace.to_owned() })
    }

    fn key(&self, kind: &str, name: &str) -> String {
        // All keys of a namespace are on one node of a cluster.
        format!("{{{}}}:{kind}:{name}", self.namespace)
    }

    /// How much of a group has been changed, and values by their names.
    pub async fn get(
        &self,
        group: &str,
        names: &[String],
    ) -> Result<(u64, Vec<Option<String>>), String> {
        let mut command = redis::cmd("MGET");
        command.arg(self.key("changes", group));
        for name in names {
            command.arg(self.key("value", name));
        }
        let mut connection = self.manager.clone();
        let asked = command.query_async::<Vec<Option<String>>>(&mut connection);
        let mut found = in_time(asked).await?.into_iter();
        let changes = found.next().flatten().and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((changes, found.collect()))
    }

    pub async fn put(&self, name: &str, value: &str, good_for: Duration) -> Result<(), String> {
        let mut command = redis::cmd("SET");
        let millis = u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX).max(1);
        command.arg(self.key("value", name)).arg(value).arg("PX").arg(millis);
        let mut connection = self.manager.clone();
        in_time(command.query_async::<()>(&mut connection)).await
    }

    /// Counts a change of a group.
    pub async fn changed(&self, group: &str) -> Result<(), String> {
        let mut command = redis::cmd("INCR");
        command.arg(self.key("changes", group));
        let mut connection = self.manager.clone();
        in_time(command.query_async::<i64>(&mut connection)).await.map(drop)
    }
}
