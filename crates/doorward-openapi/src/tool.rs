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
    /// In upper case.
    #[serde(skip)]
    pub method: &'static str,
    /// With the names of path parameters in braces.
    #[serde(skip)]
    pub path: String,
    #[serde(skip)]
    pub parameters: Vec<Parameter>,
    #[serde(skip)]
    pub body: Option<Body>,
    /// Whether the response is not an object, and is returned as the member `result` of one.
    #[serde(skip)]
    pub wraps: bool,
    /// Alternative security requirements, each with the schemes that apply together; empty if none is required.
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

/// Where an argument is placed in the request.
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
    /// The name of the tool's argument.
    pub argument: String,
    pub place: Place,
    pub style: Style,
    pub explode: bool,
    pub allow_reserved: bool,
    /// The value is serialized as JSON.
    pub json: bool,
    pub required: bool,
}

impl Parameter {
    /// Whether the members of an object become separate query parameters.
    pub(crate) fn is_exploded_object(&self) -> bool {
        self.place == Place::Query && self.explode && !self.json && self.style != Style::DeepObject
    }
}

#[derive(Debug, Clone)]
pub struct Body {
    pub media: Media,
    pub from: BodyFrom,
    pub required: bool,
}

/// The arguments that form a body.
#[derive(Debug, Clone)]
pub enum BodyFrom {
    /// One argument is the whole body.
    Whole(String),
    /// Each argument is a member of the body.
    Members(Vec<String>),
}

/// An operation that is not a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub operation: String,
    pub why: String,
    /// It was not selected; there is no error.
    pub unselected: bool,
}

impl Tool {
    /// The members of a call's body, if it is an object.
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
        let present = members.into_iter().flatten().filter(|name| arguments.contains_key(*name));
        whole.map(|(name, _)| name.as_str()).chain(present.map(String::as_str))
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
                let present: Map<String, Value> = names
                    .iter()
                    .filter_map(|name| Some((name.clone(), arguments.get(name)?.clone())))
                    .collect();
                (body.required || !present.is_empty()).then_some(Value::Object(present))
            }
        };
        // If the document declares the member, it is intended.
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
