//! Requests of the server for input, on the terminal: elicitation, sampling (the user writes the model's response), and
//! the roots from the command line.

use std::io::{BufRead, Write, stderr, stdin};
use std::path::PathBuf;

use doorward_mcp::interaction::{InputRequest, InputRequired};
use doorward_mcp::{Object, method};
use serde_json::{Map, Value, json};

use super::arguments;
use crate::commands::{Exit, Failed};
use crate::terminal::{harmless, one_line};

/// Maximum number of invalid answers to one prompt before the request is cancelled.
const MAX_TRIES: usize = 5;

/// The user's answer to a prompt.
enum Said {
    Value(Value),
    /// Omit the value.
    Nothing,
    Decline,
    /// Standard input has ended.
    Cancel,
}

pub struct Asker {
    roots: Vec<Value>,
}

/// The roots in the protocol's form.
pub fn roots(folders: &[PathBuf]) -> Result<Vec<Value>, Failed> {
    folders
        .iter()
        .map(|folder| {
            let whole = std::fs::canonicalize(folder).map_err(|error| {
                Failed::new(Exit::Usage, format!("{}: {error}", folder.display()))
            })?;
            let uri = url::Url::from_file_path(&whole).map_err(|()| {
                Failed::new(Exit::Usage, format!("{} is not a root", folder.display()))
            })?;
            let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok(json!({ "uri": uri.as_str(), "name": name }))
        })
        .collect()
}

impl Asker {
    pub fn new(roots: Vec<Value>) -> Self {
        Self { roots }
    }

    /// Answers all requests of a round.
    pub async fn answer(&mut self, required: &InputRequired) -> Result<Object, Failed> {
        let mut responses = Object::new();
        for InputRequest { key, method, params } in &required.requests {
            let params = params.to_serde();
            let answer = match method.as_ref() {
                method::ELICIT => self.elicit(&params).await?,
                method::SAMPLE => self.sample(&params).await?,
                method::ROOTS_LIST => json!({ "roots": self.roots }),
                other => {
                    let why = format!("the server requests '{other}', which is not supported");
                    return Err(Failed::new(Exit::Refused, why));
                }
            };
            responses.set(key, doorward_mcp::Value::from_serde(&answer));
        }
        Ok(responses)
    }

