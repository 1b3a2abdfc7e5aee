//! Cleans spans: text from callers and servers is masked as in audit records.

use std::borrow::Cow;

use doorward_inspect::written::{self, Keep};

use super::messages::{AnyValueKind, Span};

/// Attributes whose values come from the gateway, or were already cleaned.
const OWN: [&str; 13] = [
    "client.address",
    "doorward.call.id",
    "doorward.policy.code",
    "doorward.server",
    "error.type",
    "gen_ai.operation.name",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "mcp.protocol.version",
    "mcp.session.id",
    "network.protocol.name",
    "network.transport",
    "server.address",
];

/// Cleans a span.
pub(super) fn span(span: &mut Span) {
    mask(&mut span.name, Keep::Nothing);
    if let Some(status) = &mut span.status {
        mask(&mut status.message, Keep::Addresses);
    }
    // A cleaned value would mean something else to its vendor, so it is dropped.
    if matches!(written::text(&span.trace_state, Keep::Personal), Cow::Owned(_)) {
        span.trace_state.clear();
    }
    for attribute in &mut span.attributes {
        let value = attribute.value.as_mut().and_then(|value| value.value.as_mut());
        if let Some(AnyValueKind::Text(text)) = value
            && !OWN.contains(&&*attribute.key)
        {
            mask(text, Keep::Nothing);
        }
    }
}

fn mask(text: &mut String, keep: Keep) {
    if let Cow::Owned(clean) = written::text(text, keep) {
        *text = clean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::messages::{KeyValue, Status};

    #[test]
    fn spans_hold_no_secrets_of_callers_and_servers() {
        let token = "ghp_Kd82jdkfiwo3lskdfjweoiru2938rjskdfhw";
        let mut of = Span {
            name: format!("tools/call {token}"),
            trace_state: format!("vendor={token}"),
            attributes: vec![
                KeyValue::new("client.address", "10.1.2.3"),
                KeyValue::new("mcp.resource.uri", "https://x.example/?mail=ann.lee@acme.example"),
                KeyValue::new("mcp.method.name", "tools/call"),
            ],
            status: Some(Status { message: format!("10.1.2.3 said {token}"), code: 2 }),
            ..Span::default()
        };
        span(&mut of);
        assert_eq!(of.name, "tools/call [SECRET]");
        assert_eq!(of.trace_state, "");
        assert_eq!(of.status.unwrap().message, "10.1.2.3 said [SECRET]");
        let expected = [
            KeyValue::new("client.address", "10.1.2.3"),
            KeyValue::new("mcp.resource.uri", "https://x.example/?mail=[EMAIL]"),
            KeyValue::new("mcp.method.name", "tools/call"),
        ];
        assert_eq!(of.attributes, expected);
    }
}
