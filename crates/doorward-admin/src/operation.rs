//! Operations: a service function with its HTTP method, path and action. One table of them ([`crate::routes`]) is what is
//! served, described as OpenAPI, and called by the command line.

use std::pin::Pin;
use std::sync::Arc;

use doorward_policy::{Action, Target};
use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::desk::{self, Desk};
use crate::input;
use crate::problem::{Code, Problem};

/// What a service function returns.
pub type Running<O> = Pin<Box<dyn Future<Output = Result<O, Problem>> + Send>>;

/// The methods of HTTP that operations have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }
}

/// What an operation is done to, for the decision whether it may be done.
#[derive(Debug)]
pub enum On<I> {
    /// The gateway as a whole.
    Gateway,
    /// What the input names.
    Named(fn(&Desk, &I) -> Target),
    /// The function itself decides: it filters a list ([`Desk::visible`]), or asks ([`Desk::require`]) once it knows.
    Decides,
    /// The function itself decides, on what the input says of itself: what is proposed is not among what there is. Nobody is
    /// refused before their input was read.
    Proposed,
    /// Nothing but what is the caller's own: no action of administrators is needed.
    Own,
}

impl<I> Clone for On<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for On<I> {}

/// A service function, and how it is called. `I` has all that a request says: the parameters of its path and query and
/// the members of its body; `O` is the body of the response.
#[derive(Debug)]
pub struct Operation<I, O> {
    /// `operationId`: a noun and a verb.
    pub id: &'static str,
    pub verb: Verb,
    /// With `{parameters}` that are members of `I`.
    pub path: &'static str,
    pub summary: &'static str,
    pub action: Action,
    pub on: On<I>,
    pub run: fn(Desk, I) -> Running<O>,
    /// It makes something: 201.
    pub makes: bool,
}

impl<I, O> Clone for Operation<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Operation<I, O> {}

impl<I, O> Operation<I, O> {
    pub const fn new(
        id: &'static str,
        (verb, path): (Verb, &'static str),
        summary: &'static str,
        (action, on): (Action, On<I>),
        run: fn(Desk, I) -> Running<O>,
    ) -> Self {
        Self { id, verb, path, summary, action, on, run, makes: false }
    }

    /// An operation on what is the caller's own.
    pub const fn own(
        id: &'static str,
        at: (Verb, &'static str),
        summary: &'static str,
        run: fn(Desk, I) -> Running<O>,
    ) -> Self {
        Self::new(id, at, summary, (Action::View, On::Own), run)
    }

    pub const fn making(self) -> Self {
        Self { makes: true, ..self }
    }
}

impl<I, O> Operation<I, O>
where
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + Send + 'static,
{
    /// Decides and runs: for the command line on the machine, and for routes.
    pub async fn call(&self, desk: Desk, input: I) -> Result<O, Problem> {
        match self.on {
            On::Gateway => desk.require(self.action, &desk::gateway())?,
            On::Named(about) => desk.require(self.action, &about(&desk, &input))?,
            On::Decides | On::Proposed | On::Own => {}
        }
        (self.run)(desk, input).await
    }

    /// Without its types.
    pub fn route(self) -> Route {
        let kinds = input::Kinds::of::<I>();
        Route {
            id: self.id,
            method: self.verb.method(),
            path: self.path,
            summary: self.summary,
            action: self.action,
            is_own: matches!(self.on, On::Own),
            makes: self.makes,
            input: |generator| I::json_schema(generator),
            output: |generator| generator.subschema_for::<O>(),
            kinds,
            call: Arc::new(move |desk, input| {
                Box::pin(async move {
                    let input = serde_json::from_value(input)
                        .map_err(|error| Problem::invalid(format!("the request: {error}")));
                    // Who may not do it to anything learns nothing of the request's form.
                    let is_doubtful = match self.on {
                        On::Gateway => true,
                        On::Own => false,
                        On::Proposed if input.is_ok() => false,
                        On::Named(_) | On::Decides | On::Proposed => !desk.administers(self.action),
                    };
                    if is_doubtful {
                        desk.require(self.action, &desk::gateway())?;
                    }
                    let input = input?;
                    let output = Box::pin(self.call(desk, input)).await?;
                    serde_json::to_value(output)
                        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
                })
            }),
        }
    }
}

type Call = dyn Fn(Desk, Value) -> Running<Value> + Send + Sync;

/// An operation as it is served.
#[derive(Clone)]
pub struct Route {
    pub id: &'static str,
    pub method: Method,
    pub path: &'static str,
    pub summary: &'static str,
    pub action: Action,
    /// No action is needed for it.
    pub is_own: bool,
    pub makes: bool,
    pub input: fn(&mut SchemaGenerator) -> Schema,
    pub output: fn(&mut SchemaGenerator) -> Schema,
    /// What the members of the input are, for those that come as text.
    pub kinds: input::Kinds,
    pub call: Arc<Call>,
}

impl Route {
    pub fn changes(&self) -> bool {
        !self.method.is_safe()
    }

    pub fn status(&self) -> StatusCode {
        if self.makes { StatusCode::CREATED } else { StatusCode::OK }
    }

    /// The parameters of the path.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
