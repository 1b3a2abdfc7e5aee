//! What indexing and searching cost, by the number of tools.
//!
//! `speed [TOOLS QUESTIONS]` takes tools and questions of files as `tests/search/run.py` reads them, repeated with other names
//! until there are enough; without them, texts that it makes.

use doorward_search::{Document, Index, Request, Tool, View};
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

const VERBS: [&str; 12] = [
    "get", "list", "search", "create", "update", "delete", "send", "convert", "read", "write",
    "run", "compare",
];
const NOUNS: [&str; 16] = [
    "issue", "invoice", "file", "message", "calendar", "forecast", "order", "customer", "table",
    "branch", "image", "route", "report", "document", "price", "account",
];

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let (tools, questions) = match &files[..] {
        [tools, questions] => (lines(tools)?, lines(questions)?),
        _ => made(),
    };
    let questions: Vec<&str> =
        questions.iter().filter_map(|line| line["query"].as_str()).take(1_000).collect();
    println!(
        "tools | document µs, bytes | index ms, bytes per tool | view µs | search µs: median, 99 of 100, longest | with its view"
    );
    for count in [100, 1_000, 10_000] {
        measure(&tools, &questions, count);
    }
    Ok(())
}

fn measure(tools: &[Value], questions: &[&str], count: usize) {
    let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
    let start = Instant::now();
    let documents: Vec<Document> = (0..count)
        .map(|number| {
            let tool = &tools[number % tools.len()];
            // Copies differ in their server, as tools of many servers do.
            let server = format!("{}-{}", text(tool, "server"), number / tools.len());
            Document::new(&Tool {
                server: &server,
                name: &text(tool, "name"),
                description: &text(tool, "description"),
                input_schema: &text(tool, "schema"),
                ..Tool::default()
            })
        })
        .collect();
    let document = start.elapsed() / u32::try_from(count).unwrap_or(u32::MAX);
    let start = Instant::now();
    let index = Arc::new(Index::new(&documents));
    let built = start.elapsed();
    // A caller who may see nine tools of ten.
    let may = |position: usize| !position.is_multiple_of(10);
    let views = times(0..101, |_| index.view(may).len());
    let view = index.view(may);
    let searches = times(questions, |question| search(&view, question));
    let both = times(questions, |question| search(&index.view(may), question));
    println!(
        "{count} | {:.1}, {} | {:.1}, {} | {} | {}, {}, {} | {}",
        document.as_secs_f64() * 1e6,
        documents.iter().map(Document::size).sum::<usize>() / count,
        built.as_secs_f64() * 1e3,
        index.size() / count,
        views[views.len() / 2].as_micros(),
        searches[searches.len() / 2].as_micros(),
        searches[searches.len() * 99 / 100].as_micros(),
        searches[searches.len() - 1].as_micros(),
        both[both.len() / 2].as_micros(),
    );
}

fn search(view: &View, question: &str) -> usize {
    view.search(&Request { question, limit: 8, ..Request::default() }).len()
}

/// How long each takes, in order.
fn times<T>(items: impl IntoIterator<Item = T>, run: impl Fn(T) -> usize) -> Vec<Duration> {
    let mut times: Vec<Duration> = items
        .into_iter()
        .map(|item| {
            let start = Instant::now();
            std::hint::black_box(run(item));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn lines(path: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    Ok(std::fs::read_to_string(path)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

fn made() -> (Vec<Value>, Vec<Value>) {
    let pairs = || VERBS.iter().flat_map(|verb| NOUNS.iter().map(move |noun| (*verb, *noun)));
    let tools = pairs().map(|(verb, noun)| {
        serde_json::json!({
            "server": format!("{noun}s"),
            "name": format!("{verb}_{noun}"),
            "description": format!("Use this to {verb} one {noun} or several of them, by id or by name. Returns each {noun} as JSON."),
            "schema": format!(r#"{{"properties":{{"{noun}_id":{{"type":"string","description":"The id of the {noun} to {verb}"}}}}}}"#),
        })
    });
    let questions = pairs().map(|(verb, noun)| serde_json::json!({"query": format!("Please {verb} the {noun} of last week for me")}));
    (tools.collect(), questions.collect())
}
