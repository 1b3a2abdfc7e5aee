//! Calls that wait for an approval: those that the caller can decide about, and the caller's own.

use doorward_admin::service::ById;
use doorward_admin::service::approvals::{
    ApprovalItem, Decide, List, can_decide, decide_about, item, page,
};
use doorward_admin::{Desk, Operation, Page, Problem, Verb};
use doorward_governance::approvals::Approval;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visit::Visit;

pub const LIST: Operation<List, Page<Seen>> = Operation::own(
    "approvals.list",
    (Verb::Get, "/portal/v1/approvals"),
    "List calls that wait for your approval, and calls of yours that wait",
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const SHOW: Operation<ById, Seen> = Operation::own(
    "approvals.show",
    (Verb::Get, "/portal/v1/approvals/{id}"),
    "Show an approval",
    |desk, input| Box::pin(async move { show(&desk, &input.id).await }),
);

pub const APPROVE: Operation<Decide, Seen> = Operation::own(
    "approvals.approve",
    (Verb::Post, "/portal/v1/approvals/{id}/approve"),
    "Approve a call",
    |desk, input| Box::pin(async move { decide(&desk, input, true).await }),
);

pub const REFUSE: Operation<Decide, Seen> = Operation::own(
    "approvals.refuse",
    (Verb::Post, "/portal/v1/approvals/{id}/refuse"),
    "Refuse a call",
    |desk, input| Box::pin(async move { decide(&desk, input, false).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    #[serde(flatten)]
    pub approval: ApprovalItem,
    /// Whether the call is yours.
    pub mine: bool,
}

fn is_mine(visit: &Visit<'_>, approval: &Approval) -> bool {
    let asker = &approval.asker;
    visit.has(asker.kind, &asker.id, asker.tenant.as_deref())
}

fn sees(visit: &Visit<'_>, approval: &Approval) -> bool {
    is_mine(visit, approval) || can_decide(visit.desk, approval)
}

fn seen(visit: &Visit<'_>, approval: Approval, shows: bool) -> Seen {
    let mine = is_mine(visit, &approval);
    Seen { approval: item(visit.desk, approval, shows), mine }
}

async fn list(desk: &Desk, input: &List) -> Result<Page<Seen>, Problem> {
    let visit = Visit::of(desk)?;
    let Page { items, next_cursor } = page(desk, input, |one| sees(&visit, one)).await?;
    let items = items.into_iter().map(|one| seen(&visit, one, false)).collect();
    Ok(Page { items, next_cursor })
}

async fn find(visit: &Visit<'_>, id: &str) -> Result<Approval, Problem> {
    let found = visit.desk.store()?.approval(id).await?;
    let found = found.filter(|one| sees(visit, one));
    found.ok_or_else(|| Problem::absent("approval", id))
}

async fn show(desk: &Desk, id: &str) -> Result<Seen, Problem> {
    let visit = Visit::of(desk)?;
    let found = find(&visit, id).await?;
    Ok(seen(&visit, found, true))
}

async fn decide(desk: &Desk, input: Decide, approves: bool) -> Result<Seen, Problem> {
    let visit = Visit::of(desk)?;
    let found = find(&visit, &input.id).await?;
    visit.require_person()?;
    let mine = is_mine(&visit, &found);
    Ok(Seen { approval: decide_about(desk, found, input, approves).await?, mine })
}
