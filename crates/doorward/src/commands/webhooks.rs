//! `doorward webhooks`: lists webhooks and deliveries, and redelivers events.

use std::io::Write;

use doorward_admin::Paging;
use doorward_admin::service::webhooks::{self, DeliveryItem};
use doorward_admin::service::{ById, Named};

use super::Failed;
use super::keys::date;
use crate::administer::place;
use crate::cli::Webhooks;
use crate::terminal::{self, one_line};

pub async fn run(options: Webhooks) -> Result<(), Failed> {
    match options {
        Webhooks::List { kept, json } => {
            let all = place(&kept).await?.list(&webhooks::LIST, &Paging::default()).await?;
            let mut out = std::io::stdout().lock();
            if json {
                terminal::json(&mut out, &all)?;
                return Ok(());
            }
            let mut rows = vec![["NAME", "URL", "KINDS"].map(str::to_owned)];
            for webhook in &all {
                let kinds = webhook.kinds.join(", ");
                rows.push([one_line(&webhook.name), one_line(&webhook.url), kinds]);
            }
            terminal::table(&mut out, &rows)?;
        }
        Webhooks::Deliveries { kept, webhook, state, number, json } => {
            let paging = Paging { limit: Some(number), ..Paging::default() };
            let wanted = webhooks::Deliveries { webhook, state, paging };
            let page = place(&kept).await?.call(&webhooks::DELIVERIES, wanted).await?;
            show(&page.items, json)?;
        }
        Webhooks::Test { kept, name } => {
            let queued = place(&kept).await?.call(&webhooks::TEST, Named { name }).await?;
            let mut out = std::io::stdout().lock();
            let (kind, name) = (queued.queued, one_line(&queued.webhook));
            writeln!(out, "queued {kind} for {name}: see 'doorward webhooks deliveries'")?;
        }
        Webhooks::Redeliver { kept, id } => {
            let sent = place(&kept).await?.call(&webhooks::REDELIVER, ById { id }).await?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "queued {} for {} again", sent.id, one_line(&sent.webhook))?;
        }
    }
    Ok(())
}

fn show(deliveries: &[DeliveryItem], json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &deliveries)?;
        return Ok(());
    }
    let mut rows = vec![
        ["ID", "WEBHOOK", "EVENT", "STATE", "ATTEMPTS", "CREATED", "LAST ERROR"].map(str::to_owned),
    ];
    for it in deliveries {
        rows.push([
            it.id.clone(),
            one_line(&it.webhook),
            it.kind.clone(),
            it.state.clone(),
            it.attempts.to_string(),
            date(it.created / 1_000),
            one_line(it.error.as_deref().unwrap_or_default()),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}
