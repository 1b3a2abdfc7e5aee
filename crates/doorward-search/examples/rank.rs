//! Ranks tools for questions: what `tests/search/run.py` measures.
//!
//! `rank TOOLS LIMIT < QUESTIONS` reads one tool and one question a line, as JSON, and prints the positions of the tools that
//! fit, best first, one list a line.

use doorward_search::{Document, Index, Request, Tool};
use serde_json::Value;
use std::error::Error;
use std::io::{BufRead, BufWriter, Write};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: rank TOOLS LIMIT < QUESTIONS";
    let tools = std::fs::read_to_string(arguments.next().ok_or(usage)?)?;
    let limit = arguments.next().ok_or(usage)?.parse()?;
    let documents = tools.lines().map(document).collect::<Result<Vec<_>, _>>()?;
    let view = Arc::new(Index::new(&documents)).view(|_| true);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let hits =
            view.search(&Request { question: text(&line, "query"), limit, ..Request::default() });
        let positions: Vec<usize> = hits.iter().map(|hit| hit.position).collect();
        writeln!(out, "{positions:?}")?;
    }
    Ok(out.flush()?)
}

fn document(line: &str) -> Result<Document, serde_json::Error> {
    let tool: Value = serde_json::from_str(line)?;
    Ok(Document::new(&Tool {
        server: text(&tool, "server"),
        name: text(&tool, "name"),
        title: text(&tool, "title"),
        description: text(&tool, "description"),
        input_schema: text(&tool, "schema"),
    }))
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}
