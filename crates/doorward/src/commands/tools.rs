//! `doorward tools`: the tools of a running gateway.

use std::io::Write;

use doorward_mcp::Object;

use super::{Failed, functions};
use crate::cli::Tools;
use crate::client::{self, Client};
use crate::terminal::{self, one_line};

pub async fn run(options: Tools) -> Result<(), Failed> {
    if let Some(format) = options.format {
        return functions::run(&options.target, format, options.strict).await;
    }
    let endpoint =
        client::endpoint(&options.target.url, &options.target.headers, &options.target.credential)?;
    let mut client = Client::new(endpoint, Object::new(), None);
    let tools = client.tools().await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        let tools: Vec<_> = tools.iter().map(Object::to_serde).collect();
        terminal::json(&mut out, &serde_json::Value::Array(tools))?;
        return Ok(());
    }
    let color = terminal::color();
    for tool in &tools {
        let name = tool.string("name").unwrap_or_default();
        let name = terminal::name(&name);
        let text = tool.string("description").or_else(|| tool.string("title")).unwrap_or_default();
        let text = one_line(text.split("\n\n").next().unwrap_or_default());
        writeln!(out, "{}{}", terminal::paint(&name, "1", color), arguments(tool))?;
        if !text.is_empty() {
            writeln!(out, "    {text}")?;
        }
    }
    if tools.is_empty() {
        eprintln!("no tools; run 'doorward servers' for the status of the servers");
    }
    Ok(())
}

/// The arguments as they are entered; optional ones in brackets.
fn arguments(tool: &Object) -> String {
    let schema = tool.get("inputSchema").map(doorward_mcp::Value::to_bytes).unwrap_or_default();
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap_or_default();
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(serde_json::Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else { return String::new() };
    properties
        .iter()
        .map(|(name, property)| {
            let kind = match &property["type"] {
                serde_json::Value::String(kind) => kind.clone(),
                _ => "value".into(),
            };
            let argument = one_line(&format!("{name}=<{kind}>"));
            if required.contains(&name.as_str()) {
                format!(" {argument}")
            } else {
                format!(" [{argument}]")
            }
        })
        .collect()
}
