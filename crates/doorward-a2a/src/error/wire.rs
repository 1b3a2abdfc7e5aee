//! Errors as they are written and read: with typed details in 1.0 (spec 1.0 §9.5, §11.6), plain in 0.3.

use bytes::Bytes;
use doorward_mcp::RpcError;
use doorward_mcp::json::{Limits, Object, Value, scan_object};

use super::{Error, ErrorKind, TABLE, Violation};
use crate::fields::{is_object, list};
use crate::out::Out;
use crate::revision::{Form, Revision};

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const DOMAIN: &str = "a2a-protocol.org";
/// The domain of reasons that the protocol does not define.
const OWN_DOMAIN: &str = "doorward";

/// Most details of an agent's error that are read.
const MOST_DETAILS: usize = 32;

impl Error {
    /// The status of an HTTP response with this error in the HTTP+JSON binding. In JSON-RPC it is 200.
    pub fn http_status(&self, revision: Revision) -> u16 {
        let (one, old) = self.kind.line().http;
        if revision == Revision::V1_0 { one } else { old }
    }

    /// The error member of a JSON-RPC response.
    pub fn to_rpc(&self, revision: Revision) -> RpcError {
        let mut error = RpcError::new(self.code(), self.message.to_string());
        error.data = match revision {
            Revision::V1_0 => Some(Value::Raw(self.details())),
            // An agent's own data is passed on as it is; else the details are a plain object.
            Revision::V0_3 if self.data.is_some() => self.data.as_deref().cloned(),
            Revision::V0_3 if self.metadata.is_empty() && self.violations.is_empty() => None,
            Revision::V0_3 => Some(Value::Raw(Out::of(Form::Kind, |out| self.write_plain(out)))),
        };
        error
    }

    /// The body of an HTTP response in the HTTP+JSON binding.
    pub fn to_http(&self, revision: Revision) -> Bytes {
        match revision {
            Revision::V1_0 => Out::of(Form::V1, |out| {
                out.object(|out| {
                    out.member("error", |out| {
                        out.object(|out| {
                            out.count("code", self.http_status(revision).into());
                            out.string("status", self.kind.line().status);
                            out.string("message", &self.message);
                            out.member("details", |out| out.raw(&self.details()));
                        });
                    });
                });
            }),
            Revision::V0_3 => Out::of(Form::Proto, |out| {
                out.object(|out| {
                    out.string("type", self.kind.line().name);
                    out.string("message", &self.message);
                    out.member("code", |out| out.raw(self.code().to_string().as_bytes()));
                    if !self.metadata.is_empty() || !self.violations.is_empty() {
                        out.member("data", |out| self.write_plain(out));
                    }
                });
            }),
        }
    }

    fn is_of_protocol(&self) -> bool {
        (-32768..=-32000).contains(&self.kind.code()) && self.kind != ErrorKind::Other
    }

    /// The array of typed details: first an `ErrorInfo`, then a `BadRequest`, then what an agent said.
    fn details(&self) -> Bytes {
        let mut details = vec![Out::of(Form::V1, |out| {
            out.object(|out| {
                out.string("@type", ERROR_INFO);
                out.string("reason", self.kind.reason());
                out.string("domain", if self.is_of_protocol() { DOMAIN } else { OWN_DOMAIN });
                if !self.metadata.is_empty() {
                    out.member("metadata", |out| {
                        out.object(|out| self.metadata.iter().for_each(|(k, v)| out.string(k, v)));
                    });
                }
            });
        })];
        if !self.violations.is_empty() {
            details.push(Out::of(Form::V1, |out| {
                out.object(|out| {
                    out.string("@type", BAD_REQUEST);
                    self.write_violations("fieldViolations", out);
                });
            }));
        }
        if let Some(data) = &self.data {
            let of_agent = list(data).unwrap_or_default();
            let is_typed = |item: &Value| {
                item.as_object().is_some_and(|detail| detail.string("@type").is_some())
            };
            details.extend(of_agent.iter().filter(|item| is_typed(item)).map(Value::to_bytes));
        }
        Out::of(Form::V1, |out| out.array(&details, |detail, out| out.raw(detail)))
    }

