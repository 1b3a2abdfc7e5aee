//! Stage: validates arguments against the tool's schema and the operator's limits. Invalid arguments are refused before
//! anything is sent, with every problem.
//!
//! Headers that mirror arguments must match them: the body is what was authorised (attack T21).

use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::method;
use http::HeaderValue;
use serde_json::Value;

use crate::call::{Call, CallError, Events, Route};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step, inspection};
use doorward_config::{ArgumentSettings, Check};
use doorward_schema::{Effort, Mismatches, NoTurn};

/// Arguments from this size on are read away from the threads that calls are on.
const LARGE: usize = 64 << 10;

pub struct Arguments;

impl Stage for Arguments {
    fn name(&self) -> &'static str {
        "arguments"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        // Only now: a caller who may not see the tool is not told more of it than that it does not exist.
        if let Some(failure) = call.notes.over_bound.take() {
            return Step::refuse(CallError::Refused { failure: *failure, status: 200 });
        }
        if let Some(unsettable) = call.notes.unsettable.take() {
            return Step::refuse(CallError::InvalidArguments(unsettable));
        }
        if let Some(refused) = inspection::refused(call) {
            return Step::refuse(refused);
        }
        if *call.method != *method::TOOLS_CALL {
            return Step::CONTINUE;
        }
        if let Err(error) = headers_agree(call) {
            return Step::refuse(error);
        }
        let Some(checking) = Checking::of(call) else { return Step::CONTINUE };
        if checking.is_quick() {
            let checked = checking.run(Effort::Glance);
            if !checked.as_ref().is_err_and(|mismatches| mismatches.late) {
                return Step::Now(decide(call, checked).map(|()| None));
            }
        }
        let Some(server) = call.route.as_ref().map(|route| route.server.clone()) else {
            return Step::CONTINUE;
        };
        Step::Later(Box::pin(async move {
            let principal = call.caller.principal.clone();
            let checking = move || checking.run(Effort::Full);
            let checked = match server.catalog.checks.run(&principal.id, checking).await {
                Ok(checked) => checked.unwrap_or_else(|| Err(Mismatches::too_costly())),
                Err(no_turn) => return unchecked(call, no_turn).map(|()| None),
            };
            decide(call, checked).map(|()| None)
        }))
    }
}

/// Whether the headers that mirror arguments match them.
pub(super) fn headers_agree(call: &Call) -> Result<(), CallError> {
    let tool = call.route.as_ref().and_then(|route| route.tool.as_ref());
    let (Some(tool), Some(sent)) = (tool, &call.param_headers) else { return Ok(()) };
    if tool.param_headers.is_empty() {
        return Ok(());
    }
    let arguments = call.params.object("arguments");
    for header in &tool.param_headers {
        let values = sent.get_all(header.header.as_str()).iter().map(HeaderValue::as_bytes);
        header.check(values, arguments.as_deref())?;
    }
    Ok(())
}

fn refuses(route: &Route) -> bool {
    route.tool.as_ref().is_none_or(|tool| tool.arguments.check() == Check::Refuse)
}

/// The turn of the check has not come. That says nothing of the arguments.
fn unchecked(call: &Call, no_turn: NoTurn) -> Result<(), CallError> {
    let Some(route) = &call.route else { return Ok(()) };
    if refuses(route) {
        return Err(no_turn.failure().into());
    }
    let failure = no_turn.failure();
    tracing::warn!(server = &*route.server.name, "arguments cannot be validated: {failure}");
    Ok(())
}

fn decide(call: &Call, checked: Result<(), Mismatches>) -> Result<(), CallError> {
    let (Err(mismatches), Some(route)) = (checked, &call.route) else { return Ok(()) };
    route.server.metrics.invalid_arguments.inc();
    if refuses(route) {
        return Err(CallError::InvalidArguments(Box::new(mismatches)));
    }
    tracing::warn!(server = &*route.server.name, "invalid arguments: {mismatches}");
    Ok(())
}

/// All that is needed to check a call's arguments.
struct Checking {
    text: Bytes,
    bounds: ArgumentSettings,
    tool: Option<Arc<doorward_upstream::catalog::ToolEntry>>,
}

