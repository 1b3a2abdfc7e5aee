//! What of an answer is passed on unread: encoded media, and what only identifies something, where the protocol has it.
//! Members of the same names anywhere else are a server's own, and are inspected.

use doorward_inspect::Opaque;
use doorward_mcp::error::code;
use doorward_mcp::interaction::{INPUT_REQUESTS, REQUEST_STATE, result_type};
use doorward_mcp::{Object, Value, method};

use crate::media;

/// What is opaque in the result of a method.
pub(super) fn of_result(of: &str, result: &Object) -> Opaque {
    let mut opaque = Opaque::default();
    let kind = result_type(result);
    let asks = kind == "input_required";
    let is_task = is_of_task(of);
    if asks && result.contains(REQUEST_STATE) {
        opaque.value(format!("/{REQUEST_STATE}"));
    }
    if (is_task || kind == "task") && result.contains("taskId") {
        opaque.value("/taskId");
    }
    if of == method::TASKS_LIST && result.contains("nextCursor") {
        opaque.value("/nextCursor");
    }
    if asks || is_task {
        requests(result, &mut opaque);
    }
    media::of_result(Some(of), result).into_iter().for_each(|at| opaque.value(at));
    let error = result.get("error").filter(|_| is_task).and_then(Value::as_object);
    if let Some(error) = error {
        let number = error.get("code").map(Value::to_bytes).unwrap_or_default();
        let number = std::str::from_utf8(&number).ok().and_then(|number| number.parse().ok());
        elicitations(number.unwrap_or_default(), error.get("data"), "/error/data", &mut opaque);
    }
    opaque
}

/// Whether a method is about a task.
pub(super) fn is_of_task(of: &str) -> bool {
    matches!(
        of,
        method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL | method::TASKS_RESULT
    )
}

/// What is opaque in the result of the call that has become a task: of which method it was is not known.
pub(super) fn of_task(result: &Object) -> Opaque {
    let mut opaque = Opaque::default();
    media::of_result(None, result).into_iter().for_each(|at| opaque.value(at));
    opaque
}

/// What is opaque in the data of an error, which is at `/data`.
pub(super) fn of_error(number: i64, data: Option<&Value>) -> Opaque {
    let mut opaque = Opaque::default();
    elicitations(number, data, "/data", &mut opaque);
    opaque
}

/// What is opaque in the parameters of a notification.
pub(super) fn of_notification() -> Opaque {
    let mut opaque = Opaque::default();
    for name in ["/progressToken", "/level", "/requestId"] {
        opaque.value(name);
    }
    opaque
}

/// Requests of a server, which have keys that it chooses.
fn requests(result: &Object, opaque: &mut Opaque) {
    let Some(requests) = result.object(INPUT_REQUESTS) else { return };
    opaque.names(format!("/{INPUT_REQUESTS}"));
    for member in requests.members() {
        let Ok(key) = std::str::from_utf8(&member.name) else { continue };
        let Some(request) = member.value.as_object() else { continue };
        let Some(params) = request.object("params") else { continue };
        let key = key.replace('~', "~0").replace('/', "~1");
        let pointer = format!("/{INPUT_REQUESTS}/{key}/params");
        match request.string("method").as_deref() {
            Some(method::ELICIT) => elicitation(&params, &pointer, opaque),
            Some(method::SAMPLE) => {
                let (at, mut found) = (format!("{pointer}/messages"), Vec::new());
                media::messages(params.get("messages"), &at, media::DEPTH, &mut found);
                found.into_iter().for_each(|at| opaque.value(at));
            }
            _ => {}
        }
    }
}

/// The elicitations of an error that requires URLs to be opened.
fn elicitations(number: i64, data: Option<&Value>, pointer: &str, opaque: &mut Opaque) {
    let data = data.filter(|_| number == code::URL_ELICITATION_REQUIRED);
    let Some(data) = data.and_then(Value::as_object) else { return };
    let all = data.get("elicitations").and_then(Value::as_array).unwrap_or_default();
    for (at, one) in all.iter().enumerate() {
        if let Some(one) = one.as_object() {
            elicitation(&one, &format!("{pointer}/elicitations/{at}"), opaque);
        }
    }
}

/// A URL that the user opens in a browser: the tokens in it are meant for that.
fn elicitation(params: &Object, pointer: &str, opaque: &mut Opaque) {
    if params.string("mode").as_deref() == Some("url") {
        opaque.value(format!("{pointer}/url"));
        opaque.value(format!("{pointer}/elicitationId"));
    }
}
