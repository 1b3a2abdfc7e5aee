//! Stage: finds the server and its tool, and translates names in the reply back to those of the portal.
//!
//! What does not exist and what is hidden get the same answer.

use std::sync::Arc;

use doorward_mcp::names::Qualifier;
use doorward_mcp::{Era, Object, RpcError, capabilities, method};

use crate::call::{AboutTask, Call, CallError, Events, Portal, Reply, Route};
use crate::gateway::Gateway;
use crate::pipeline::policy::{absent, unknown_resource, unknown_task};
use crate::pipeline::{Stage, Step};
use doorward_config::ServerNames;
use doorward_upstream::Server;
use doorward_upstream::catalog::exposed::Digest;
use doorward_upstream::catalog::{PROMPTS, RESOURCES, TEMPLATES, TOOLS, kind_of};
use doorward_upstream::state::names_a_task;

pub struct Routing;

const UNKNOWN_REFERENCE: &str = "'ref' does not name a known prompt or resource";

impl Stage for Routing {
    fn name(&self) -> &'static str {
        "routing"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if names_a_task(&call.method) && !capabilities::has_tasks(&call.client.capabilities) {
            return Step::refuse(match call.revision.era() {
                Era::Modern => RpcError::missing_extension(capabilities::TASKS_EXTENSION),
                Era::Handshake => RpcError::method_not_found(&call.method),
            });
        }
        call.notes.tenant = gateway.tenants.of(&call.caller.principal.who);
        match server_of(gateway, call) {
            Ok(found) => route(gateway, call, found),
            // It may be a name that was rewritten, of lists that were not fetched yet.
            Err(error) => Step::Later(Box::pin(async move {
                let named = text(&call.params, "name");
                let named = named.or_else(|_| {
                    let reference = call.params.object("ref").unwrap_or_default();
                    text(&reference, "name")
                });
                let Ok(name) = named else { return Err(error.into()) };
                if Digest::read(&name).is_none() {
                    return Err(error.into());
                }
                gateway.look_for_name(call, &name).await;
                let found = server_of(gateway, call)?;
                match route(gateway, call, found) {
                    Step::Now(decision) => decision,
                    Step::Later(decision) => decision.await,
                }
            })),
        }
    }

    fn leave(&self, _: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        let (true, Some(route), Ok(Reply::Result(result))) =
            (call.portal.is_merged(), &call.route, reply)
        else {
            return;
        };
        let server = &*route.server.name;
        Qualifier { server }.result(&call.method, result);
        if (names_a_task(&call.method) || result.string("resultType").as_deref() == Some("task"))
            && let Some(task) = result.string("taskId").map(|task| format!("{server}.{task}"))
        {
            result.set("taskId", task.as_str());
        }
    }
}

/// The server that a call is for; `None` for what concerns all servers of a portal.
fn server_of(gateway: &Gateway, call: &mut Call) -> Result<Option<Arc<Server>>, RpcError> {
    let Portal::Server(name) = &call.portal else { return merged(gateway, call) };
    let Some(server) = gateway.server(name) else {
        return Err(RpcError::invalid_request(format!("Unknown server: {name}")));
    };
    own_name(gateway, call)?;
    Ok(Some(server))
}

/// Puts a tool's or prompt's own name in the place of the one that it has at its server's portal,
/// where names are rewritten there, too.
fn own_name(gateway: &Gateway, call: &mut Call) -> Result<(), RpcError> {
    if gateway.settings().names.servers == ServerNames::Own {
        return Ok(());
    }
    let shown = match &*call.method {
        method::TOOLS_CALL | method::PROMPTS_GET => text(&call.params, "name"),
        method::COMPLETE => text(&call.params.object("ref").unwrap_or_default(), "name"),
        _ => return Ok(()),
    };
    let Ok(shown) = shown else { return Ok(()) };
    let own = match gateway.named(&call.portal, false, &shown) {
        Some((_, own)) if own != shown => own,
        // What has such an end is a name that was rewritten, or none.
        _ if Digest::read(&shown).is_some() => {
            return Err(RpcError::invalid_params(format!("Unknown name: {shown}")));
        }
        _ => return Ok(()),
    };
    if *call.method == *method::COMPLETE {
        if let Some(reference) = call.params.object_mut("ref") {
            reference.set("name", own.as_str());
        }
    } else {
        call.params.set("name", own.as_str());
        call.shown_name = Some(shown.into());
    }
    Ok(())
}

/// The answer to a call for what is stopped, and not for its caller anyway.
fn hidden(call: &Call) -> CallError {
    match &*call.method {
        method::TOOLS_CALL => absent(call, "tool", &text(&call.params, "name").unwrap_or_default()),
        method::PROMPTS_GET => {
            absent(call, "prompt", &text(&call.params, "name").unwrap_or_default())
        }
        method::RESOURCES_READ => {
            absent(call, "resource", &text(&call.params, "uri").unwrap_or_default())
        }
        method::COMPLETE => RpcError::invalid_params(UNKNOWN_REFERENCE).into(),
        _ => RpcError::invalid_request("Unknown server").into(),
    }
}

