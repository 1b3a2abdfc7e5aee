//! Checks that read texts: the Presidio analyzer, and OpenAI's moderation endpoint.
//!
//! Presidio: `POST /analyze` of `presidio-analyzer/app.py` (github.com/microsoft/presidio), in the form for several texts.
//! Moderation: `CreateModerationRequest` and `CreateModerationResponse` of OpenAI's API description.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use doorward_config::labels::is_label;
use doorward_config::{ModerationAction, ModerationSettings, PresidioAction, PresidioSettings};
use serde::Deserialize;
use serde_json::json;

use super::texts::{Edit, Text};
use super::verdict::{Action, Change, Verdict};

/// The request to Presidio's analyzer.
pub fn ask_presidio(settings: &PresidioSettings, texts: &[Text], call: &str) -> serde_json::Value {
    let texts: Vec<&str> = texts.iter().map(|text| text.text.as_str()).collect();
    let mut request = json!({
        "text": texts,
        "language": settings.language,
        "score_threshold": f64::from(settings.score) / 100.0,
        "correlation_id": call,
    });
    if !settings.entities.is_empty() {
        request["entities"] = json!(settings.entities);
    }
    request
}

#[derive(Debug, Deserialize)]
struct Entity {
    entity_type: String,
    /// In characters.
    start: usize,
    end: usize,
    score: f64,
}

/// What Presidio calls what the gateway's own detectors find, too.
const SAME: [(&str, &str); 8] = [
    ("email_address", "email"),
    ("credit_card", "card"),
    ("iban_code", "iban"),
    ("phone_number", "phone"),
    ("ip_address", "ip"),
    ("mac_address", "mac"),
    ("us_ssn", "national_id"),
    ("date_of_birth", "birth_date"),
];

fn class_of(entity: &str) -> String {
    let lower = entity.to_ascii_lowercase();
    let same = SAME.iter().find(|(theirs, _)| *theirs == lower);
    same.map_or(lower, |(_, ours)| (*ours).to_owned())
}

/// Reads the answer of Presidio's analyzer. The error says what is wrong with it.
pub fn read_presidio(
    settings: &PresidioSettings,
    texts: &[Text],
    answer: &Bytes,
) -> Result<Verdict, String> {
    let found: Vec<Vec<Entity>> = serde_json::from_slice(answer)
        .map_err(|error| format!("not what an analyzer answers: {error}"))?;
    if found.len() != texts.len() {
        return Err(format!("{} results for {} texts", found.len(), texts.len()));
    }
    let mut classes = BTreeSet::new();
    let mut edits = Vec::new();
    for (text, entities) in texts.iter().zip(&found) {
        let mut spans = Vec::new();
        let length = text.text.chars().count();
        for entity in entities {
            let class = class_of(&entity.entity_type);
            if entity.start >= entity.end || entity.end > length || !is_label(&class) {
                return Err("an entity is not in its text".into());
            }
            if entity.score * 100.0 >= f64::from(settings.score) {
                classes.insert(class.clone());
                spans.push((entity.start, entity.end, class));
            }
        }
        if !spans.is_empty() {
            let new = replaced(&text.text, spans);
            edits.push(Edit { path: text.path.clone(), old: text.text.clone(), new });
        }
    }
    if classes.is_empty() {
        return Ok(Verdict::new(Action::Allow));
    }
    let listed = classes.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut verdict = match settings.action {
        PresidioAction::Report => Verdict::new(Action::Allow),
        PresidioAction::Mask => Verdict::new(Action::Change),
        PresidioAction::Refuse => Verdict::new(Action::Refuse),
        PresidioAction::Hold => Verdict::new(Action::Hold),
    };
    if settings.action == PresidioAction::Mask {
        verdict.change = Some(Change::Texts(edits));
    }
    verdict = verdict.because(&format!("it contains {listed}"));
    verdict.data = classes;
    Ok(verdict)
}

/// A text with classes in the place of what was found, in characters. Of places that overlap, the whole is replaced.
fn replaced(text: &str, mut spans: Vec<(usize, usize, String)>) -> String {
    spans.sort_by(|one, other| (one.0, other.1).cmp(&(other.0, one.1)));
    let mut joined: Vec<(usize, usize, String)> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.0 < last.1 => last.1 = last.1.max(span.1),
            _ => joined.push(span),
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut spans = joined.into_iter().peekable();
    for (at, c) in text.chars().enumerate() {
        while spans.next_if(|span| span.1 <= at).is_some() {}
        match spans.peek() {
            Some((start, _, class)) if *start == at => {
                out.push('[');
                out.push_str(&class.to_ascii_uppercase());
                out.push(']');
            }
            Some((start, _, _)) if *start < at => {}
            _ => out.push(c),
        }
    }
    out
}

/// The request to a moderation endpoint.
pub fn ask_moderation(settings: &ModerationSettings, texts: &[Text]) -> serde_json::Value {
    let texts: Vec<&str> = texts.iter().map(|text| text.text.as_str()).collect();
    let mut request = json!({ "input": texts });
    if let Some(model) = &settings.model {
        request["model"] = json!(model);
    }
    request
}

#[derive(Debug, Deserialize)]
struct Moderated {
    results: Vec<Moderation>,
}

#[derive(Debug, Deserialize)]
struct Moderation {
    flagged: bool,
    /// A category is absent or null where a model does not know it.
    categories: BTreeMap<String, Option<bool>>,
}

