//! A message in words: with one tool in scope that takes one text, a call of it; else the tools to choose from.

use doorward_a2a::{Part, TaskState};
use doorward_gateway::call::Protocol;
use doorward_mcp::{Object, Value};
use doorward_upstream::catalog::TOOLS;

use super::fail::Fail;
use super::message::only_text;
use super::result::Outcome;
use crate::rest::Visit;
use crate::rest::tools::{Listed, admit, listed, search, snapshot};

/// Tools to choose from, and most bytes of what is said of them.
const HITS: usize = 5;
const MOST_BYTES: usize = 256 << 10;

/// What a text leads to.
pub enum Choice {
    /// The tool, as `server/tool`, with its arguments.
    Call(String, Object),
    Ask(Box<Outcome>),
}

pub async fn choose(visit: &Visit, text: &str) -> Result<Choice, Fail> {
    admit(visit, Protocol::A2a).await?;
    let snapshot = snapshot(visit, Protocol::A2a).await?;
    if snapshot.items(TOOLS).nth(1).is_none()
        && let Some(only) = listed(visit, &snapshot, |_, _| true).pop()
        && let Some(name) = only.definition.object("inputSchema").and_then(|it| only_text(&it))
    {
        let mut arguments = Object::new();
        arguments.set(&name, text);
        return Ok(Choice::Call(only.id, arguments));
    }
    Ok(Choice::Ask(Box::new(ask(search(visit, &snapshot, text, HITS).await))))
}

/// Asks which tool to call.
fn ask(found: Vec<Listed>) -> Outcome {
    let mut left = MOST_BYTES;
    let mut tools = Vec::new();
    for tool in found {
        let mut about = Object::new();
        about.set("tool", &*tool.id);
        for name in ["title", "description", "inputSchema"] {
            if let Some(value) = tool.definition.get(name) {
                about.set(name, value.clone());
            }
        }
        let bytes = about.to_bytes().len();
        if bytes > left {
            // Its name is enough to find it by other means.
            about.remove("inputSchema");
            about.remove("description");
        } else {
            left -= bytes;
        }
        tools.push(Value::from(about));
    }
    let text = match tools.is_empty() {
        true => {
            "No tool fits. Say it in other words, or send a data part {\"tool\", \"arguments\"}"
                .to_owned()
        }
        false => format!(
            "Which tool, with which arguments? Send a data part {{\"tool\", \"arguments\"}} to this task. The {} that fit \
             best follow",
            tools.len()
        ),
    };
    let mut data = Object::new();
    data.set("tools", Value::array(&tools));
    Outcome::said(TaskState::InputRequired, vec![Part::text(&text), Part::data(data.into())])
}
