//! Retention, applied now rather than when the gateway does.

use doorward_observability::audit::{open_key, retention};
use doorward_policy::Action;
use doorward_store::now_ms;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::limits::settings_of;
use super::verify::own_keys;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::problem::{Code, Problem};

pub const RETAIN: Operation<Retain, Retained> = Operation::new(
    "audit.retain",
    (Verb::Post, "/admin/v1/audit/retention"),
    "Remove now what 'audit.retention' of the configuration says, except what is on hold",
    (Action::Operate, On::Gateway),
    |desk, input| Box::pin(async move { retain(&desk, &input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retain {
    /// Sign unsigned removals of earlier versions first, after verifying everything else.
    pub sign_earlier: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Retained {
    /// Ranges of records that were removed earlier, and are signed now.
    pub signed: usize,
    /// Records that were removed.
    pub removed: u64,
    /// Records that would have been removed, and are on hold.
    pub held: u64,
    /// Records that are retained until a checkpoint covers them.
    pub unvouched: u64,
}

async fn retain(desk: &Desk, input: &Retain) -> Result<Retained, Problem> {
    let (settings, store) = (settings_of(desk)?, desk.store()?);
    let rules = retention(&settings.audit.retention, now_ms());
    let key = open_key(store, &settings).await?.ok_or_else(|| {
        let why = "there is no key to sign the removal of records: set 'store_key' or \
            'audit.key_file'";
        Problem::new(Code::Conflict, why)
    })?;
    let mut signed = 0;
    if input.sign_earlier {
        let (keys, _) = own_keys(desk).await?;
        signed = store.sign_earlier_removals(&key, keys).await?;
    }
    let done = store.retain_audit(&rules, &key).await?;
    Ok(Retained { signed, removed: done.removed, held: done.held, unvouched: done.unvouched })
}
