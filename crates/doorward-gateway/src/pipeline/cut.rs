//! Stage: cuts long results, where a portal wants it, after everything else has seen the whole. What is cut can be read on
//! with the tool `read_more`.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_cache::rest::{Owner, Rests};
use doorward_compact::results::{Offset, ResultRules, cut};
use doorward_discovery::READ_MORE;
use doorward_mcp::interaction::result_type;
use doorward_mcp::{Object, Value, method};

use crate::call::{Call, CallError, Events, Portal, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Settling, Stage, Step};

/// Results from this size on are cut away from the threads that calls are on.
const LARGE: usize = 64 << 10;

pub struct Cut;

/// How the result of a call is cut.
#[derive(Debug, Clone)]
pub struct Cutting {
    rules: ResultRules,
    owner: Owner,
    rests: Arc<Rests>,
    /// How many bytes of the result were left out.
    pub left_out: usize,
}

impl Cutting {
    /// `None` where results are left as they are.
    pub fn of(gateway: &Gateway, call: &Call) -> Option<Self> {
        let Portal::Named(portal) = &call.portal else { return None };
        let rules = gateway.portal(portal)?.settings.compact.as_ref()?.result_rules()?;
        let owner = Owner { principal: call.caller.principal.id.clone(), portal: portal.clone() };
        Some(Self { rules, owner, rests: gateway.rests.clone(), left_out: 0 })
    }

    /// A result without what is too long; `None` if it is left as it is. Structured content is never cut, nor the text that
    /// stands for it where a client does not know it.
    fn apply(&mut self, result: &Object) -> Option<Object> {
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

impl Stage for Cut {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if *call.method == *method::TOOLS_CALL {
            call.notes.cutting = Cutting::of(gateway, call).map(Box::new);
        }
        Step::CONTINUE
    }

    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let cutting = call.notes.cutting.as_mut()?;
        let Ok(Reply::Result(result)) = reply else { return None };
        if result.size_hint() < LARGE {
            if let Some(shorter) = cutting.apply(result) {
                *result = shorter;
            }
            return None;
        }
        let (mut cuts, whole) = (cutting.clone(), result.clone());
        Some(Box::pin(async move {
            let cut = tokio::task::spawn_blocking(move || {
                let shorter = cuts.apply(&whole);
                (cuts, shorter)
            });
            if let Ok((cuts, Some(shorter))) = cut.await {
                *cutting = cuts;
                *result = shorter;
            }
        }))
    }
}

fn text_block(text: &str) -> Value {
    let mut block = Object::new();
    block.set("type", "text");
    block.set("text", text);
    Value::Object(block)
}
