//! The outcome of a call in its audit record.

use std::borrow::Cow;
use std::time::Duration;

use doorward_config::Durability;
use doorward_inspect::written::{self, Keep};
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, interaction};
use doorward_store::{Amount, Usage};

use super::{digest, payload, payload_of};
use crate::billing::Settled;
use crate::call::{Call, CallError, HeldTask, Reply};
use crate::gateway::Gateway;
use crate::pipeline::INVALID_ARGUMENTS;
use doorward_guards::inspection::Found;
use doorward_observability::audit::Outcome;
use doorward_observability::audit::members::Members;

/// Closes the record of a call, or writes the whole record if it was not sent to a server.
pub fn close(gateway: &Gateway, call: &mut Call, reply: &Result<Reply, CallError>) {
    let settled = call.notes.reserved.take().map(|reserved| {
        let cost = gateway.cost(&reserved, call, reply);
        reserved.settle(cost)
    });
    let settled = settled.unwrap_or_default();
    if let Some(receipt) = &call.notes.receipt {
        let accounts = settled.charges.iter().map(|(account, _)| account.clone());
        receipt.note_charged(settled.price.0, accounts);
    }
    if let Some(opened) = call.notes.opened.take() {
        return opened.close(outcome(gateway, call, reply, settled));
    }
    let class = super::class_of(call);
    if gateway.shared.audit.durability(class) != Durability::Off {
        let outcome = outcome(gateway, call, reply, settled);
        gateway.shared.audit.record(super::at_once(gateway, call, class, outcome));
    }
}

fn refused_by_inspection(call: &Call) -> Option<&'static str> {
    call.notes.inspection.as_ref()?.refused.as_ref().map(|refused| refused.code)
}

/// Adds what inspection found in the result, and the actions taken.
fn returned(members: &mut Members, call: &Call) {
    let Some(inspecting) = &call.notes.inspection else { return };
    let found = &inspecting.returned;
    if found.is_empty() {
        return;
    }
    let mut about = Members::default();
    about.texts("findings", found.findings.iter().map(String::as_str));
    about.texts("data", found.classes().iter().map(String::as_str));
    inspected(&mut about, found);
    members.object("returned", &about);
}

/// Adds the counts of inspection's actions on data, and whether it removed characters.
pub(super) fn inspected(members: &mut Members, found: &Found) {
    let mut actions = Members::default();
    for (action, count) in found.done() {
        actions.number(action, i64::try_from(count).unwrap_or(i64::MAX));
    }
    if !actions.as_text().is_empty() {
        members.object("actions", &actions);
    }
    if found.is_stripped {
        members.flag("stripped", true);
    }
}

/// Adds the cost of a call, in millionths of a credit, and the accounts charged.
fn priced(members: &mut Members, settled: &Settled) {
    let Settled { price, charges, own_key } = settled;
    if *price == Amount::ZERO && !own_key {
        return;
    }
    members.number("price", price.0);
    members.texts("charged", charges.iter().map(|(account, _)| &**account));
    if *own_key {
        members.flag("own_key", true);
    }
}

/// The outcome of a call that has a result.
pub fn word(result: &Object) -> Cow<'_, str> {
    match interaction::result_type(result) {
        kind if kind != "complete" => kind,
        _ if interaction::is_tool_error(result) => "tool_error".into(),
        _ => "ok".into(),
    }
}

/// The outcome of a call.
pub fn outcome(
    gateway: &Gateway,
    call: &Call,
    reply: &Result<Reply, CallError>,
    settled: Settled,
) -> Outcome {
    let mut members = Members::with_capacity(320);
    let mut told = None;
    // At least one more than these has failed.
    let mut failed = 1;
    let mut bytes = 0;
    match reply {
        Ok(Reply::Result(result)) => {
            let outcome = word(result);
            failed = Usage::failed(&outcome);
            members.text("outcome", &outcome);
            // Lists are built by the gateway.
            if call.route.is_some() {
                told = Some(result);
            }
        }
        Ok(Reply::Held(held)) => {
            let outcome = if matches!(held, HeldTask::Begins(_)) { "task" } else { "ok" };
            failed = Usage::failed(outcome);
            members.text("outcome", outcome);
        }
        Ok(Reply::Listening(_)) => _ = members.text("outcome", "listening"),
        Err(CallError::Rpc(_)) if let Some(code) = refused_by_inspection(call) => {
            members.text("outcome", "refused").text("error", code);
        }
        Err(CallError::Rpc(error)) => {
            members.text("outcome", "error").number("error_code", error.code);
        }
        Err(CallError::Denied(_)) => _ = members.text("outcome", "denied"),
        Err(CallError::InvalidArguments(mismatches)) => {
            members.text("outcome", "refused").text("error", INVALID_ARGUMENTS);
            // The names of members come from the caller.
            let paths = mismatches.failures.iter();
            let paths: Vec<_> = paths.map(|one| written::text(&one.path, Keep::Nothing)).collect();
            members.texts("invalid", paths.iter().map(|path| &**path));
        }
        Err(CallError::Limited(limited)) => {
            members.text("outcome", "refused").text("error", Kind::RateLimited.as_str());
            members.text("limit", &limited.rule);
        }
        Err(CallError::Gateway(failure)) => {
            let refused = matches!(
                failure.kind,
                Kind::CheckRefused | Kind::CheckFailed | Kind::DataNotPermitted
            );
            let word = if refused { "refused" } else { "failed" };
            members.text("outcome", word).text("error", failure.kind.as_str());
            members.text("message", &written::text(&failure.message, Keep::Addresses));
        }
        Err(CallError::Refused { failure, .. }) => {
            members.text("outcome", "refused").text("error", failure.kind.as_str());
            members.text("message", &written::text(&failure.message, Keep::Addresses));
        }
    }
    if let Some(result) = told {
        let settings = gateway.shared.audit.settings();
        let mut about = Members::default();
        bytes = digest(&mut about, &result.to_bytes());
        if payload_of(&settings, call).is_some_and(|payload| payload.result) {
            payload(&mut about, &settings, result);
        }
        members.object("result", &about);
    }
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let (all, upstream) = (call.started.elapsed(), call.notes.upstream);
    members.number("gateway_us", micros(all.saturating_sub(upstream)));
    let upstream_us = micros(upstream);
    if upstream_us > 0 {
        members.number("upstream_us", upstream_us);
    }
    if call.notes.retries > 0 {
        members.number("retries", call.notes.retries);
    }
    members.maybe("cache", call.notes.cached);
    returned(&mut members, call);
    if let Some(cutting) = call.notes.cutting.as_ref().filter(|cutting| cutting.left_out > 0) {
        members.number("cut", i64::try_from(cutting.left_out).unwrap_or(i64::MAX));
    }
    if call.notes.invalid_result {
        members.flag("invalid_result", true);
    }
    if let Some(checked) = call.notes.checks.as_ref().filter(|it| !it.reports.is_empty()) {
        members.raw("checks", &doorward_guards::checks::told(&checked.reports));
    }
    priced(&mut members, &settled);
    let Settled { price, charges, own_key } = settled;
    let own_key = i64::from(own_key);
    let usage = Usage { calls: 1, failed, price, own_key, bytes, upstream_us };
    Outcome { text: members.into_text(), usage, charges }
}
