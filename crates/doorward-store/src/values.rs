//! Values that several gateways share for a time, in Valkey or Redis. Those of a group are valid as long as the group's
//! mark is unchanged; each invalidation sets a new random mark, so that none becomes valid again when a full store
//! evicts the mark.

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
    /// Validates a URL; the error is for users.
    pub fn check(url: &str) -> Result<(), String> {
        crate::valkey::check(url)
    }

    /// Prepares a connection to a store, which may be unreachable for now. Must be called within the runtime that the
    /// connection will use.
    pub fn open(url: &str, namespace: &str) -> Result<Self, String> {
        Ok(Self { manager: connect(url)?, namespace: namespace.to_owned() })
    }

    fn key(&self, kind: &str, name: &str) -> String {
        // All keys of a namespace are on one node of a cluster.
        format!("{{{}}}:{kind}:{name}", self.namespace)
    }

    /// Returns a group's mark, and values by name.
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
        for _ in 0..2 {
            let asked = command.query_async::<Vec<Option<String>>>(&mut connection);
            let mut found = in_time(asked).await?.into_iter();
            if let Some(mark) = found.next().flatten() {
                let mark = mark
                    .parse()
                    .map_err(|_| "the generation of a group of cached results is not a number")?;
                return Ok((mark, found.collect()));
            }
            self.mark(group, true).await?;
        }
        Err("Valkey or Redis evicts keys that are in use: give it more memory, or set maxmemory-policy to noeviction".into())
    }

    pub async fn put(&self, name: &str, value: &str, good_for: Duration) -> Result<(), String> {
        let mut command = redis::cmd("SET");
        let millis = u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX).max(1);
        command.arg(self.key("value", name)).arg(value).arg("PX").arg(millis);
        let mut connection = self.manager.clone();
        in_time(command.query_async::<()>(&mut connection)).await
    }

    /// Replaces a group's mark, which invalidates all its values.
    pub async fn changed(&self, group: &str) -> Result<(), String> {
        self.mark(group, false).await
    }

    async fn mark(&self, group: &str, unless_it_has_one: bool) -> Result<(), String> {
        let mark = getrandom::u64().map_err(|error| error.to_string())?;
        let mut command = redis::cmd("SET");
        command.arg(self.key("changes", group)).arg(mark);
        if unless_it_has_one {
            command.arg("NX");
        }
        let mut connection = self.manager.clone();
        in_time(command.query_async::<Option<String>>(&mut connection)).await.map(drop)
    }
}
