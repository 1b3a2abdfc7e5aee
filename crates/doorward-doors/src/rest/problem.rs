//! Errors of the REST API: one form, with stable codes and the status codes of HTTP.

use doorward_gateway::pipeline::{INVALID_ARGUMENTS, Refusal};
use doorward_limits::rates::Limited;
use doorward_mcp::error::{Kind, code};
use doorward_mcp::{Object, RpcError, Value};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::Answer;
use super::types::{Detail, Failure, Fault};

/// Why a request is not carried out.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub details: Vec<Detail>,
    pub headers: HeaderMap,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            retryable: false,
            details: Vec::new(),
            headers: HeaderMap::new(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// With the place of what is wrong, as a JSON pointer.
    pub fn at(mut self, pointer: &str) -> Self {
        let detail = Detail { pointer: pointer.to_owned(), message: self.message.clone() };
        self.details.push(detail);
        self
    }

    /// What is not there, and what must seem so.
    pub fn unknown_tool(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_tool", format!("Unknown tool: {name}"))
    }

    pub fn nothing_here() -> Self {
        let why = "Not found: see /api/v1/openapi.json for what there is";
        Self::new(StatusCode::NOT_FOUND, "not_found", why)
    }

    pub fn unknown_call() -> Self {
        let why = "There is no such call, or it is not yours, or it is too long ago";
        Self::new(StatusCode::NOT_FOUND, "unknown_call", why)
    }

    pub fn not_allowed(methods: &'static str) -> Self {
        let why = format!("The method is not allowed here; allowed are: {methods}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why);
        problem.headers.insert(ALLOW, HeaderValue::from_static(methods));
        problem
    }

    /// That it may be tried again in so many seconds.
    pub fn again_in(mut self, seconds: u32) -> Self {
        self.retryable = true;
        self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    pub fn unavailable(code: &str, message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).again_in(5)
    }

    /// A response to a caller who is not let in, in this form.
    pub fn of_response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let error = Object::parse(&bytes::Bytes::copy_from_slice(body));
        let error = error.as_ref().and_then(|body| body.object("error"));
        let message = error.as_ref().and_then(|error| error.string("message"));
        let data = error.as_ref().and_then(|error| error.object("data"));
        let kind = data.as_ref().and_then(|data| data.string("kind"));
        let code = match (&kind, status) {
            (Some(kind), _) => kind,
            (None, StatusCode::UNAUTHORIZED) => "unauthenticated",
            (None, StatusCode::FORBIDDEN) => "forbidden",
            (None, StatusCode::PAYLOAD_TOO_LARGE) => "too_large",
            (None, StatusCode::TOO_MANY_REQUESTS) => "rate_limited",
            (None, StatusCode::REQUEST_TIMEOUT) => "body_timeout",
            (None, status) if status.is_server_error() => "unavailable",
            (None, _) => "invalid_request",
        };
        let mut problem = Self::new(status, code, message.unwrap_or_default());
        for name in [WWW_AUTHENTICATE, RETRY_AFTER] {
            if let Some(value) = headers.get(&name) {
                problem.headers.insert(name, value.clone());
            }
        }
        problem.retryable = problem.headers.contains_key(RETRY_AFTER);
        problem
    }

    /// A refusal of the pipeline. `shown` is the name under which the call was made, `told` as its caller wrote it.
    pub fn of_refusal(refusal: &Refusal, shown: &str, told: &str) -> Self {
        let Refusal { error, status, limited } = refusal;
        if is_unknown_tool(error, shown) {
            return Self::unknown_tool(told);
        }
        let mut problem = Self::of_error(error, *status);
        if let Some(limited) = limited {
            problem.limited(limited);
        }
        problem
    }

    fn limited(&mut self, limited: &Limited) {
        limited.tell(&mut self.headers);
    }

    /// An error of the gateway or of a server.
    pub fn of_error(error: &RpcError, status: Option<u16>) -> Self {
        let data = error.data.as_ref().and_then(Value::as_object);
        let text = |member: &str| {
            let text = data.as_ref()?.string(member)?;
            Some(text.into_owned())
        };
        let kind = text("kind").filter(|_| is_own(error.code));
        if kind.as_deref() == Some(INVALID_ARGUMENTS) {
            let failures = data.as_ref().and_then(|data| data.get("failures"));
            return Self::invalid_arguments(&error.message, failures);
        }
        let (by_kind, code) = match &kind {
            Some(kind) => (status_of(kind), kind.clone()),
            None => by_code(error.code),
        };
        let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(by_kind);
        // The reason of a denial is more than that there was one.
        let reason = text("code").filter(|_| kind.as_deref() == Some(Kind::Denied.as_str()));
        let mut problem = Self::new(status, &reason.unwrap_or(code), &error.message);
        let retryable = data.as_ref().and_then(|data| data.get("retryable")?.as_bool());
        problem.retryable = retryable == Some(true);
        if problem.retryable && matches!(status.as_u16(), 429 | 503) {
            problem.headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        problem
    }

    /// Arguments that do not match the tool's schema.
    pub fn invalid_arguments(message: &str, failures: Option<&Value>) -> Self {
        let message = message.lines().next().unwrap_or_default().trim_end_matches(':');
        let mut problem = Self::new(StatusCode::BAD_REQUEST, INVALID_ARGUMENTS, message);
        for failure in failures.and_then(Value::as_array).unwrap_or_default() {
            let Some(failure) = failure.as_object() else { continue };
            let text = |member: &str| failure.string(member).unwrap_or_default().into_owned();
            problem.details.push(Detail { pointer: text("path"), message: text("problem") });
        }
        problem
    }

    pub fn fault(self, request: &str) -> Fault {
        Fault {
            kind: kind_of(self.status),
            code: self.code,
            message: self.message,
            retryable: self.retryable,
            details: self.details,
            request_id: request.to_owned(),
        }
    }

    /// The response with this error.
    pub fn answer(mut self, request: &str) -> Answer {
        let (status, headers) = (self.status, std::mem::take(&mut self.headers));
        let body = Failure { error: self.fault(request), requests: None, resume: None };
        let mut answer = Answer::of(status, &body);
        answer.headers = headers;
        answer
    }
}

/// Whether an error says that the tool of a call is unknown. Texts of servers cannot be taken for it: they would have to name
/// the tool as only the gateway does, and would say the same.
fn is_unknown_tool(error: &RpcError, shown: &str) -> bool {
    let rest = error.message.strip_prefix("Unknown ");
    let rest = rest.and_then(|rest| rest.split_once(": "));
    let is_code = matches!(error.code, code::INVALID_PARAMS | code::INVALID_REQUEST);
    is_code
        && rest.is_some_and(|(what, name)| {
            (matches!(what, "tool" | "name") && name == shown) || what == "server"
        })
}

/// Whether a code is one of the gateway's, or of the refusals that it makes with data.
fn is_own(number: i64) -> bool {
    Kind::ALL.iter().any(|kind| kind.code() == number) || number == code::INVALID_PARAMS
}

fn status_of(kind: &str) -> StatusCode {
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    match kind {
        None => StatusCode::BAD_GATEWAY,
        Some(kind) => match kind {
            Kind::Unreachable
            | Kind::HttpStatus
            | Kind::InvalidJson
            | Kind::InvalidMessage
            | Kind::WrongId
            | Kind::StreamEnded
            | Kind::TooLarge
            | Kind::SessionLost
            | Kind::Unauthorized
            | Kind::InvalidResult => StatusCode::BAD_GATEWAY,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::Overloaded
            | Kind::SlowReader
            | Kind::Closing
            | Kind::AuditUnavailable
            | Kind::CircuitOpen
            | Kind::CreditUnavailable
            | Kind::Stopped
            | Kind::CheckFailed
            | Kind::FlowUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Interaction => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Denied | Kind::CheckRefused | Kind::DataNotPermitted => StatusCode::FORBIDDEN,
            Kind::RateLimited | Kind::ConversationLimit => StatusCode::TOO_MANY_REQUESTS,
            Kind::OutOfCredit => StatusCode::PAYMENT_REQUIRED,
        },
    }
}

/// Of errors without a kind: those of the specification, and of servers.
fn by_code(number: i64) -> (StatusCode, String) {
    let (status, code) = match number {
        code::INVALID_PARAMS => (StatusCode::BAD_REQUEST, INVALID_ARGUMENTS),
        code::INVALID_REQUEST => (StatusCode::BAD_REQUEST, "invalid_request"),
        code::MISSING_CLIENT_CAPABILITY => (StatusCode::UNPROCESSABLE_ENTITY, "interaction"),
        _ => (StatusCode::BAD_GATEWAY, "server_error"),
    };
    (status, code.to_owned())
}

fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication",
        402 => "credit",
        403 => "permission",
        404 => "not_found",
        409 => "conflict",
        422 => "input",
        429 => "limit",
        502 | 504 => "server",
        500.. => "gateway",
        _ => "request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_codes_of_http() {
        let gateway = |kind: Kind| RpcError::gateway(kind, "why", "s", true, "call-1");
        for (error, status, code) in [
            (gateway(Kind::Timeout), 504, "timeout"),
            (gateway(Kind::Unreachable), 502, "unreachable"),
            (gateway(Kind::Denied), 403, "denied"),
            (gateway(Kind::OutOfCredit), 402, "out_of_credit"),
            (gateway(Kind::CircuitOpen), 503, "circuit_open"),
            (gateway(Kind::Interaction), 422, "interaction"),
            (RpcError::new(-32603, "why"), 502, "server_error"),
            (RpcError::new(-32602, "why"), 400, "invalid_arguments"),
            // A server's own data says nothing of the gateway.
            (
                RpcError::new(-32000, "why").with_data(&serde_json::json!({ "kind": "denied" })),
                502,
                "server_error",
            ),
        ] {
            let problem = Problem::of_error(&error, None);
            assert_eq!((problem.status.as_u16(), &*problem.code), (status, code), "{error:?}");
        }
        for kind in Kind::ALL {
            assert!(status_of(kind.as_str()).as_u16() >= 400);
        }
    }

    #[test]
    fn a_tool_that_is_hidden_is_called_by_the_name_that_its_caller_wrote() {
        let refusal = |text: &str| Refusal {
            error: RpcError::invalid_params(text),
            status: None,
            limited: None,
        };
        let problem = |text: &str| Problem::of_refusal(&refusal(text), "s__t", "s/t");
        for text in ["Unknown tool: s__t", "Unknown name: s__t", "Unknown server: s"] {
            let told = problem(text);
            assert_eq!(
                (told.status.as_u16(), &*told.message),
                (404, "Unknown tool: s/t"),
                "{text}"
            );
        }
        assert_eq!(problem("Unknown tool: other").status, 400);
    }
}
