//! `doorward call`: one call, its progress, requests of the server for input, and its result.

mod arguments;
mod ask;
mod show;

use std::io::{IsTerminal, stdin};

use doorward_mcp::interaction::{InputRequired, Retry, result_type};
use doorward_mcp::meta::PROGRESS_TOKEN;
use doorward_mcp::{Object, method};
use serde_json::json;

use self::ask::Asker;
use self::show::Progress;
use super::{Exit, Failed};
use crate::cli::{Ask, Call};
use crate::client::{self, Client};
use crate::terminal;

/// Maximum number of rounds of requests for input.
const MAX_ROUNDS: usize = 32;

pub async fn run(options: Call) -> Result<(), Failed> {
    let asks = match options.ask {
        Ask::Auto => stdin().is_terminal(),
        Ask::Always => true,
        Ask::Never => false,
    };
    let roots = ask::roots(&options.roots)?;
    let endpoint =
        client::endpoint(&options.target.url, &options.target.headers, &options.target.credential)?;
    let mut client =
        Client::new(endpoint, capabilities(asks, !roots.is_empty()), options.log_level);
    let tools = client.tools().await?;
    let tool = tools.iter().find(|tool| tool.string("name").as_deref() == Some(&*options.name));
    let tool = tool.ok_or_else(|| unknown(&options.name, &tools))?;
    let schema = tool.get("inputSchema").map(doorward_mcp::Value::to_bytes).unwrap_or_default();
    let schema = serde_json::from_slice(&schema).unwrap_or_default();
    let arguments = arguments::read(&options.arguments, &schema)
        .map_err(|problem| Failed::new(Exit::Usage, problem))?;
    let mut params = Object::new();
    params.set("name", options.name.as_str());
    params.set("arguments", doorward_mcp::Value::from_serde(&arguments));
    let mut asker = Asker::new(roots);
    let result = converse(&mut client, params, &mut asker).await?;
    show::result(&result, options.json)?;
    if doorward_mcp::interaction::is_tool_error(&result) {
        return Err(Failed::silent(Exit::ToolError));
    }
    Ok(())
}

/// The client declares the capabilities that its user can serve.
fn capabilities(asks: bool, roots: bool) -> Object {
    let mut capabilities = json!({});
    if asks {
        capabilities["elicitation"] = json!({ "form": {}, "url": {} });
        capabilities["sampling"] = json!({});
    }
    if roots {
        capabilities["roots"] = json!({});
    }
    Object::from_serde(&capabilities).unwrap_or_default()
}

/// Calls, answers requests for input, and calls again until the result is complete.
async fn converse(
    client: &mut Client,
    params: Object,
    asker: &mut Asker,
) -> Result<Object, Failed> {
    let mut retry: Option<Retry> = None;
    for _ in 0..MAX_ROUNDS {
        let mut params = params.clone();
        if let Some(retry) = retry.take() {
            retry.put(&mut params);
        }
        if let Some(meta) = params.object_mut("_meta") {
            meta.set(PROGRESS_TOKEN, doorward_mcp::Value::number(1));
        }
        let mut progress = Progress::default();
        let mut notice = |method: &str, params: &Object| match method {
            method::PROGRESS => progress.show(params),
            method::LOG => {
                progress.clear();
                show::log(params);
            }
            _ => {}
        };
        let result = client.request(method::TOOLS_CALL, params, &mut notice).await;
        progress.clear();
        let result = result?;
        match result_type(&result).as_ref() {
            "complete" => return Ok(result),
            "input_required" => {
                let required = InputRequired::read(&result).map_err(|why| {
                    Failed::new(
                        Exit::Refused,
                        format!("the server's request for input is invalid: {why}"),
                    )
                })?;
                let responses = asker.answer(&required).await?;
                retry = Some(Retry { responses, state: required.state });
            }
            other => {
                let why = format!("the result has an unknown type, '{other}'");
                return Err(Failed::new(Exit::Refused, why));
            }
        }
    }
    Err(Failed::new(
        Exit::Refused,
        format!("the server requested input more than {MAX_ROUNDS} times"),
    ))
}

fn unknown(name: &str, tools: &[Object]) -> Failed {
    let names: Vec<_> = tools.iter().filter_map(|tool| tool.string("name")).collect();
    let similar = names
        .iter()
        .find(|other| other.ends_with(&format!("__{name}")) || other.eq_ignore_ascii_case(name));
    let hint = match similar {
        Some(similar) => format!("did you mean '{}'?", terminal::name(similar)),
        None => "'doorward tools' lists the tools".into(),
    };
    Failed::new(Exit::Refused, format!("there is no tool '{}'; {hint}", terminal::name(name)))
}
