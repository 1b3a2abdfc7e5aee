//! What the gateway derives from the list of tools: their schemas and annotations. A tool that cannot be parsed is
//! skipped, alone and with the reason.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use doorward_mcp::{Era, Object, Value, param_headers, tasks};

use super::tool::{Schemas, ToolEntry};
use super::view::Item;
use crate::Server;
use doorward_config::{Check, ServerSettings};
use doorward_core::Failure;

/// Time limit for compiling all schemas of a server. Remaining tools are skipped then.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub struct Learnt {
    pub items: Vec<Item>,
    pub tools: HashMap<Box<str>, Arc<ToolEntry>>,
    pub left_out: BTreeMap<Box<str>, String>,
}

/// Parses tools, on a thread that serves no calls.
pub async fn tools(server: &Server, era: Era, items: Vec<Item>) -> Result<Learnt, Failure> {
    let settings = server.settings.clone();
    // A known tool is reused as long as its schemas are the same.
    let known = server.catalog.latest();
    let learning = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + PATIENCE;
        let mut learnt = Learnt::default();
        for mut item in items {
            if era == Era::Handshake && headers_of(&item.definition).is_err() {
                without_headers(&mut item.definition);
            }
            let known = known.as_ref().and_then(|view| view.tool(&item.key));
            match entry(&settings, &item, known, end) {
                Ok(entry) => {
                    entry.schemas.put(&mut item.definition);
                    learnt.tools.insert(item.key.clone(), Arc::new(entry));
                    learnt.items.push(item);
                }
                Err(why) => _ = learnt.left_out.insert(item.key, why),
            }
        }
        learnt
    });
    let learnt = learning.await.map_err(|error| {
        Failure::new(Kind::InvalidMessage, "The server's tools cannot be parsed").because(error)
    })?;
    for (tool, why) in &learnt.left_out {
        tracing::warn!(server = &*server.name, tool = &**tool, "a tool is not listed: {why}");
    }
    Ok(learnt)
}

fn entry(
    settings: &ServerSettings,
    item: &Item,
    known: Option<&Arc<ToolEntry>>,
    end: Instant,
) -> Result<ToolEntry, String> {
    let tool = &item.definition;
    let (arguments, results) = settings.checks_of(&item.key);
    let texts = ["inputSchema", "outputSchema"].map(|name| tool.get(name).map(Value::to_bytes));
    let checked = [arguments.check() != Check::Off, results.check() != Check::Off];
    let same =
        |known: &&Arc<ToolEntry>| known.schemas.texts == texts && known.schemas.checked == checked;
    let schemas = match known.filter(same) {
        Some(known) => known.schemas.clone(),
        None => Arc::new(Schemas::of(texts, checked, end)),
    };
    if let Some(why) = schemas.unusable.as_ref().filter(|_| arguments.hides_unusable()) {
        return Err(why.clone());
    }
    let annotations = tool.object("annotations");
    let said =
        |hint: &str| annotations.as_ref().and_then(|annotations| annotations.get(hint)?.as_bool());
    let says = |hint: &str| said(hint) == Some(true);
    Ok(ToolEntry {
        name: item.key.clone(),
        schemas,
        arguments,
        results,
        cache: settings.cache_of(&item.key),
        param_headers: headers_of(tool).map_err(|bad| bad.to_string())?,
        task: tasks::Support::of(tool),
        reads_only: says("readOnlyHint"),
        open_world: said("openWorldHint").unwrap_or(true),
        is_idempotent: says("idempotentHint"),
    })
}

const ANNOTATION: &str = "x-mcp-header";

/// The text of a tool's input schema if it may declare arguments that are mirrored in headers. Most
/// do not: a scan of the bytes avoids parsing the schema.
fn annotated(tool: &Object) -> Option<serde_json::Value> {
    let text = tool.get("inputSchema")?.to_bytes();
    let named = text.windows(ANNOTATION.len()).any(|window| window == ANNOTATION.as_bytes());
    named.then(|| serde_json::from_slice(&text).ok()).flatten()
}

fn headers_of(
    tool: &Object,
) -> Result<Vec<param_headers::ParamHeader>, param_headers::BadAnnotation> {
    annotated(tool).map_or_else(|| Ok(Vec::new()), |schema| param_headers::read(&schema))
}

/// Removes header annotations. The handshake era does not define them, and an invalid one would
/// have clients of the modern era reject the tool (spec 2026-07-28 server/tools).
fn without_headers(tool: &mut Object) {
    fn take(value: &mut serde_json::Value, depth: usize) -> bool {
        use serde_json::Value::{Array, Object};
        let Some(depth) = depth.checked_sub(1) else { return false };
        match value {
            Object(members) => {
                // A property may have the same name, but its schema is an object.
                let is_said = |value: &serde_json::Value| !value.is_object();
                let mut taken = members.get(ANNOTATION).is_some_and(is_said);
                if taken {
                    members.remove(ANNOTATION);
                }
                for part in members.values_mut() {
                    taken |= take(part, depth);
                }
                taken
            }
            Array(items) => items.iter_mut().fold(false, |taken, item| take(item, depth) | taken),
            _ => false,
        }
    }
    if let Some(mut schema) = annotated(tool)
        && take(&mut schema, 128)
    {
        tool.set("inputSchema", Value::from_serde(&schema));
    }
}