impl Checking {
    /// `None` if there is nothing to be checked.
    fn of(call: &Call) -> Option<Self> {
        let route = call.route.as_ref()?;
        let bounds = match &route.tool {
            Some(tool) => tool.arguments.clone(),
            // The server itself refuses what it does not list; its bounds hold all the same.
            None => route.server.settings.checks_of(&call.params.string("name")?).0,
        };
        let has_schema = route.tool.as_ref().is_some_and(|tool| tool.schemas.input.is_some());
        if !has_schema && bounds.size.is_none() && !bounds.bounds_parts() {
            return None;
        }
        let text = call.params.get("arguments").map(doorward_mcp::Value::to_bytes);
        let text = text.unwrap_or_else(|| Bytes::from_static(b"{}"));
        Some(Self { text, bounds, tool: route.tool.clone() })
    }

    fn is_quick(&self) -> bool {
        let bytes = self.text.len();
        let schema = self.tool.as_ref().and_then(|tool| tool.schemas.input.as_ref());
        bytes < LARGE && schema.is_none_or(|schema| schema.is_quick(bytes))
    }

    fn run(&self, effort: Effort) -> Result<(), Mismatches> {
        if let Some(most) = self.bounds.size.filter(|most| self.text.len() > most.0) {
            return Err(Mismatches::one("", format!("must be at most {most} long")));
        }
        let schema = self.tool.as_ref().and_then(|tool| tool.schemas.input.as_ref());
        if schema.is_none() && !self.bounds.bounds_parts() {
            return Ok(());
        }
        let mut value: Value = serde_json::from_slice(&self.text)
            .map_err(|error| Mismatches::one("", format!("cannot be validated: {error}")))?;
        if self.bounds.bounds_parts() {
            within(&self.bounds, &value, 0, &mut String::new())?;
        }
        schema.map_or(Ok(()), |schema| schema.check_arguments(&mut value, self.text.len(), effort))
    }
}

/// Whether every part is within the bounds; `depth` is how many values a part lies in.
fn within(
    bounds: &ArgumentSettings,
    value: &Value,
    depth: usize,
    path: &mut String,
) -> Result<(), Mismatches> {
    let refuse = |problem: String| Err(Mismatches::one(path.as_str(), problem));
    let most = bounds.depth.unwrap_or(usize::MAX);
    match value {
        Value::String(text) => match bounds.string.filter(|most| text.len() > most.0) {
            Some(most) => refuse(format!("must be at most {most} long")),
            None => Ok(()),
        },
        Value::Array(_) | Value::Object(_) if depth >= most => {
            refuse(format!("is nested too deep: the maximum depth of arguments is {most}"))
        }
        Value::Array(items) => {
            if let Some(most) = bounds.items.filter(|most| items.len() > *most) {
                return refuse(format!("must have at most {most} items"));
            }
            items.iter().enumerate().try_for_each(|(at, item)| {
                below(&at.to_string(), path, |path| within(bounds, item, depth + 1, path))
            })
        }
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            below(name, path, |path| within(bounds, value, depth + 1, path))
        }),
        _ => Ok(()),
    }
}

/// Does something with the path of a part.
fn below<T>(name: &str, path: &mut String, with: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
    let done = with(path);
    path.truncate(length);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_config::ByteSize;
    use serde_json::json;

    #[test]
    fn bounds_name_the_part_that_breaks_them() {
        let bounds = ArgumentSettings {
            depth: Some(2),
            string: Some(ByteSize(3)),
            items: Some(2),
            ..ArgumentSettings::default()
        };
        for (value, path) in [
            (json!({"a": "abc", "b": [1, 2], "c": {"d": 1}}), None),
            (json!({"a": {"b/c": "abcd"}}), Some("/a/b~1c")),
            (json!({"a": [1, 2, 3]}), Some("/a")),
            (json!({"a": [1, {}]}), Some("/a/1")),
            (json!({"a": {"b": {}}}), Some("/a/b")),
        ] {
            let told = within(&bounds, &value, 0, &mut String::new());
            assert_eq!(
                told.err().map(|mismatches| mismatches.failures[0].path.clone()).as_deref(),
                path
            );
        }
    }
}
