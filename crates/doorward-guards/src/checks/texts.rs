//! The strings of arguments or of an answer, for checks that read texts, and their replacement where they stand.

use doorward_mcp::json::{Limits, items};
use doorward_mcp::{Object, Value};

/// Most strings of one request.
const MOST: usize = 2_000;

/// Where a value is in the one around it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Member(String),
    Item(usize),
}

/// A string and its place.
#[derive(Debug, Clone)]
pub struct Text {
    pub path: Vec<Step>,
    pub text: String,
}

/// A string that is to be replaced.
#[derive(Debug, Clone)]
pub struct Edit {
    pub path: Vec<Step>,
    pub old: String,
    pub new: String,
}

/// There are more strings than a check is asked about.
#[derive(Debug)]
pub struct TooMany;

/// All strings of a value but empty ones and those at the pointers of `media`.
pub fn texts(value: &serde_json::Value, media: &[String]) -> Result<Vec<Text>, TooMany> {
    let mut all = Vec::new();
    walk(value, media, &mut Vec::new(), &mut all)?;
    Ok(all)
}

/// The JSON pointer of a place.
fn pointer(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Step::Item(at) => format!("/{at}"),
    };
    path.iter().map(step).collect()
}

fn walk(
    value: &serde_json::Value,
    media: &[String],
    path: &mut Vec<Step>,
    all: &mut Vec<Text>,
) -> Result<(), TooMany> {
    match value {
        serde_json::Value::String(text) if !text.is_empty() => {
            if !media.is_empty() && media.contains(&pointer(path)) {
                return Ok(());
            }
            if all.len() >= MOST {
                return Err(TooMany);
            }
            all.push(Text { path: path.clone(), text: text.clone() });
        }
        serde_json::Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                path.push(Step::Item(at));
                walk(value, media, path, all)?;
                path.pop();
            }
        }
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                path.push(Step::Member(name.clone()));
                walk(value, media, path, all)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// A string is not what it was when the check was asked: another check has changed it.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed;

/// Replaces strings where they stand. Everything else stays as it was written.
pub fn apply(object: &mut Object, mut edits: Vec<Edit>) -> Result<(), Changed> {
    edits.sort_by(|one, other| one.path.cmp(&other.path));
    apply_to(object, &edits, 0)
}

fn apply_to(object: &mut Object, edits: &[Edit], depth: usize) -> Result<(), Changed> {
    for group in edits.chunk_by(|one, other| one.path.get(depth) == other.path.get(depth)) {
        let Some(Step::Member(name)) = group[0].path.get(depth) else { return Err(Changed) };
        let value = object.get(name).ok_or(Changed)?;
        let value = edited(value, group, depth + 1)?;
        object.set(name, value);
    }
    Ok(())
}

fn edited(value: &Value, edits: &[Edit], depth: usize) -> Result<Value, Changed> {
    match edits[0].path.get(depth) {
        None => {
            let is_same = value.as_str().is_some_and(|text| *text == *edits[0].old);
            if is_same { Ok(Value::text(&edits[0].new)) } else { Err(Changed) }
        }
        Some(Step::Member(_)) => {
            let mut object = value.as_object().ok_or(Changed)?.into_owned();
            apply_to(&mut object, edits, depth)?;
            Ok(Value::Object(object))
        }
        Some(Step::Item(_)) => {
            let limits = Limits { depth: usize::MAX, ..Limits::default() };
            let values = items(&value.to_bytes(), limits).map_err(|_| Changed)?;
            let mut values: Vec<Value> = values.into_iter().map(Value::Raw).collect();
            for group in edits.chunk_by(|one, other| one.path.get(depth) == other.path.get(depth)) {
                let Some(Step::Item(at)) = group[0].path.get(depth) else { return Err(Changed) };
                let value = values.get(*at).ok_or(Changed)?;
                values[*at] = edited(value, group, depth + 1)?;
            }
            Ok(Value::array(&values))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn strings_are_found_and_replaced_where_they_stand() {
        let text = br#"{"a": ["x", {"b": "y\u0041", "n": 1.0}], "c": "z", "d": {"type": "image", "data": "AAAA"}, "e": ""}"#;
        let mut object = Object::parse(&Bytes::from_static(text)).unwrap();
        let found = texts(&object.to_serde(), &["/d/data".to_owned()]).unwrap();
        let all: Vec<_> = found.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(all, ["x", "yA", "z", "image"]);
        let edit = |at: usize, new: &str| Edit {
            path: found[at].path.clone(),
            old: found[at].text.clone(),
            new: new.into(),
        };
        apply(&mut object, vec![edit(2, "\"3"), edit(0, "1"), edit(1, "2")]).unwrap();
        let changed = r#"{"a":["1",{"b":"2","n":1.0}],"c":"\"3","d": {"type": "image", "data": "AAAA"},"e":""}"#;
        assert_eq!(object.to_bytes(), changed.replace("\"d\": {", "\"d\":{").as_bytes());
        assert_eq!(apply(&mut object, vec![edit(0, "again")]), Err(Changed));
    }

    #[test]
    fn there_are_not_more_than_a_request_may_have() {
        let many: Vec<_> = (0..=MOST).map(|number| number.to_string()).collect();
        assert!(texts(&serde_json::json!({ "a": many }), &[]).is_err());
        assert!(texts(&serde_json::json!({ "a": many[1..] }), &[]).is_ok());
    }
}
