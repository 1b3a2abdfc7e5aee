//! The HTTP+JSON binding: which operation a path is, and which path an operation (spec 1.0 §11, 0.3 §3.5.3).
//!
//! Paths are those below the base URL of the interface: the door takes its own prefix off.

use std::borrow::Cow;

use bytes::Bytes;
use doorward_mcp::Object;
use doorward_mcp::json::{Limits, Member, Value, scan_object};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind, Invalid};
use crate::fields::{Fields, Other, Reading, to_object};
use crate::out::Out;
use crate::params;
use crate::request::{Method, Operation, Request};
use crate::revision::{Form, Revision};
use crate::timestamp::Timestamp;

/// A request as it comes in.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    pub verb: &'a str,
    /// Below the base URL, still encoded: `/tasks/42:cancel`.
    pub path: &'a str,
    /// Still encoded, without the question mark.
    pub query: Option<&'a str>,
    pub body: &'a Bytes,
}

/// A request to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    pub verb: &'static str,
    /// Path and query, to be appended to the base URL of the interface without its last slash.
    pub target: String,
    pub body: Option<Bytes>,
}

/// Which operation a path is, with what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    pub tenant: Option<String>,
    pub task_id: Option<String>,
    pub push_id: Option<String>,
}

/// Most parameters of a query.
const MOST_PARAMETERS: usize = 64;

const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The first segments of paths: no tenants.
const HEADS: [&str; 4] = ["message:send", "message:stream", "tasks", "extendedAgentCard"];

type Verbs = &'static [(&'static str, Method)];

/// Finds the operation of a path.
///
/// # Errors
/// `MethodNotFound` for a path that is none; `VerbNotAllowed` for one that exists with another verb;
/// `VersionNotSupported` for a path of the other revision, which is what a client sees that forgets its version.
pub fn route(verb: &str, path: &str, revision: Revision) -> Result<Route, Error> {
    let Some((verbs, mut route)) = find(path, revision) else {
        let other = if revision == Revision::V1_0 { Revision::V0_3 } else { Revision::V1_0 };
        if find(path, other).is_some() {
            return Err(wrong_revision("this path", other));
        }
        return Err(Error::new(ErrorKind::MethodNotFound, "there is no such path in A2A"));
    };
    match verbs.iter().find(|(known, _)| *known == verb) {
        Some((_, method)) => {
            route.method = *method;
            Ok(route)
        }
        None => {
            let allow: Vec<_> = verbs.iter().map(|(verb, _)| *verb).collect();
            let allow = allow.join(", ");
            Err(Error::new(ErrorKind::VerbNotAllowed, format!("this path takes {allow} only"))
                .with("allow", allow))
        }
    }
}

/// What is asked belongs to another revision than the request.
pub(crate) fn wrong_revision(what: &str, other: Revision) -> Error {
    let version = other.as_str();
    let message =
        format!("{what} belongs to A2A {version}; send the header 'A2A-Version: {version}'");
    Error::new(ErrorKind::VersionNotSupported, message).with("supportedVersions", "0.3, 1.0")
}

