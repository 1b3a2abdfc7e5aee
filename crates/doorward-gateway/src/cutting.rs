//! How results are cut, where a portal wants it, and how what was cut is read on.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_cache::rest::{Owner, Rests};
use doorward_compact::results::{Offset, ResultRules, cut};
use doorward_discovery::READ_MORE;
use doorward_mcp::interaction::result_type;
use doorward_mcp::{Object, Value};

/// How the result of a call is cut.
#[derive(Debug, Clone)]
pub struct Cutting {
    rules: Arc<ResultRules>,
    owner: Owner,
    rests: Arc<Rests>,
    /// How many bytes of the result were left out.
    pub left_out: usize,
}

impl Cutting {
    pub fn new(rules: Arc<ResultRules>, owner: Owner, rests: Arc<Rests>) -> Self {
        Self { rules, owner, rests, left_out: 0 }
    }

    /// A result without what is too long; `None` if it is left as it is. Structured content is never cut, nor the text that
    /// stands for it where a client does not know it.
    pub fn apply(&mut self, result: &Object) -> Option<Object> {
        if result.contains("structuredContent") || &*result_type(result) != "complete" {
            return None;
        }
        let before = result.get("content").and_then(Value::as_array)?;
        let mut content = Vec::with_capacity(before.len() + 1);
        let mut has_changed = false;
        for block in before {
            let text = block.as_object().filter(|it| it.string("type").as_deref() == Some("text"));
            let text = text.and_then(|block| block.string("text").map(Cow::into_owned));
            let Some(text) = text else {
                content.push(block);
                continue;
            };
            let (shown, mark) = self.piece(&text, None, Offset::default());
            if shown == text {
                content.push(block);
                continue;
            }
            has_changed = true;
            let mut block = block.as_object().map(Cow::into_owned).unwrap_or_default();
            block.set("text", shown.as_str());
            content.push(Value::Object(block));
            content.extend(mark.map(|mark| text_block(&mark)));
        }
        has_changed.then(|| {
            let mut result = result.clone();
            result.set("content", Value::array(&content));
            result
        })
    }

    /// A piece of a text, and the mark behind it if it is not the last. `id` is that of a text that is stored already.
    fn piece(&mut self, text: &str, id: Option<&str>, from: Offset) -> (String, Option<String>) {
        let piece = cut(text, &self.rules, from);
        let mark = piece.mark().zip(piece.rest).map(|(mark, rest)| {
            self.left_out += rest.bytes;
            let stored = id.map(str::to_owned);
            let stored = stored.or_else(|| self.rests.put(self.owner.clone(), text.into()));
            match stored {
                Some(id) => {
                    format!("{mark}\n[Read on: {READ_MORE} with cursor \"{id}.{}\"]", rest.from)
                }
                None => format!("{mark}\n[It is too long to be read on: ask for less.]"),
            }
        });
        (piece.shown.into_owned(), mark)
    }

    /// What follows in a result that was cut.
    pub fn read_more(mut self, cursor: &str) -> Object {
        let found = cursor.split_once('.').and_then(|(id, from)| {
            let (text, from) = (self.rests.get(&self.owner, id)?, from.parse().ok()?);
            Some((id, text, from))
        });
        let mut result = Object::new();
        let content = match found {
            Some((id, text, from)) => {
                let (shown, mark) = self.piece(&text, Some(id), from);
                std::iter::once(text_block(&shown))
                    .chain(mark.map(|mark| text_block(&mark)))
                    .collect()
            }
            None => {
                result.set("isError", Value::bool(true));
                vec![text_block("The cursor is unknown or has expired. Call the tool again.")]
            }
        };
        result.set("content", Value::array(&content));
        result.set("resultType", "complete");
        result
    }
}

fn text_block(text: &str) -> Value {
    let mut block = Object::new();
    block.set("type", "text");
    block.set("text", text);
    Value::Object(block)
}
