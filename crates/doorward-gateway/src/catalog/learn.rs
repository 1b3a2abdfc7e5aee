//! What the gateway learns of tools when it sees their list: what their schemas are, and what they say of
//! themselves. A tool that cannot be understood is left out, alone and with the reason.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Value, param_headers, tasks};

use super::{Item, ToolEntry};
use crate::call::Failure;
use crate::schema::Schema;
use crate::settings::{Check, ServerSettings};
use crate::upstream::Server;

/// How long all schemas of a server may take to be compiled. Those that are left then are left out.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tool's schemas, and the texts they were compiled from.
#[derive(Debug, Default)]
pub struct Schemas {
    texts: [Option<Bytes>; 2],
    pub input: Option<Schema>,
    pub output: Option<Schema>,
}

impl Schemas {
    /// What of them is not checked, in words for an operator.
    pub fn note(&self) -> Option<String> {
        let of = |name: &str, schema: &Option<Schema>| {
            schema.as_ref()?.note().map(|note| format!("of its {name}, {note}"))
        };
        let notes = [of("inputSchema", &self.input), of("outputSchema", &self.output)];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

#[derive(Debug, Default)]
pub struct Learnt {
    pub items: Vec<Item>,
    pub tools: HashMap<Box<str>, Arc<ToolEntry>>,
    pub left_out: BTreeMap<Box<str>, String>,
}

/// Learns tools, away from the threads that calls are on.
pub async fn tools(server: &Server, items: Vec<Item>) -> Result<Learnt, Failure> {
    let settings = server.settings.clone();
    // What is known of a tool goes on, as long as its schemas are the same.
    let known = server.catalog.latest();
    let learning = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + PATIENCE;
        let mut learnt = Learnt::default();
        for item in items {
            let known = known.as_ref().and_then(|view| view.tool(&item.key));
            match entry(&settings, &item, known, end) {
                Ok(entry) => {
                    learnt.tools.insert(item.key.clone(), Arc::new(entry));
                    learnt.items.push(item);
                }
                Err(why) => _ = learnt.left_out.insert(item.key, why),
            }
        }
        learnt
    });
    let learnt = learning.await.map_err(|error| {
        Failure::new(Kind::InvalidMessage, "The server's tools cannot be understood").because(error)
    })?;
    for (tool, why) in &learnt.left_out {
        tracing::warn!(server = &*server.name, tool = &**tool, "left out a tool: {why}");
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
    let wanted = |schema: &str, check: Check| {
        tool.get(schema).filter(|_| check != Check::Off).map(Value::to_bytes)
    };
    let texts = [wanted("inputSchema", arguments.check()), wanted("outputSchema", results.check())];
    let schemas = match known.filter(|known| known.schemas.texts == texts) {
        Some(known) => known.schemas.clone(),
        None => Arc::new(compiled(texts, end)?),
    };
    let annotations = tool.object("annotations");
    let says = |hint: &str| {
        let said = annotations.as_ref().and_then(|annotations| annotations.get(hint)?.as_bool());
        said == Some(true)
    };
    Ok(ToolEntry {
        name: item.key.clone(),
        schemas,
        arguments,
        results,
        cache: settings.cache_of(&item.key),
        param_headers: headers_of(tool).map_err(|bad| bad.to_string())?,
        task: tasks::Support::of(tool),
        reads_only: says("readOnlyHint"),
        is_idempotent: says("idempotentHint"),
    })
}

fn compiled(texts: [Option<Bytes>; 2], end: Instant) -> Result<Schemas, String> {
    if Instant::now() >= end {
        return Err("the server's schemas take too long to be compiled".into());
    }
    let [input, output] = &texts;
    let compile = |name: &str, text: &Option<Bytes>| {
        let schema = text.as_ref().map(|text| Schema::compile(text)).transpose();
        schema.map_err(|why| format!("its {name} {why}"))
    };
    let input = compile("inputSchema", input)?;
    let output = compile("outputSchema", output)?;
    Ok(Schemas { input, output, texts })
}

fn headers_of(
    tool: &Object,
) -> Result<Vec<param_headers::ParamHeader>, param_headers::BadAnnotation> {
    let Some(schema) = tool.get("inputSchema") else { return Ok(Vec::new()) };
    let text = schema.to_bytes();
    // Most tools have none: one look at the bytes saves building the schema.
    if !text.windows(12).any(|window| window == b"x-mcp-header") {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text)
        .map_or_else(|_| Ok(Vec::new()), |schema| param_headers::read(&schema))
}