    fn write_violations(&self, name: &str, out: &mut Out) {
        out.list(name, &self.violations, |violation, out| {
            out.object(|out| {
                out.string("field", &violation.field);
                out.string("description", &violation.description);
            });
        });
    }

    fn write_plain(&self, out: &mut Out) {
        out.object(|out| {
            for (name, value) in self.metadata.iter().filter(|(name, _)| name != "errors") {
                out.string(name, value);
            }
            if !self.violations.is_empty() {
                self.write_violations("errors", out);
            }
        });
    }
}

/// The error of an agent's JSON-RPC response, of either revision.
pub fn read_rpc(error: &RpcError) -> Error {
    let known = TABLE.iter().find(|line| line.code == error.code && line.kind != ErrorKind::Other);
    let mut read = Error::new(known.map_or(ErrorKind::Other, |line| line.kind), &*error.message);
    if known.is_none() {
        read.code = Some(error.code);
    }
    if let Some(data) = &error.data {
        read_details(data, &mut read);
    }
    read
}

/// The error of an agent's HTTP response, of either revision. A body that says nothing leaves the status.
pub fn read_http(status: u16, body: &Bytes, limits: Limits) -> Error {
    let body = scan_object(body, limits).unwrap_or_default();
    let inner = body.object("error").map(std::borrow::Cow::into_owned);
    let error = inner.as_ref().unwrap_or(&body);
    let message = error.string("message").or_else(|| error.string("detail"));
    let message = message.map_or_else(
        || format!("the agent answered with HTTP status {status}"),
        std::borrow::Cow::into_owned,
    );
    let mut read = Error::new(ErrorKind::Other, message);
    if let Some(details) = error.get("details").or_else(|| error.get("data")) {
        read_details(details, &mut read);
    }
    let name = error.string("type").unwrap_or_default();
    read.kind = reason(error.get("details"))
        .or_else(|| TABLE.iter().find(|line| line.name == name && line.kind != ErrorKind::Other))
        .map_or_else(|| of_status(status), |line| line.kind);
    read
}

/// The line of the first `ErrorInfo` whose reason the table has.
fn reason(details: Option<&Value>) -> Option<&'static super::Line> {
    list(details?).ok()?.iter().take(MOST_DETAILS).find_map(|detail| {
        let detail = detail.as_object()?;
        let reason = detail.string("reason")?;
        TABLE.iter().find(|line| line.reason == reason && line.kind != ErrorKind::Other)
    })
}

fn of_status(status: u16) -> ErrorKind {
    match status {
        400 | 422 => ErrorKind::InvalidParams,
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::MethodNotFound,
        405 => ErrorKind::VerbNotAllowed,
        415 => ErrorKind::ContentTypeNotSupported,
        429 => ErrorKind::ResourceExhausted,
        502 | 503 => ErrorKind::Unavailable,
        504 => ErrorKind::DeadlineExceeded,
        _ => ErrorKind::Other,
    }
}

/// Takes what is known from the details; the rest stays raw.
fn read_details(data: &Value, read: &mut Error) {
    let Ok(details) = list(data) else {
        read.data = Some(data.clone().into());
        return;
    };
    let mut rest = Vec::new();
    for detail in details.into_iter().take(MOST_DETAILS) {
        let Some(object) = detail.as_object().filter(|_| is_object(&detail)) else {
            rest.push(detail);
            continue;
        };
        match object.string("@type").as_deref() {
            Some(ERROR_INFO) => {
                for (name, value) in texts(&object, "metadata") {
                    if !read.metadata.iter().any(|(known, _)| *known == name) {
                        read.metadata.push((name, value));
                    }
                }
            }
            Some(BAD_REQUEST) => {
                let violations = object.get("fieldViolations").and_then(|v| list(v).ok());
                for violation in violations.into_iter().flatten().take(MOST_DETAILS) {
                    if let Some(violation) = violation.as_object() {
                        let text = |name| {
                            violation
                                .string(name)
                                .map_or_else(String::new, std::borrow::Cow::into_owned)
                        };
                        let (field, description) = (text("field"), text("description"));
                        read.violations.push(Violation { field, description });
                    }
                }
            }
            _ => rest.push(detail.clone()),
        }
    }
    read.data = (!rest.is_empty()).then(|| Value::array(&rest).into());
}