    async fn elicit(&mut self, params: &Value) -> Result<Value, Failed> {
        let message = params["message"].as_str().unwrap_or("The server requests input.");
        tell(&format!("\n{}\n", harmless(message)));
        if params["mode"] == "url" {
            let url = params["url"].as_str().unwrap_or_default();
            let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
            tell(&format!("If you trust {}, open this URL yourself:\n", host.unwrap_or_default()));
            tell(&format!("  {}\n", one_line(url)));
            return Ok(match self.question("Done? [Y/n]").await? {
                None => json!({ "action": "cancel" }),
                Some(line) if line.to_lowercase().starts_with('n') => {
                    json!({ "action": "decline" })
                }
                Some(_) => json!({ "action": "accept" }),
            });
        }
        tell("(an empty line skips an optional value; !decline declines)\n");
        let schema = &params["requestedSchema"];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut content = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let must = required.iter().any(|required| required == name.as_str());
            match self.property(name, property, must).await? {
                Said::Value(value) => {
                    content.insert(name.clone(), value);
                }
                Said::Nothing => {}
                Said::Decline => return Ok(json!({ "action": "decline" })),
                Said::Cancel => return Ok(json!({ "action": "cancel" })),
            }
        }
        Ok(json!({ "action": "accept", "content": content }))
    }

    /// Prompts for one property until the answer is valid.
    async fn property(&mut self, name: &str, property: &Value, must: bool) -> Result<Said, Failed> {
        let title = property["title"].as_str().unwrap_or(name);
        if let Some(description) = property["description"].as_str() {
            tell(&format!("  {}\n", one_line(description)));
        }
        let choices = choices(property);
        for (at, (_, label)) in choices.iter().enumerate() {
            tell(&format!("  {}) {}\n", at + 1, one_line(label)));
        }
        let default = &property["default"];
        let shown = match default {
            Value::Null => String::new(),
            Value::String(text) => format!(" [{}]", one_line(text)),
            other => format!(" [{}]", one_line(&other.to_string())),
        };
        let mark = if must { "" } else { " (optional)" };
        let prompt = format!("{}{mark}{shown}:", one_line(title));
        for _ in 0..MAX_TRIES {
            let Some(line) = self.question(&prompt).await? else { return Ok(Said::Cancel) };
            if line.trim() == "!decline" {
                return Ok(Said::Decline);
            }
            if line.is_empty() && !default.is_null() {
                return Ok(Said::Value(default.clone()));
            }
            if line.is_empty() && !must {
                return Ok(Said::Nothing);
            }
            match read(&line, property, &choices) {
                Ok(value) => return Ok(Said::Value(value)),
                Err(expected) => tell(&format!("  Invalid value: {expected}\n")),
            }
        }
        Ok(Said::Cancel)
    }

    async fn sample(&mut self, params: &Value) -> Result<Value, Failed> {
        tell("\nThe server requests a response of a model. Type it:\n");
        if let Some(system) = params["systemPrompt"].as_str() {
            tell(&format!("  system: {}\n", harmless(system)));
        }
        for message in params["messages"].as_array().into_iter().flatten() {
            let role = message["role"].as_str().unwrap_or_default();
            let blocks = match &message["content"] {
                Value::Array(blocks) => blocks.clone(),
                one => vec![one.clone()],
            };
            for block in blocks {
                let kind = block["type"].as_str().unwrap_or("unknown");
                let text =
                    block["text"].as_str().map_or_else(|| format!("[{kind}]"), str::to_owned);
                tell(&format!("  {}: {}\n", one_line(role), harmless(&text)));
            }
        }
        let Some(text) = self.question(">").await? else {
            return Err(Failed::new(
                Exit::Refused,
                "the server's request for input was not answered",
            ));
        };
        Ok(json!({
            "role": "assistant",
            "content": { "type": "text", "text": text },
            "model": "human",
            "stopReason": "endTurn",
        }))
    }

    /// Reads a line; `None` at the end of the input.
    async fn question(&mut self, prompt: &str) -> Result<Option<String>, Failed> {
        tell(prompt);
        tell(" ");
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            stdin().lock().read_line(&mut line).map(|count| (count > 0).then_some(line))
        });
        let line = read.await.map_err(|error| Failed::new(Exit::Failure, error.to_string()))??;
        Ok(line.map(|line| line.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

fn tell(text: &str) {
    eprint!("{text}");
    let _ = stderr().flush();
}

/// The choices of an enum, each with its label (spec 2025-11-25 client/elicitation).
fn choices(property: &Value) -> Vec<(String, String)> {
    let source = if property["type"] == "array" { &property["items"] } else { property };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(values) = source["enum"].as_array() {
        let names = source["enumNames"].as_array().cloned().unwrap_or_default();
        return values
            .iter()
            .enumerate()
            .map(|(at, value)| (text(value), names.get(at).map_or_else(|| text(value), &text)))
            .collect();
    }
    let titled = source["oneOf"].as_array().or_else(|| source["anyOf"].as_array());
    titled
        .into_iter()
        .flatten()
        .map(|choice| (text(&choice["const"]), text(&choice["title"])))
        .collect()
}

/// Parses an answer. The error says what was expected.
fn read(line: &str, property: &Value, choices: &[(String, String)]) -> Result<Value, String> {
    if choices.is_empty() {
        let value = match (property["type"].as_str(), line.to_lowercase().as_str()) {
            (Some("boolean"), "y" | "yes") => Value::Bool(true),
            (Some("boolean"), "n" | "no") => Value::Bool(false),
            _ => arguments::value(line, property)?,
        };
        return within(&value, property).map(|()| value);
    }
    let choose = |word: &str| {
        let word = word.trim();
        let by_number = word.parse::<usize>().ok().and_then(|at| choices.get(at.checked_sub(1)?));
        choices
            .iter()
            .find(|(value, label)| value == word || label == word)
            .or(by_number)
            .map(|(value, _)| Value::String(value.clone()))
            .ok_or_else(|| format!("'{word}' is not one of the choices"))
    };
    if property["type"] == "array" {
        return line.split(',').map(choose).collect::<Result<_, _>>().map(Value::Array);
    }
    choose(line)
}

/// Checks the constraints that properties of an elicitation may have.
fn within(value: &Value, property: &Value) -> Result<(), String> {
    let bound = |name: &str| property[name].as_f64();
    let (number, what) = match value {
        Value::String(text) => (text.chars().count() as f64, "letters"),
        other => (other.as_f64().unwrap_or(0.0), ""),
    };
    let (least, most) = match value {
        Value::String(_) => (bound("minLength"), bound("maxLength")),
        _ => (bound("minimum"), bound("maximum")),
    };
    if least.is_some_and(|least| number < least) {
        return Err(format!("at least {} {what}", least.unwrap_or(0.0)));
    }
    if most.is_some_and(|most| number > most) {
        return Err(format!("at most {} {what}", most.unwrap_or(0.0)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_the_schema_says() {
        let pick = json!({"type": "string", "oneOf": [
            {"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]});
        let many = json!({"type": "array", "items": {"enum": ["a", "b"]}});
        for (line, property, want) in [
            ("yes", json!({"type": "boolean"}), Ok(json!(true))),
            ("7", json!({"type": "integer", "maximum": 9}), Ok(json!(7))),
            ("2", pick.clone(), Ok(json!("g"))),
            ("Red", pick.clone(), Ok(json!("r"))),
            ("a, 2", many, Ok(json!(["a", "b"]))),
            ("12", json!({"type": "integer", "maximum": 9}), Err("at most 9")),
            ("x", json!({"type": "string", "minLength": 2}), Err("at least 2 letters")),
            ("blue", pick, Err("not one of the choices")),
        ] {
            let read = read(line, &property, &choices(&property));
            match want {
                Ok(want) => assert_eq!(read.unwrap(), want),
                Err(said) => assert!(read.unwrap_err().contains(said)),
            }
        }
    }
}