/// Sends a call on to its server, in the client's era.
fn route<'a>(
    gateway: &'a Arc<Gateway>,
    call: &'a mut Call,
    server: Option<Arc<Server>>,
) -> Step<'a> {
    let Some(server) = server else { return Step::CONTINUE };
    if let Some(refused) = gateway.refuses(call, &server) {
        call.route = Some(Route::to(server));
        return Step::refuse(refused.unwrap_or_else(|| hidden(call)));
    }
    // Another has come in its place meanwhile.
    let server = match server.is_retired() {
        true => gateway.server(&server.name).unwrap_or(server),
        false => server,
    };
    let era = call.revision.era();
    if let Some(server) = server.known_in(era) {
        call.route = Some(Route::to(server.clone()));
        return find_listed(gateway, call, server);
    }
    Step::Later(Box::pin(async move {
        let server = server.spoken_in(era).await;
        call.route = Some(Route::to(server.clone()));
        match find_listed(gateway, call, server) {
            Step::Now(decision) => decision,
            Step::Later(decision) => decision.await,
        }
    }))
}

/// What a server does not list is not there for anybody, be it that it would answer.
fn find_listed<'a>(gateway: &'a Arc<Gateway>, call: &'a mut Call, server: Arc<Server>) -> Step<'a> {
    let named = |member| text(&call.params, member);
    let found = match &*call.method {
        method::TOOLS_CALL => named("name").map(|name| find_tool(gateway, call, server, name)),
        method::PROMPTS_GET => named("name").map(|name| find_prompt(gateway, call, server, name)),
        method::RESOURCES_READ => named("uri").map(|uri| find_resources(call, server, uri)),
        method::COMPLETE => {
            let reference = call.params.object("ref").unwrap_or_default();
            match (text(&reference, "uri"), text(&reference, "name")) {
                (Ok(uri), _) => Ok(find_resources(call, server, uri)),
                (Err(_), Ok(name)) => Ok(find_prompt(gateway, call, server, name)),
                (Err(error), Err(_)) => Err(error),
            }
        }
        of if names_a_task(of) => return find_task(call, server),
        _ => Ok(Step::CONTINUE),
    };
    found.unwrap_or_else(Step::refuse)
}

/// The server that a call at the merged portal is for, its own name put in the place of the
/// qualified one. `None` for what concerns all servers.
fn merged(gateway: &Gateway, call: &mut Call) -> Result<Option<Arc<Server>>, RpcError> {
    match &*call.method {
        method::TOOLS_CALL | method::PROMPTS_GET => {
            let what = if *call.method == *method::TOOLS_CALL { "tool" } else { "prompt" };
            let name = text(&call.params, "name")?;
            let Some((server, own)) = gateway.named(&call.portal, false, &name) else {
                return Err(RpcError::invalid_params(format!("Unknown {what}: {name}")));
            };
            call.params.set("name", own.as_str());
            call.shown_name = Some(name.into());
            Ok(Some(server))
        }
        method::RESOURCES_READ => {
            let uri = text(&call.params, "uri")?;
            let Some((server, own)) = gateway.named(&call.portal, true, &uri) else {
                return Err(unknown_resource(&uri));
            };
            call.params.set("uri", own.as_str());
            call.shown_name = Some(uri.into());
            Ok(Some(server))
        }
        method::COMPLETE => complete(gateway, &call.portal, &mut call.params).map(Some),
        of if names_a_task(of) => {
            let id = text(&call.params, "taskId")?;
            let found = id.rsplit_once('.');
            let found = found.and_then(|(server, own)| Some((gateway.server(server)?, own)));
            let Some((server, own)) = found else {
                return Err(unknown_task());
            };
            call.params.set("taskId", own);
            Ok(Some(server))
        }
        method::DISCOVER | method::LISTEN => Ok(None),
        of if kind_of(of).is_some() => Ok(None),
        // Whose extension this is cannot be told here; at the server's own portal it can.
        of => Err(RpcError::method_not_found(of)),
    }
}

fn complete(
    gateway: &Gateway,
    portal: &Portal,
    params: &mut Object,
) -> Result<Arc<Server>, RpcError> {
    let unknown = || RpcError::invalid_params(UNKNOWN_REFERENCE);
    let reference = params.object_mut("ref").ok_or_else(unknown)?;
    let member = if reference.contains("uri") { "uri" } else { "name" };
    let named = reference.string(member).ok_or_else(unknown)?.into_owned();
    let found = gateway.named(portal, member == "uri", &named);
    let (server, own) = found.ok_or_else(unknown)?;
    reference.set(member, own.as_str());
    Ok(server)
}

fn text(params: &Object, member: &str) -> Result<String, RpcError> {
    params
        .string(member)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| RpcError::invalid_params(format!("'{member}' must be a string")))
}

