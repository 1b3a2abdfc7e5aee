//! The targets of access decisions: what a server offers, and the actions on it.

use doorward_policy::{Action, Target, TargetKind};

use doorward_config::{CredentialSettings, FlowLabels, ServerSettings};
use doorward_upstream::Server;
use doorward_upstream::catalog::ToolEntry;

/// The kind of credential that a server receives.
pub fn credential_mode(settings: &ServerSettings) -> &'static str {
    if settings.personal.is_some() {
        return "personal";
    }
    if settings.delegated.is_some() {
        return "delegated";
    }
    if settings.exchange.is_some() {
        return "exchange";
    }
    if settings.assertion.is_some() {
        return "assertion";
    }
    match &settings.credential {
        Some(CredentialSettings::Client(_)) => "client",
        None if settings.headers.is_empty() => "none",
        Some(CredentialSettings::Basic(_)) | None => "static",
    }
}

/// Whether a tool may have side effects, according to the operator or its annotations.
pub fn is_write(server: &Server, name: &str, tool: Option<&ToolEntry>) -> bool {
    let said = server.settings.said_of(name).into_iter().find_map(|said| said.write);
    said.unwrap_or_else(|| !tool.is_some_and(|tool| tool.reads_only))
}

/// A server's target, as policies see it.
pub fn target(server: &Server, kind: TargetKind, name: &str, tool: Option<&ToolEntry>) -> Target {
    let reads_only = tool.is_some_and(|tool| tool.reads_only);
    let hint = tool.is_none_or(|tool| tool.open_world);
    labelled(target_of(&server.name, &server.settings, kind, name, reads_only), server, hint)
}

/// Adds the labels of flow rules.
fn labelled(target: Target, server: &Server, hint: bool) -> Target {
    let FlowLabels { brings, sink, open_world } =
        server.settings.flow_of(&target.name, target.write, hint);
    Target { brings, sink, open_world, ..target }
}

/// The same for a server that may not exist.
pub fn target_of(
    server: &str,
    settings: &ServerSettings,
    kind: TargetKind,
    name: &str,
    reads_only: bool,
) -> Target {
    let mut target = Target {
        environment: settings.environment.clone(),
        region: settings.region_of_all().map(str::to_owned),
        data_classes: settings.data_classes_of_all(),
        owner: settings.owner.clone(),
        risk: settings.risk.clone(),
        tags: settings.tags.clone(),
        ..Target::new(kind, server, name)
    };
    target.write = kind == TargetKind::Tool && !reads_only;
    // The most specific settings come last and win.
    for known in settings.said_of(name).into_iter().rev() {
        target.write = known.write.unwrap_or(target.write);
        target.risk = known.risk.clone().or(target.risk);
        target.tags.extend(known.tags.iter().cloned());
    }
    target
}

/// The action on a kind of target.
pub fn action_on(kind: TargetKind) -> Action {
    match kind {
        TargetKind::Tool => Action::Call,
        TargetKind::Prompt => Action::Get,
        TargetKind::Resource => Action::Read,
        TargetKind::Server | TargetKind::Portal => Action::List,
        TargetKind::Tenant | TargetKind::Gateway => Action::View,
    }
}