fn find(path: &str, revision: Revision) -> Option<(Verbs, Route)> {
    let path = path.strip_prefix('/')?;
    let mut segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).splitn(7, '/').collect();
    let mut tenant = None;
    match revision {
        Revision::V0_3 if segments[0] == "v1" => drop(segments.remove(0)),
        Revision::V0_3 => return None,
        Revision::V1_0 => {
            if !HEADS.contains(&segments[0]) {
                tenant = Some(decoded(segments.remove(0))?);
            }
        }
    }
    let (verbs, task, push): (Verbs, _, _) = match segments[..] {
        ["message:send"] => (&[("POST", Method::Send)], None, None),
        ["message:stream"] => (&[("POST", Method::Stream)], None, None),
        ["tasks"] if revision == Revision::V1_0 => (&[("GET", Method::ListTasks)], None, None),
        ["extendedAgentCard"] if revision == Revision::V1_0 => {
            (&[("GET", Method::ExtendedCard)], None, None)
        }
        ["card"] if revision == Revision::V0_3 => (&[("GET", Method::ExtendedCard)], None, None),
        // The colon of an action is not encoded; one of an id is, or is not followed by an action.
        ["tasks", task] => match task.rsplit_once(':') {
            Some((task, "cancel")) => (&[("POST", Method::CancelTask)], Some(task), None),
            // The definition has GET, the text POST, and SDKs try both.
            Some((task, "subscribe")) => {
                (&[("GET", Method::Subscribe), ("POST", Method::Subscribe)], Some(task), None)
            }
            _ => (&[("GET", Method::GetTask)], Some(task), None),
        },
        ["tasks", task, "pushNotificationConfigs"] => {
            (&[("GET", Method::ListPush), ("POST", Method::CreatePush)], Some(task), None)
        }
        ["tasks", task, "pushNotificationConfigs", push] => {
            (&[("GET", Method::GetPush), ("DELETE", Method::DeletePush)], Some(task), Some(push))
        }
        _ => return None,
    };
    let decode = |segment: Option<&str>| match segment {
        None => Some(None),
        Some(segment) => decoded(segment).map(Some),
    };
    let (task_id, push_id) = (decode(task)?, decode(push)?);
    Some((verbs, Route { method: verbs[0].1, tenant, task_id, push_id }))
}

/// A segment as text; `None` if it is empty or no text.
fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    let is_text = !text.is_empty() && !text.contains(|c: char| c.is_control());
    is_text.then(|| text.into_owned())
}

/// Reads a request of a client.
///
/// # Errors
/// As [`route`]; `Parse` or `InvalidRequest` for a body that is not one JSON object; `InvalidParams`.
pub fn read(
    request: HttpRequest<'_>,
    revision: Revision,
    limits: Limits,
) -> Result<Request, Error> {
    let route = route(request.verb, request.path, revision)?;
    let form = Form::of(revision, crate::revision::Binding::HttpJson);
    let reading = Reading { form, strict: true };
    let has_body = request.verb == "POST";
    let mut members = if has_body {
        let mut body = read_body(request.body, limits)?;
        if form == Form::Proto {
            body = unwrapped(&route, body).map_err(Invalid::of_request)?;
        }
        body.members().to_vec()
    } else {
        parameters(request.query.unwrap_or_default()).map_err(Invalid::of_request)?
    };
    let task = match route.method {
        Method::GetTask | Method::CancelTask | Method::Subscribe => "id",
        _ => "taskId",
    };
    let named = [("tenant", &route.tenant), (task, &route.task_id), ("id", &route.push_id)];
    for (name, value) in named {
        if let Some(value) = value {
            merge(&mut members, name, value).map_err(Invalid::of_request)?;
        }
    }
    let fields = match has_body {
        true => Fields::open(&object(members).into(), reading),
        false => Ok(Fields::query(members, reading)),
    };
    let read = fields.and_then(|fields| params::read(route.method, fields));
    let mut read = read.map_err(Invalid::of_request)?;
    if !has_body {
        // Unknown parameters of a query mean nothing.
        read.other = Other::default();
    }
    Ok(read)
}

fn read_body(body: &Bytes, limits: Limits) -> Result<Object, Error> {
    if body.is_empty() {
        return Ok(Object::new());
    }
    scan_object(body, limits).map_err(|fault| {
        let kind = if fault.well_formed { ErrorKind::InvalidRequest } else { ErrorKind::Parse };
        Error::new(kind, format!("the body must be a JSON object: {fault}"))
    })
}

fn object(members: Vec<Member>) -> Object {
    let mut object = Object::new();
    for member in members {
        // Names were compared when the body was read.
        object.set(&String::from_utf8_lossy(&member.name), member.value);
    }
    object
}

