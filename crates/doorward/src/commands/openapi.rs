//! `doorward openapi inspect`: the tools that an OpenAPI document would result in, without sending a request.

use std::io::Write;

use doorward_openapi::{Description, LeftOut, Selection, Tool, tools};
use serde_json::json;

use super::{Exit, Failed};
use crate::cli::{Inspect, OpenApi};
use crate::terminal::{self, one_line};

pub fn run(options: OpenApi) -> Result<(), Failed> {
    let OpenApi::Inspect(options) = options;
    let text = std::fs::read_to_string(&options.file).map_err(|error| {
        Failed::new(Exit::Config, format!("{}: {error}", options.file.display()))
    })?;
    let description = Description::parse(&text).map_err(|error| {
        Failed::new(Exit::Config, format!("{}: {error}", options.file.display()))
    })?;
    let (tools, left_out) = tools(&description, &selection(&options));
    let mut out = std::io::stdout().lock();
    if options.json {
        let told = json!({
            "title": description.title(), "server": description.server(),
            "tools": tools, "leftOut": left_out,
        });
        terminal::json(&mut out, &told)?;
        return Ok(());
    }
    show(&mut out, &description, &tools, &left_out)?;
    Ok(())
}

fn selection(options: &Inspect) -> Selection {
    Selection {
        operations: options.operation.clone(),
        tags: options.tag.clone(),
        paths: options.path.clone(),
        methods: options.method.clone(),
        except: options.except.clone(),
        deprecated: options.deprecated,
        ..Selection::default()
    }
}

fn show(
    out: &mut impl Write,
    description: &Description,
    tools: &[Tool],
    left_out: &[LeftOut],
) -> std::io::Result<()> {
    let server = description.server().unwrap_or_else(|| "an unspecified place".into());
    writeln!(out, "{} at {}", one_line(description.title()), one_line(&server))?;
    let mut rows = vec![["TOOL", "REQUEST", "ARGUMENTS", "HINTS", "OUTPUT"].map(str::to_owned)];
    for tool in tools {
        rows.push([
            one_line(&tool.name),
            one_line(&format!("{} {}", tool.method, tool.path)),
            one_line(&arguments(tool)),
            hints(tool),
            if tool.output.is_some() { "schema".into() } else { "-".into() },
        ]);
    }
    for at in 0..rows.len() {
        writeln!(out, "{}", terminal::row(&rows, at))?;
    }
    let (unselected, cannot): (Vec<_>, Vec<_>) = left_out.iter().partition(|left| left.unselected);
    for left in &cannot {
        writeln!(out, "not a tool: {}: {}", one_line(&left.operation), one_line(&left.why))?;
    }
    for (name, scheme) in description.schemes() {
        match scheme {
            Ok(scheme) => {
                writeln!(out, "security: {}: {}", one_line(name), one_line(&scheme.to_string()))?;
            }
            Err(why) => {
                let why = one_line(&why.to_string());
                writeln!(out, "security: {}: not supported: {why}", one_line(name))?;
            }
        }
    }
    writeln!(
        out,
        "{} tools; {} operations cannot be tools, {} are not selected",
        tools.len(),
        cannot.len(),
        unselected.len()
    )
}

/// Names of arguments: required ones first, marked with an asterisk.
fn arguments(tool: &Tool) -> String {
    let required = tool.input["required"].as_array().cloned().unwrap_or_default();
    let names = tool.input["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
    let mut names: Vec<(bool, String)> = names
        .map(|name| {
            let needed = required.iter().any(|one| one == name);
            (!needed, if needed { format!("{name}*") } else { name.clone() })
        })
        .collect();
    names.sort();
    let more = names.len().saturating_sub(6);
    let mut told: Vec<String> = names.into_iter().take(6).map(|(_, name)| name).collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    if told.is_empty() { "-".into() } else { told.join(", ") }
}

fn hints(tool: &Tool) -> String {
    let hints = tool.annotations;
    let all = [
        (hints.read_only, "reads"),
        (hints.idempotent && !hints.read_only, "idempotent"),
        (hints.destructive, "destructive"),
    ];
    let told: Vec<&str> = all.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    if told.is_empty() { "writes".into() } else { told.join(", ") }
}