/// Reads the answer of a moderation endpoint. The error says what is wrong with it.
pub fn read_moderation(
    settings: &ModerationSettings,
    texts: &[Text],
    answer: &Bytes,
) -> Result<Verdict, String> {
    let answer: Moderated = serde_json::from_slice(answer)
        .map_err(|error| format!("not what a moderation endpoint answers: {error}"))?;
    if answer.results.len() != texts.len() {
        return Err(format!("{} results for {} texts", answer.results.len(), texts.len()));
    }
    let counts = |category: &str| {
        settings.categories.is_empty()
            || settings.categories.iter().any(|pattern| pattern.matches(category))
    };
    let mut categories = BTreeSet::new();
    let mut unnamed = false;
    for result in answer.results.iter().filter(|result| result.flagged) {
        let of = result.categories.iter().filter(|(_, is)| **is == Some(true));
        let of: Vec<&String> = of.map(|(name, _)| name).collect();
        // Flagged for a category that this form does not have.
        unnamed |= of.is_empty();
        categories.extend(of.into_iter().filter(|name| counts(name)).cloned());
    }
    if categories.iter().any(|category| !is_label(&label_of(category))) {
        return Err("the name of a category is no label".into());
    }
    if unnamed {
        categories.insert("other".into());
    }
    if categories.is_empty() {
        return Ok(Verdict::new(Action::Allow));
    }
    let listed = categories.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut verdict = Verdict::new(match settings.action {
        ModerationAction::Label => Action::Allow,
        ModerationAction::Refuse => Action::Refuse,
        ModerationAction::Hold => Action::Hold,
    });
    verdict.labels = categories.iter().map(|category| label_of(category)).collect();
    Ok(verdict.because(&format!("it was flagged: {listed}")))
}

/// The label of a category: `moderation.violence:graphic` for `violence/graphic`.
fn label_of(category: &str) -> String {
    format!("moderation.{}", category.replace('/', ":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::texts::Step;
    use doorward_core::pattern::Pattern;

    fn texts(all: &[&str]) -> Vec<Text> {
        let text = |(at, text): (usize, &&str)| Text {
            path: vec![Step::Member(format!("m{at}"))],
            text: (*text).to_owned(),
        };
        all.iter().enumerate().map(text).collect()
    }

    #[allow(clippy::needless_pass_by_value, reason = "it takes what `json!` makes")]
    fn answer(value: serde_json::Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    #[test]
    fn what_presidio_finds_is_replaced_by_characters_not_by_bytes() {
        let texts = texts(&["Müller 🦀 a@b.example, 4111", "nothing"]);
        let found = |entity: &str, start, end, score| json!({"entity_type": entity, "start": start, "end": end, "score": score, "analysis_explanation": null});
        let mask = PresidioSettings::default();
        let whole = answer(json!([
            [
                found("EMAIL_ADDRESS", 9, 20, 1.0),
                found("URL", 11, 20, 0.5),
                found("PERSON", 0, 6, 0.85),
                found("DATE_TIME", 22, 26, 0.2)
            ],
            []
        ]));
        let verdict = read_presidio(&mask, &texts, &whole).unwrap();
        let Some(Change::Texts(edits)) = verdict.change else { panic!("no change") };
        assert_eq!(edits.len(), 1);
        assert_eq!(edits[0].new, "[PERSON] 🦀 [EMAIL], 4111");
        assert_eq!(verdict.data, ["email", "person", "url"].map(String::from).into());
        for wrong in [
            json!([]),
            json!([[]]),
            json!([[found("PERSON", 0, 99, 1.0)], []]),
            json!([[found("PERSON", 3, 3, 1.0)], []]),
            json!([[found("A B", 0, 3, 1.0)], []]),
            json!({"error": "x"}),
            json!([[{"entity_type": "PERSON"}], []]),
        ] {
            assert!(read_presidio(&mask, &texts, &answer(wrong.clone())).is_err(), "{wrong}");
        }
        let refuse = PresidioSettings { action: PresidioAction::Refuse, ..mask };
        let refused = read_presidio(&refuse, &texts, &whole).unwrap();
        assert_eq!(refused.action, Action::Refuse);
        assert_eq!(refused.reason, "it contains email, person, url");
    }

    #[test]
    fn flagged_categories_are_those_that_count() {
        let texts = texts(&["x", "y"]);
        let result = |flagged: bool, violence: bool, hate: bool| json!({"flagged": flagged, "categories": {"violence/graphic": violence, "hate": hate, "new": null}, "category_scores": {}});
        let one = answer(
            json!({"id": "m", "model": "m", "results": [result(false, false, false), result(true, true, true)]}),
        );
        let all = ModerationSettings::default();
        let verdict = read_moderation(&all, &texts, &one).unwrap();
        assert_eq!(verdict.action, Action::Refuse);
        assert_eq!(verdict.reason, "it was flagged: hate, violence/graphic");
        let some = ModerationSettings { categories: vec![Pattern("self*".into())], ..all.clone() };
        assert_eq!(read_moderation(&some, &texts, &one).unwrap().action, Action::Allow);
        let label = ModerationSettings { action: ModerationAction::Label, ..all.clone() };
        let labelled = read_moderation(&label, &texts, &one).unwrap();
        assert_eq!(labelled.action, Action::Allow);
        assert!(labelled.labels.contains("moderation.violence:graphic"));
        let unnamed =
            answer(json!({"results": [result(false, false, false), result(true, false, false)]}));
        assert_eq!(read_moderation(&some, &texts, &unnamed).unwrap().action, Action::Refuse);
        for wrong in [json!({}), json!({"results": []}), json!({"results": [1, 2]})] {
            assert!(read_moderation(&all, &texts, &answer(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