/// What is known of the tool: one look-up, and one fresh fetch for a name that is not known.
fn find_tool<'a>(
    gateway: &'a Arc<Gateway>,
    call: &'a mut Call,
    server: Arc<Server>,
    name: String,
) -> Step<'a> {
    let view = server.catalog.known(&server, &call.client.capabilities, TOOLS);
    if let Some(tool) = view.as_ref().and_then(|view| view.tool(&name).cloned()) {
        call.route = Some(Route::to_tool(server, &name, Some(tool)));
        return Step::CONTINUE;
    }
    let listed = view.is_some_and(|view| view.knows(TOOLS));
    if is_hidden(gateway, call, &server, listed, TOOLS) {
        return Step::refuse(absent(call, "tool", &name));
    }
    Step::Later(Box::pin(async move {
        let tool = {
            let asked = call.asked(&server);
            server.catalog.doubt(&server, &call.client.capabilities, TOOLS);
            server.catalog.view_of(&server, &asked, TOOLS).await?.tool(&name).cloned()
        };
        let tool = tool.ok_or_else(|| absent(call, "tool", &name))?;
        call.route = Some(Route::to_tool(server, &name, Some(tool)));
        Ok(None)
    }))
}

/// The tool whose call has created a task. Input for it is sent only while the server lists the tool.
fn find_task(call: &mut Call, server: Arc<Server>) -> Step<'_> {
    let sealed = call.params.string("taskId").unwrap_or_default();
    let Some(of) = server.call_of_task(&call.caller.principal.id, &sealed) else {
        return Step::CONTINUE;
    };
    let view = server.catalog.known(&server, &call.client.capabilities, TOOLS);
    let tool = view.and_then(|view| view.tool(&of.tool).cloned());
    if tool.is_some() || *call.method != *method::TASKS_UPDATE {
        call.notes.task = Some(Box::new(AboutTask { of, tool }));
        return Step::CONTINUE;
    }
    Step::Later(Box::pin(async move {
        let asked = call.asked(&server);
        let tool = server.catalog.view_of(&server, &asked, TOOLS).await?.tool(&of.tool).cloned();
        let tool = Some(tool.ok_or_else(unknown_task)?);
        call.notes.task = Some(Box::new(AboutTask { of, tool }));
        Ok(None)
    }))
}

/// The same of a prompt.
fn find_prompt<'a>(
    gateway: &'a Arc<Gateway>,
    call: &'a mut Call,
    server: Arc<Server>,
    name: String,
) -> Step<'a> {
    let view = server.catalog.known(&server, &call.client.capabilities, PROMPTS);
    if view.as_ref().is_some_and(|view| view.has_prompt(&name)) {
        return Step::CONTINUE;
    }
    let listed = view.is_some_and(|view| view.knows(PROMPTS));
    if is_hidden(gateway, call, &server, listed, PROMPTS) {
        return Step::refuse(unlisted(call, "prompt", &name));
    }
    Step::Later(Box::pin(async move {
        let asked = call.asked(&server);
        server.catalog.doubt(&server, &call.client.capabilities, PROMPTS);
        match server.catalog.view_of(&server, &asked, PROMPTS).await?.has_prompt(&name) {
            true => Ok(None),
            false => Err(unlisted(call, "prompt", &name)),
        }
    }))
}

/// Whether a name that is not known is answered as fast as one that is there and not for this caller: the lists are
/// looked at again for whoever comes next.
fn is_hidden(
    gateway: &Gateway,
    call: &Call,
    server: &Arc<Server>,
    listed: bool,
    kind: usize,
) -> bool {
    let restricted = !gateway.is_unrestricted(&call.caller.principal, &call.portal);
    let hidden = restricted && (listed || !gateway.sees(call, server));
    if hidden {
        server.catalog.doubt(server, &call.client.capabilities, kind);
    }
    hidden
}

/// Resources may be named that no list has, such as those that a template makes or a result links to; but only of a
/// server that says that it has some, and not those of a template that is withheld.
fn find_resources(call: &mut Call, server: Arc<Server>, uri: String) -> Step<'_> {
    let known = server.known().map(|contact| contact.about.has("resources"));
    let may_withhold = server.is_pinned() || server.shared.approval.withholds();
    let withheld = match may_withhold {
        false => Some(false),
        true => server
            .catalog
            .known(&server, &call.client.capabilities, TEMPLATES)
            .filter(|view| view.knows(TEMPLATES) && view.knows(RESOURCES))
            .map(|view| view.withholds(&uri)),
    };
    match (known, withheld) {
        (Some(false), _) | (_, Some(true)) => Step::refuse(unlisted(call, "resource", &uri)),
        (Some(true), Some(false)) => Step::CONTINUE,
        _ => Step::Later(Box::pin(async move {
            if !server.contact().await?.about.has("resources") {
                return Err(unlisted(call, "resource", &uri));
            }
            if may_withhold {
                let asked = call.asked(&server);
                server.catalog.view_of(&server, &asked, RESOURCES).await?;
                if server.catalog.view_of(&server, &asked, TEMPLATES).await?.withholds(&uri) {
                    return Err(unlisted(call, "resource", &uri));
                }
            }
            Ok(None)
        })),
    }
}

fn unlisted(call: &Call, what: &str, name: &str) -> CallError {
    if *call.method == *method::COMPLETE {
        return RpcError::invalid_params(UNKNOWN_REFERENCE).into();
    }
    absent(call, what, name)
}
