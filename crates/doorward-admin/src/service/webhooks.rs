//! Webhooks: the log of deliveries, test events, and sending an event again.

use std::sync::Arc;

use doorward_config::{EVENT_KINDS, Settings, WebhookFormat};
use doorward_observability::webhooks::{EMAIL, test_event};
use doorward_policy::Action;
use doorward_store::Delivery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ById, Named};
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<Paging, Page<Webhook>> = Operation::new(
    "webhooks.list",
    (Verb::Get, "/admin/v1/webhooks"),
    "List the webhooks of the configuration",
    (Action::View, On::Gateway),
    |desk, paging| Box::pin(async move { list(&desk, &paging) }),
);

pub const DELIVERIES: Operation<Deliveries, Page<DeliveryItem>> = Operation::new(
    "webhooks.deliveries",
    (Verb::Get, "/admin/v1/webhooks/deliveries"),
    "List events that were sent to webhooks, or are to be",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { deliveries(&desk, input).await }),
);

pub const TEST: Operation<Named, Queued> = Operation::new(
    "webhooks.test",
    (Verb::Post, "/admin/v1/webhooks/{name}/test"),
    "Send a test event to a webhook, or to an address as `email:ADDRESS`",
    (Action::Operate, On::Gateway),
    |desk, input| Box::pin(async move { test(&desk, &input.name).await }),
);

pub const REDELIVER: Operation<ById, DeliveryItem> = Operation::new(
    "webhooks.redeliver",
    (Verb::Post, "/admin/v1/webhooks/deliveries/{id}/redeliver"),
    "Send an event again, under the same id",
    (Action::Operate, On::Gateway),
    |desk, input| Box::pin(async move { redeliver(&desk, &input.id).await }),
);

/// A webhook of the configuration. Its secret is never shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    pub name: String,
    /// Without its path, where that is a secret.
    pub url: String,
    /// What it is posted.
    pub format: WebhookFormat,
    /// The kinds of events that it is sent.
    pub kinds: Vec<String>,
    /// Patterns; empty for all.
    pub tenants: Vec<String>,
    /// Patterns; empty for all.
    pub servers: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Deliveries {
    /// Only of this webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Only those `waiting`, `delivered` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// An event for a webhook. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryItem {
    /// Sent as `webhook-id`, at every attempt.
    pub id: String,
    pub webhook: String,
    pub kind: String,
    /// What is posted.
    pub body: Value,
    pub created: i64,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    pub attempts: i64,
    /// When it is sent next, as long as it waits.
    pub due: i64,
    /// HTTP status of the last attempt that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was delivered or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
}

impl From<Delivery> for DeliveryItem {
    fn from(it: Delivery) -> Self {
        let body = serde_json::from_str(&it.body).unwrap_or_default();
        let Delivery {
            id, webhook, kind, created, state, attempts, due, status, error, ended, ..
        } = it;
        Self { id, webhook, kind, body, created, state, attempts, due, status, error, ended }
    }
}

/// What was queued.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Queued {
    pub webhook: String,
    /// The kind of the event.
    pub queued: String,
}

/// The configuration, which has the webhooks.
fn settings_of(desk: &Desk) -> Result<Arc<Settings>, Problem> {
    desk.settings().ok_or_else(|| {
        let why = "pass --config or --admin-url: webhooks are configured there";
        Problem::new(Code::NotRunning, why)
    })
}

fn list(desk: &Desk, paging: &Paging) -> Result<Page<Webhook>, Problem> {
    let settings = settings_of(desk)?;
    let webhooks = settings.webhooks.iter().map(|(name, it)| {
        let kinds = EVENT_KINDS.iter().map(|(kind, _)| *kind);
        let kinds = kinds.filter(|kind| it.kinds.iter().any(|pattern| pattern.matches(kind)));
        Webhook {
            name: name.clone(),
            url: it.shown_url(),
            format: it.format,
            kinds: kinds.map(str::to_owned).collect(),
            tenants: it.tenants.iter().map(ToString::to_string).collect(),
            servers: it.servers.iter().map(ToString::to_string).collect(),
        }
    });
    paging.of(webhooks.collect(), |webhook| webhook.name.clone())
}

async fn deliveries(desk: &Desk, input: Deliveries) -> Result<Page<DeliveryItem>, Problem> {
    let Deliveries { webhook, state, paging } = input;
    let states = ["waiting", "delivered", "failed"];
    if state.as_ref().is_some_and(|state| !states.contains(&state.as_str())) {
        return Err(Problem::invalid("'state' must be waiting, delivered or failed"));
    }
    let (count, after) = (paging.count()?, paging.after()?);
    let Some(store) = desk.maybe_store() else {
        return paging.of(Vec::new(), |it: &DeliveryItem| it.id.clone());
    };
    let most = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
    let (webhook, state) = (webhook.as_deref(), state.as_deref());
    let found = store.deliveries(webhook, state, after.as_deref(), most).await?;
    let items: Vec<DeliveryItem> = found.into_iter().map(DeliveryItem::from).collect();
    Ok(Page::cut(items, count, |it| it.id.clone()))
}

async fn test(desk: &Desk, name: &str) -> Result<Queued, Problem> {
    let settings = settings_of(desk)?;
    let email = settings.email.as_ref().zip(name.strip_prefix(EMAIL));
    let is_address = email.is_some_and(|(email, address)| email.knows(address));
    if !settings.webhooks.contains_key(name) && !is_address {
        return Err(Problem::absent("webhook", name));
    }
    let store = desk.store()?;
    if !desk.is_rehearsal() && store.queue_deliveries(&[test_event(name)]).await? > 0 {
        let why = "too many events wait for this webhook";
        return Err(Problem::new(Code::Conflict, why));
    }
    Ok(Queued { webhook: name.to_owned(), queued: "webhook.test".into() })
}

async fn redeliver(desk: &Desk, id: &str) -> Result<DeliveryItem, Problem> {
    Ok(desk.store()?.redeliver(id).await?.into())
}
