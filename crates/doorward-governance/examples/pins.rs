//! How long it takes to compare a catalogue with its pins: `cargo run --release -p doorward-governance --example pins`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_governance::names;
use doorward_governance::pins::{Book, Definition, Judgement, Kind, Place};
use doorward_mcp::{Era, Object};

const TOOLS: usize = 10_000;
const ROUNDS: usize = 20;

/// A definition of the size that tools of real servers have in the median.
fn tool(number: usize) -> Object {
    let mut properties = BTreeMap::new();
    for name in ["owner", "repository", "path", "branch", "message"] {
        let description = format!("The {name} of the file that is created or changed by this tool");
        properties
            .insert(name, serde_json::json!({ "type": "string", "description": description }));
    }
    let definition = serde_json::json!({
        "name": format!("create_or_update_file_{number}"),
        "title": "Create or update a file",
        "description": "Creates or updates a single file in a repository. If the file is there, its \
            current version must be given. Returns the commit that was made.",
        "inputSchema": { "type": "object", "properties": properties, "required": ["owner", "repository", "path"] },
        "annotations": { "readOnlyHint": false, "destructiveHint": true },
    });
    Object::from_serde(&definition).unwrap_or_default()
}

fn main() {
    let tools: Vec<Object> = (0..TOOLS).map(tool).collect();
    let named = |tool: &Object| tool.string("name").unwrap_or_default().into_owned();
    let mut book = Book::default();
    for tool in &tools {
        let said = Definition::of(tool);
        book.pin(Place::new(Era::Modern, Kind::Tool, &named(tool)), said.hash, said.core, None);
    }
    let bytes: usize = tools.iter().map(|tool| tool.to_bytes().len()).sum();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let served = tools.iter().filter(|tool| {
            let place = Place::new(Era::Modern, Kind::Tool, &named(tool));
            book.judge(&place, &Definition::of(tool)) == Judgement::Served
        });
        assert_eq!(served.count(), TOOLS);
        times.push(begun.elapsed());
    }
    report("compared with their pins", bytes, &mut times);
    let mut times = Vec::new();
    let all: Vec<String> = tools.iter().map(named).collect();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        assert_eq!(names::twins(all.iter().map(String::as_str)), []);
        times.push(begun.elapsed());
    }
    report("searched for names that look alike", bytes, &mut times);
}

fn report(what: &str, bytes: usize, times: &mut [Duration]) {
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{TOOLS} tools, {} bytes each, {what}: {:.1} ms (slowest of {ROUNDS}: {:.1} ms)",
        bytes / TOOLS,
        median.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3
    );
}