/// The members of an object member that are strings; others as their JSON.
fn texts(object: &Object, name: &str) -> Vec<(String, String)> {
    let Some(object) = object.object(name) else { return Vec::new() };
    let text = |value: &Value| match value.as_str() {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(&value.to_bytes()).into_owned(),
    };
    let members = object.members().iter().take(MOST_DETAILS);
    members.map(|m| (String::from_utf8_lossy(&m.name).into_owned(), text(&m.value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> serde_json::Value {
        serde_json::from_slice(text).unwrap()
    }

    fn sample() -> Error {
        let mut error = Error::task_not_found().with("taskId", "t\"1");
        error.violations =
            vec![Violation { field: "message.parts".into(), description: "is required".into() }];
        error
    }

    #[test]
    fn an_error_of_1_0_has_typed_details() {
        let rpc = sample().to_rpc(Revision::V1_0);
        assert_eq!(rpc.code, -32001);
        let data = json(&rpc.data.unwrap().to_bytes());
        assert_eq!(data[0]["@type"], ERROR_INFO);
        assert_eq!(data[0]["reason"], "TASK_NOT_FOUND");
        assert_eq!(data[0]["domain"], "a2a-protocol.org");
        assert_eq!(data[0]["metadata"]["taskId"], "t\"1");
        assert_eq!(data[1]["fieldViolations"][0]["field"], "message.parts");
        let http = json(&sample().to_http(Revision::V1_0));
        assert_eq!(http["error"]["code"], 404);
        assert_eq!(http["error"]["status"], "NOT_FOUND");
        assert_eq!(http["error"]["details"], data);
    }

    #[test]
    fn an_error_of_0_3_is_plain() {
        let rpc = sample().to_rpc(Revision::V0_3);
        assert_eq!(json(&rpc.data.unwrap().to_bytes())["taskId"], "t\"1");
        assert!(Error::task_not_found().to_rpc(Revision::V0_3).data.is_none());
        let http = json(&sample().to_http(Revision::V0_3));
        assert_eq!((&http["type"], &http["code"]), (&"TaskNotFoundError".into(), &(-32001).into()));
        assert!(http["message"].is_string() && http.get("error").is_none());
    }

    #[test]
    fn every_error_is_read_as_it_was_written() {
        for kind in ErrorKind::all() {
            let error = Error { kind, ..sample() };
            for revision in Revision::ALL {
                let read = read_rpc(&error.to_rpc(revision));
                if !matches!(kind, ErrorKind::VerbNotAllowed | ErrorKind::Other) {
                    assert_eq!(read.kind, kind);
                }
                assert_eq!(read.code(), error.code());
                let status = error.http_status(revision);
                let read = read_http(status, &error.to_http(revision), Limits::default());
                if !matches!(kind, ErrorKind::Other | ErrorKind::VerbNotAllowed) {
                    assert_eq!(read.kind, kind, "{revision:?}");
                }
                assert_eq!(read.message, error.message);
            }
            let read = read_rpc(&error.to_rpc(Revision::V1_0));
            assert_eq!((read.metadata, read.violations), (error.metadata, error.violations));
        }
    }

    #[test]
    fn codes_that_nobody_defines_are_passed_on() {
        let mut theirs = RpcError::new(-31999, "odd");
        theirs.data = Some(Value::Raw(Bytes::from_static(br#"[{"@type":"x","a":1},7]"#)));
        let read = read_rpc(&theirs);
        assert_eq!((read.kind, read.code()), (ErrorKind::Other, -31999));
        let details = json(&read.to_rpc(Revision::V1_0).data.unwrap().to_bytes());
        // A detail without a type is none.
        assert_eq!(details.as_array().unwrap().len(), 2);
        assert_eq!(details[1]["a"], 1);
    }

    #[test]
    fn a_body_that_says_nothing_leaves_the_status() {
        for (status, kind) in [
            (401, ErrorKind::Unauthenticated),
            (503, ErrorKind::Unavailable),
            (418, ErrorKind::Other),
        ] {
            for body in ["", "<html>", "[]", "{}"] {
                assert_eq!(read_http(status, &Bytes::from(body), Limits::default()).kind, kind);
            }
        }
    }
}