/// What a path says must not differ from what the body says.
fn merge(members: &mut Vec<Member>, name: &'static str, value: &str) -> Result<(), Invalid> {
    match members.iter().find(|member| &member.name[..] == name.as_bytes()) {
        Some(member) if member.value.as_str().as_deref() == Some(value) => Ok(()),
        Some(_) => Err(Invalid::at(name, "differs from the one in the path")),
        None => {
            let name = Bytes::from_static(name.as_bytes());
            members.push(Member { name, value: Value::text(value) });
            Ok(())
        }
    }
}

/// The body of 0.3's ProtoJSON without what repeats the path (`name`, `parent`), and without the object around a push
/// configuration, which the definition does not have and the reference SDK writes.
fn unwrapped(route: &Route, mut body: Object) -> Result<Object, Invalid> {
    let task = format!("tasks/{}", route.task_id.as_deref().unwrap_or_default());
    let repeats = |body: &mut Object, name: &'static str, expected: &str| match body.remove(name) {
        Some(value) if value.as_str().as_deref() != Some(expected) && !value.is_null() => {
            Err(Invalid::at(name, "differs from the path"))
        }
        _ => Ok(()),
    };
    match route.method {
        Method::CancelTask | Method::Subscribe => repeats(&mut body, "name", &task)?,
        Method::CreatePush if body.contains("config") => {
            repeats(&mut body, "parent", &task)?;
            let mut config = body.object("config").map(Cow::into_owned).unwrap_or_default();
            let id = body.get("configId").or_else(|| body.get("config_id"));
            let inner = ["pushNotificationConfig", "push_notification_config"];
            let inner = inner.into_iter().find(|name| config.contains(name));
            if let (Some(id), Some(name)) =
                (id.filter(|id| id.as_str().is_some_and(|id| !id.is_empty())), inner)
            {
                let mut push = config.get(name).map(to_object).unwrap_or_default();
                if !push.contains("id") {
                    push.set("id", id.clone());
                    config.set(name, push);
                }
            }
            body = config;
        }
        _ => {}
    }
    Ok(body)
}

/// The parameters of a query, each once. The version is none of the operation's.
fn parameters(query: &str) -> Result<Vec<Member>, Invalid> {
    let mut members: Vec<Member> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| -> Result<String, Invalid> {
            let text = text.replace('+', " ");
            let decoded = percent_decode_str(&text).decode_utf8();
            decoded.map(Cow::into_owned).map_err(|_| Invalid::new("the query is not UTF-8"))
        };
        let (name, value) = (decode(name)?, decode(value)?);
        if name.eq_ignore_ascii_case(crate::revision::VERSION_HEADER) {
            continue;
        }
        if members.iter().any(|member| &member.name[..] == name.as_bytes()) {
            return Err(Invalid::new("a parameter of the query is present twice"));
        }
        members.push(Member { name: Bytes::from(name), value: Value::text(&value) });
        if members.len() > MOST_PARAMETERS {
            return Err(Invalid::new(format!(
                "the query has more than {MOST_PARAMETERS} parameters"
            )));
        }
    }
    Ok(members)
}

/// The value of a query's `A2A-Version` parameter, for [`Revision::negotiate`].
pub fn version_parameter(query: &str) -> Option<&str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let is_version = |name: &str| name.eq_ignore_ascii_case(crate::revision::VERSION_HEADER);
    pairs.find(|(name, _)| is_version(name)).map(|(_, value)| value)
}

