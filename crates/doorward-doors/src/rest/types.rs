//! Requests and responses, as the description of the API has them.

use doorward_store::Amount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A call of a tool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// The tool: `server/tool`, its name in a list of tools, or the server's name if `operation` is present.
    pub tool: String,
    /// The server's own name for the tool.
    pub operation: Option<String>,
    /// The arguments.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub input: Option<Box<RawValue>>,
    /// The same as the header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// Input that a server has asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Continue {
    /// The answers, by the keys of the requests: `{"action": "accept", "content": {…}}`, or `decline`, or `cancel`.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub responses: Option<Box<RawValue>>,
    /// The token of the response that asked for it. Absent for a call that was approved.
    pub resume: Option<String>,
}

/// The result of a call.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Executed {
    /// The call, as audit log and traces have it.
    pub id: String,
    /// `server/tool`.
    pub tool: String,
    /// The server.
    pub provider: String,
    /// The tool's structured content; without any, the text that it has returned.
    #[schemars(with = "Value")]
    pub data: Option<Box<RawValue>>,
    /// All content blocks of MCP, with binary content as base64; absent if `data` says it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    pub content: Option<Box<RawValue>>,
    /// The tool was called, and reports that it has failed.
    pub is_error: bool,
    pub usage: Usage,
}

/// What a call has used.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Usage {
    /// In credits. Absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
    /// The smallest credit that is left on the accounts it was charged to, without calls that are being settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_remaining: Option<Amount>,
    pub duration_ms: u64,
}

/// A call that has no result yet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pending {
    /// Names the call in `/api/v1/execute/{id}`.
    pub id: String,
    /// `pending`.
    pub status: &'static str,
    /// Whom it waits for, and where they decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When to ask again at the earliest.
    pub poll_after_ms: u64,
}

/// Why a request was not carried out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failure {
    pub error: Fault,
    /// With `input_required`: what a server asks for, by key, as MCP has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub requests: Option<Box<RawValue>>,
    /// With `input_required`: to be sent back with the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Fault {
    /// For programs; never changed once released.
    pub code: String,
    /// The group of codes.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub message: String,
    /// The same request may succeed later, and nothing was executed.
    pub retryable: bool,
    pub details: Vec<Detail>,
    pub request_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Detail {
    /// A JSON pointer (RFC 6901) into `input`, or into the body.
    pub pointer: String,
    pub message: String,
}

/// Tools in the form of an SDK's argument.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tools {
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub tools: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// What was changed in schemas that a reader should know of.
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Warning {
    pub tool: String,
    pub message: String,
}

/// Results of a model's calls, in the order and the format of the calls.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Results {
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub results: Box<RawValue>,
    /// What is to be known of each call, in the same order.
    pub calls: Vec<Ran>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Ran {
    pub id: String,
    pub name: String,
    pub is_error: bool,
    /// Why the tool was not called, or has no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    pub usage: Usage,
}

/// The query of a list of tools.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// `mcp` (the default), `openai`, `openai-responses`, `anthropic` or `gemini`.
    pub format: Option<String>,
    /// Words or a question, in any language: the tools that fit, best first, at most 200.
    pub q: Option<String>,
    /// Tools in one response: 100 if absent, at most 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// The `next_cursor` of the response before.
    pub cursor: Option<String>,
    /// For `openai` and `openai-responses`: in strict mode, where the tool's schema allows it.
    pub strict: Option<bool>,
}
