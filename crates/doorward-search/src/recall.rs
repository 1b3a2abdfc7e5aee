//! What is found in the texts of `tests/search`, by language. `tests/search/run.py` prints the figures.

use crate::{Document, Index, Request, Tool, View};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

const TOOLS: &str = include_str!("../../../tests/search/own.tools.jsonl");
const QUESTIONS: &str = include_str!("../../../tests/search/own.queries.jsonl");

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn view(tools: &[Value]) -> View {
    let text = |tool: &'_ Value, member: &str| tool[member].as_str().unwrap_or_default().to_owned();
    let documents: Vec<Document> = tools
        .iter()
        .map(|tool| {
            Document::new(&Tool {
                server: &text(tool, "server"),
                name: &text(tool, "name"),
                description: &text(tool, "description"),
                input_schema: &text(tool, "schema"),
                ..Tool::default()
            })
        })
        .collect();
    Arc::new(Index::new(&documents)).view(|_| true)
}

/// The rank of the tool that a question needs, counted from 1.
fn rank(view: &View, tools: &[Value], question: &Value) -> Option<usize> {
    let request =
        Request { question: question["query"].as_str().unwrap(), limit: 10, ..Request::default() };
    let hits = view.search(&request);
    hits.iter()
        .position(|hit| tools[hit.position]["name"] == question["tools"][0])
        .map(|rank| rank + 1)
}

#[test]
fn questions_in_six_languages_find_tools_with_english_names() {
    let tools = lines(TOOLS);
    let view = view(&tools);
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for question in lines(QUESTIONS) {
        let (hits, all) =
            found.entry(question["language"].as_str().unwrap().to_owned()).or_default();
        *hits += usize::from(rank(&view, &tools, &question).is_some_and(|rank| rank <= 5));
        *all += 1;
    }
    assert_eq!(found.len(), 6, "{found:?}");
    for (language, (hits, all)) in &found {
        assert!(*all >= 30 && hits * 100 >= all * 85, "{language}: {hits} of {all}");
    }
}

#[test]
fn the_name_of_a_tool_finds_it_first() {
    let tools = lines(TOOLS);
    let view = view(&tools);
    for tool in &tools {
        let question = serde_json::json!({"query": tool["name"], "tools": [tool["name"]]});
        assert_eq!(rank(&view, &tools, &question), Some(1), "{}", tool["name"]);
    }
}