/// The request to an agent.
///
/// # Errors
/// If the revision does not have the operation, or an id cannot stand in a path.
pub fn write(request: &Request, revision: Revision) -> Result<HttpCall, Invalid> {
    let form = Form::of(revision, crate::revision::Binding::HttpJson);
    let segment = |id: &str| -> Result<String, Invalid> {
        if matches!(id, "" | "." | "..") {
            return Err(Invalid::new("an id of a path must not be empty, '.' or '..'"));
        }
        Ok(utf8_percent_encode(id, &UNRESERVED).to_string())
    };
    let mut target = match (revision, &request.tenant) {
        (Revision::V0_3, _) => "/v1".to_owned(),
        (Revision::V1_0, Some(tenant)) if HEADS.contains(&&**tenant) => {
            return Err(Invalid::at("tenant", "cannot stand in a path, for it is the name of one"));
        }
        (Revision::V1_0, Some(tenant)) => format!("/{}", segment(tenant)?),
        (Revision::V1_0, None) => String::new(),
    };
    let body = || Out::of(form, |out| params::write(request, out));
    let rest = || Out::of(form, |out| write_rest(request, out));
    let (verb, path, body) = match &request.operation {
        Operation::Send(_) => ("POST", "/message:send".to_owned(), Some(body())),
        Operation::Stream(_) => ("POST", "/message:stream".to_owned(), Some(body())),
        Operation::GetTask(get) => ("GET", format!("/tasks/{}", segment(&get.id)?), None),
        Operation::ListTasks(_) if revision == Revision::V0_3 => {
            return Err(Invalid::new("A2A 0.3 cannot list tasks"));
        }
        Operation::ListTasks(_) => ("GET", "/tasks".to_owned(), None),
        Operation::CancelTask(task) => {
            ("POST", format!("/tasks/{}:cancel", segment(&task.id)?), Some(rest()))
        }
        Operation::Subscribe(task) => {
            ("POST", format!("/tasks/{}:subscribe", segment(&task.id)?), None)
        }
        Operation::CreatePush(config) => {
            let task = config.task_id.as_deref().unwrap_or_default();
            let path = format!("/tasks/{}/pushNotificationConfigs", segment(task)?);
            ("POST", path, Some(if form == Form::Proto { wrapped(request, task) } else { body() }))
        }
        Operation::ListPush(list) => {
            ("GET", format!("/tasks/{}/pushNotificationConfigs", segment(&list.task_id)?), None)
        }
        Operation::GetPush(push) | Operation::DeletePush(push) => {
            let verb = if request.method() == Method::GetPush { "GET" } else { "DELETE" };
            let id = segment(push.id.as_deref().unwrap_or_default())?;
            (verb, format!("/tasks/{}/pushNotificationConfigs/{id}", segment(&push.task_id)?), None)
        }
        Operation::ExtendedCard if revision == Revision::V0_3 => ("GET", "/card".to_owned(), None),
        Operation::ExtendedCard => ("GET", "/extendedAgentCard".to_owned(), None),
    };
    target.push_str(&path);
    push_query(request, form, &mut target);
    Ok(HttpCall { verb, target, body })
}

/// What the path does not say of a cancellation.
fn write_rest(request: &Request, out: &mut Out) {
    out.object(|out| {
        if request.method().has_metadata(out.form.revision()) && out.form == Form::V1 {
            out.optional_value("metadata", request.metadata.as_ref());
        }
        out.other(&request.other);
    });
}

fn wrapped(request: &Request, task: &str) -> Bytes {
    Out::of(Form::Proto, |out| {
        out.object(|out| {
            out.string("parent", &format!("tasks/{task}"));
            if let Operation::CreatePush(config) = &request.operation {
                out.optional("configId", config.id.as_ref());
            }
            out.member("config", |out| params::write(request, out));
        });
    })
}

fn push_query(request: &Request, form: Form, target: &mut String) {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let parameters = match &request.operation {
        Operation::GetTask(get) => vec![("historyLength", number(get.history_length))],
        Operation::ListTasks(list) => vec![
            ("contextId", list.context_id.clone()),
            ("status", list.status.map(|status| status.name(form).to_owned())),
            ("pageSize", number(list.page_size)),
            ("pageToken", list.page_token.clone()),
            ("historyLength", number(list.history_length)),
            ("statusTimestampAfter", list.status_timestamp_after.as_ref().map(Timestamp::in_utc)),
            ("includeArtifacts", list.include_artifacts.then(|| "true".to_owned())),
        ],
        Operation::ListPush(list) => {
            vec![("pageSize", number(list.page_size)), ("pageToken", list.page_token.clone())]
        }
        _ => return,
    };
    let mut separator = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            target.push(separator);
            target.push_str(name);
            target.push('=');
            target.extend(utf8_percent_encode(&value, &UNRESERVED));
            separator = '&';
        }
    }
}
