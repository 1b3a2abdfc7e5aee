//! Errors of the pipeline, in the form that clients are told.

use doorward_config::Explain;
use doorward_limits::rates::Limited;
use doorward_mcp::RpcError;
use doorward_mcp::error::Kind;
use doorward_policy::Decision;

use crate::call::{CallError, Failure};

/// An error on its way to a client, with the HTTP status of doors that have one.
#[derive(Debug)]
pub struct Refusal {
    pub error: RpcError,
    pub status: Option<u16>,
    /// The limit that was hit.
    pub limited: Option<Box<Limited>>,
}

impl Refusal {
    pub(super) fn plain(error: RpcError) -> Self {
        Self { error, status: None, limited: None }
    }
}

/// The word for arguments that do not fit, in records and errors.
pub const INVALID_ARGUMENTS: &str = "invalid_arguments";
pub(super) const DO_NOT_MATCH: &str = "The arguments do not match the tool's input schema";

/// An error in the form that clients are told; `server` and `call` are empty where there is none.
pub fn refusal(error: CallError, server: &str, call: &str) -> Refusal {
    let (failure, status) = match error {
        CallError::Rpc(error) => return Refusal::plain(error),
        CallError::Gateway(failure) => (failure, None),
        CallError::Refused { failure, status } => (failure, Some(status)),
        CallError::Denied(decision) => {
            let error = denial(&decision, Explain::Nothing, call);
            return Refusal::plain(error);
        }
        CallError::InvalidArguments(mismatches) => {
            let data = serde_json::json!({ "kind": INVALID_ARGUMENTS, "failures": mismatches.failures, "call": call });
            let error = RpcError::invalid_params(format!("{DO_NOT_MATCH}:\n{mismatches}"));
            return Refusal::plain(error.with_data(&data));
        }
        CallError::Limited(limited) => {
            let error = limited.error(call);
            return Refusal { error, status: Some(429), limited: Some(limited) };
        }
    };
    let Failure { kind, message, retryable, .. } = failure;
    let error = RpcError::gateway(kind, &message, server, retryable, call);
    Refusal { error, status, limited: None }
}

/// A refusal in the words that the caller may read.
pub fn denial(decision: &Decision, explain: Explain, call: &str) -> RpcError {
    let message = match explain {
        Explain::Nothing => "A policy denies this".to_owned(),
        Explain::Reason | Explain::Full => decision.reason(),
    };
    let mut data = serde_json::json!({
        "kind": Kind::Denied.as_str(),
        "code": decision.code.as_str(),
        "retryable": false,
        "call": call,
    });
    if explain == Explain::Full {
        let ids: Vec<&str> = decision.policies.iter().map(|policy| policy.id.as_str()).collect();
        data["policies"] = serde_json::json!(ids);
    }
    RpcError::new(Kind::Denied.code(), message).with_data(&data)
}
