//! An operation as a tool, and how the requests of its calls are built.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::body::Media;
use crate::request::BadArguments;
use crate::slot::is_method;

/// An operation as a tool.
#[derive(Debug, Clone, Serialize)]
pub struct Tool {
    pub name: String,
    pub description: String,
    #[serde(rename = "inputSchema")]
    pub input: Value,
    #[serde(rename = "outputSchema", skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    pub annotations: Annotations,
    /// The `operationId`, or method and path.
    #[serde(skip)]
    pub operation: String,
    /// In capitals.
    #[serde(skip)]
    pub method: &'static str,
    /// With names in braces where arguments stand.
    #[serde(skip)]
    pub path: String,
    #[serde(skip)]
    pub parameters: Vec<Parameter>,
    #[serde(skip)]
    pub body: Option<Body>,
    /// Whether what it announces as its output is the answer's member `result`, for the answer is no object.
    #[serde(skip)]
    pub wraps: bool,
    /// Ways to show who one is, each of several schemes together; empty where none is needed.
    #[serde(skip)]
    pub security: Vec<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Annotations {
    #[serde(rename = "readOnlyHint")]
    pub read_only: bool,
    #[serde(rename = "idempotentHint")]
    pub idempotent: bool,
    #[serde(rename = "destructiveHint")]
    pub destructive: bool,
}

/// Where an argument stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    /// The tool's argument that it is.
    pub argument: String,
    pub place: Place,
    pub style: Style,
    pub explode: bool,
    pub allow_reserved: bool,
    /// Its value is written as JSON.
    pub json: bool,
    pub required: bool,
}

impl Parameter {
    /// Whether the members of an object stand beside the other parameters of the query.
    pub(crate) fn stands_apart(&self) -> bool {
        self.place == Place::Query && self.explode && !self.json && self.style != Style::DeepObject
    }
}

#[derive(Debug, Clone)]
pub struct Body {
    pub media: Media,
    pub from: BodyFrom,
    pub required: bool,
}

/// Which arguments a body is made of.
#[derive(Debug, Clone)]
pub enum BodyFrom {
    /// One that is all of it.
    Whole(String),
    /// Each is a member of it.
    Members(Vec<String>),
}

/// An operation that is no tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub operation: String,
    pub why: String,
    /// It was not asked for; nothing is wrong with it.
    pub unselected: bool,
}

impl Tool {
    /// The members that a call's body has, where it is an object.
    pub fn body_members<'a>(
        &'a self,
        arguments: &'a Map<String, Value>,
    ) -> impl Iterator<Item = &'a str> {
        let (whole, members) = match self.body.as_ref().map(|body| &body.from) {
            Some(BodyFrom::Whole(argument)) => (arguments.get(argument), None),
            Some(BodyFrom::Members(names)) => (None, Some(names)),
            None => (None, None),
        };
        let whole = whole.and_then(Value::as_object).into_iter().flatten();
        let given = members.into_iter().flatten().filter(|name| arguments.contains_key(*name));
        whole.map(|(name, _)| name.as_str()).chain(given.map(String::as_str))
    }

    pub(crate) fn write_body(
        &self,
        arguments: &Map<String, Value>,
        boundary: &str,
    ) -> Result<Option<(String, Vec<u8>)>, BadArguments> {
        let Some(body) = &self.body else { return Ok(None) };
        let value = match &body.from {
            BodyFrom::Whole(argument) => arguments.get(argument).cloned(),
            BodyFrom::Members(names) => {
                let given: Map<String, Value> = names
                    .iter()
                    .filter_map(|name| Some((name.clone(), arguments.get(name)?.clone())))
                    .collect();
                (body.required || !given.is_empty()).then_some(Value::Object(given))
            }
        };
        // One that the description knows is meant so.
        if let (Some(Value::Object(members)), BodyFrom::Whole(argument)) = (&value, &body.from)
            && !matches!(body.media, Media::Json(_))
            && let Some(name) = members.keys().find(|name| is_method(name))
        {
            return Err(BadArguments::of(argument, &format!("must not have a member '{name}'")));
        }
        match value {
            Some(value) => body.media.write(&value, boundary).map(Some),
            None if body.required => Err(BadArguments::of("body", "is missing")),
            None => Ok(None),
        }
    }
}

impl Place {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}
