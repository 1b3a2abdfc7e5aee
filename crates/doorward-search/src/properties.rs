//! What holds for any catalogue, any view and any question.

use crate::{Document, Hit, Index, MAX_LIMIT, Request, Tool, View};
use proptest::prelude::*;
use std::sync::Arc;

/// Words from few, so that tools share them, and anything else.
fn texts() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(vec!["get", "searchIssues", "create_file", "weather", "Wetter", "天気予報", "météo", "file", "s3"]),
        1 => prop::sample::select(vec!["\u{fdfa}", "İß", "\u{0}", "🦀", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "が", "e\u{301}"]),
    ];
    prop_oneof![4 => prop::collection::vec(word, 0..8).prop_map(|words| words.join(" ")), 1 => any::<String>()]
}

#[derive(Clone, Debug)]
struct Definition {
    server: String,
    name: String,
    description: String,
    schema: String,
}

fn definitions() -> impl Strategy<Value = Vec<Definition>> {
    let schema = prop_oneof![
        texts()
            .prop_map(|name| serde_json::json!({"properties": {name: {"description": "a file"}}})
                .to_string()),
        any::<String>(),
        Just("{\"properties\":{\"a\":{\"anyOf\":[[[[{\"properties\":".to_owned()),
    ];
    let definition = (texts(), texts(), texts(), schema);
    let definition = definition.prop_map(|(server, name, description, schema)| Definition {
        server,
        name,
        description,
        schema,
    });
    prop::collection::vec(definition, 0..24)
}

fn documents(definitions: &[Definition]) -> Vec<Document> {
    let tool = |definition: &Definition| {
        Document::new(&Tool {
            server: &definition.server,
            name: &definition.name,
            description: &definition.description,
            input_schema: &definition.schema,
            ..Tool::default()
        })
    };
    definitions.iter().map(tool).collect()
}

/// Positions and the bits of scores.
fn exact(hits: &[Hit], position: impl Fn(usize) -> usize) -> Vec<(usize, u32)> {
    hits.iter().map(|hit| (position(hit.position), hit.score.to_bits())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_view_answers_as_an_index_of_its_tools_alone(
        definitions in definitions(),
        question in texts(),
        mask in any::<u32>(),
        lists in prop::collection::vec(0_usize..24, 0..8),
        limit in 0_usize..30,
    ) {
        let documents = documents(&definitions);
        let may = |position: &usize| mask & (1 << position) != 0;
        let kept: Vec<usize> = (0..documents.len()).filter(may).collect();
        let alone = Arc::new(Index::new(kept.iter().map(|position| &documents[*position]))).view(|_| true);
        let view = Arc::new(Index::new(&documents)).view(|position| may(&position));
        let inside: Vec<usize> =
            lists.iter().filter_map(|position| kept.iter().position(|other| other == position)).collect();
        for (recent, similar) in [(false, false), (true, false), (false, true), (true, true)] {
            let list = |wanted: bool, list: &[usize]| if wanted { list.to_vec() } else { Vec::new() };
            let search = |view: &View, positions: &[usize]| {
                let (recent, similar) = (list(recent, positions), list(similar, positions));
                view.search(&Request { question: &question, limit, recent: &recent, similar: &similar })
            };
            let filtered = search(&view, &lists);
            prop_assert!(filtered.iter().all(|hit| may(&hit.position)));
            let shown = search(&alone, &inside);
            prop_assert_eq!(exact(&filtered, |position| position), exact(&shown, |position| kept[position]));
        }
    }

    #[test]
    fn the_same_request_has_the_same_answer(definitions in definitions(), question in texts()) {
        let first = Arc::new(Index::new(&documents(&definitions))).view(|_| true);
        let second = Arc::new(Index::new(&documents(&definitions))).view(|_| true);
        let request = Request { question: &question, limit: 24, ..Request::default() };
        prop_assert_eq!(first.search(&request), second.search(&request));
    }

    #[test]
    fn fewer_hits_are_the_first_of_more(definitions in definitions(), question in texts(), limit in 0_usize..24) {
        let view = Arc::new(Index::new(&documents(&definitions))).view(|_| true);
        let all = view.search(&Request { question: &question, limit: MAX_LIMIT, ..Request::default() });
        let few = view.search(&Request { question: &question, limit, ..Request::default() });
        prop_assert_eq!(&few[..], &all[..limit.min(all.len())]);
    }

    #[test]
    fn no_position_in_a_list_is_out_of_place(
        definitions in definitions(),
        question in texts(),
        lists in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let view = Arc::new(Index::new(&documents(&definitions))).view(|_| true);
        let hits = view.search(&Request { question: &question, limit: usize::MAX, recent: &lists, similar: &lists });
        prop_assert!(hits.iter().all(|hit| hit.position < definitions.len() && hit.score.is_finite()));
    }
}
