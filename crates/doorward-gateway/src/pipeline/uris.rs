//! Stage: URIs that could leave what a portal or policy names (`file:///srv/pub/../x`) are refused before anything is
//! compared with them (RFC 3986 section 6.2.2.3).

use std::sync::Arc;

use doorward_mcp::filter::Filter;
use doorward_mcp::uri::LONGEST;
use doorward_mcp::{Object, RpcError, method, uri};

use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

pub struct Uris;

impl Stage for Uris {
    fn name(&self) -> &'static str {
        "uris"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let checked = match &*call.method {
            method::RESOURCES_READ => {
                call.params.string("uri").map_or(Ok(()), |uri| check_uri(&uri))
            }
            method::COMPLETE => check_completion(&call.params),
            method::LISTEN => Filter::read(&call.params)
                .and_then(|filter| filter.uris.iter().try_for_each(|uri| check_uri(uri))),
            _ => Ok(()),
        };
        checked.map_or_else(Step::refuse, |()| Step::CONTINUE)
    }
}

/// Refuses a URI that could step out of the place that it names, or is too long.
pub fn check_uri(uri: &str) -> Result<(), RpcError> {
    if uri.len() > LONGEST {
        let why = format!("A URI has {} bytes; the maximum is {LONGEST}", uri.len());
        return Err(RpcError::invalid_params(why));
    }
    if uri::has_dot_segment(uri) {
        return Err(RpcError::invalid_params(format!("A URI {}", uri::WHY)));
    }
    Ok(())
}

/// What is completed in a template becomes part of a URI.
fn check_completion(params: &Object) -> Result<(), RpcError> {
    let Some(template) = params.object("ref").and_then(|of| of.string("uri").map(String::from))
    else {
        return Ok(());
    };
    check_uri(&template)?;
    let written = params.object("argument").unwrap_or_default();
    let context = params.object("context").unwrap_or_default();
    let known = context.object("arguments").unwrap_or_default();
    let values = known.members().iter().filter_map(|member| member.value.as_str());
    for value in written.string("value").into_iter().chain(values) {
        if uri::has_dot_segment_in_value(&value) {
            let why = format!("A value in a URI template {}", uri::WHY);
            return Err(RpcError::invalid_params(why));
        }
    }
    Ok(())
}
