//! Whatever a model or a server sends: calls are read or refused, results are JSON that names its call, and an adapted
//! schema describes an object.

use bytes::Bytes;
use doorward_functions::{Adapted, Outcome, calls, results};
use doorward_mcp::json::Limits;
use doorward_mcp::{Object, Value};

const MOST: usize = 64;

pub fn check(data: &[u8]) {
    let text = Bytes::copy_from_slice(data);
    if let Ok(read) = calls::read(&text, Limits::default(), MOST) {
        assert!(read.len() <= MOST);
        for call in &read {
            if let Ok(arguments) = &call.arguments {
                assert!(json(&arguments.to_bytes()).is_object());
            }
            let written = json(&results::write(call, Outcome::Failed("why")).to_bytes());
            assert!(written.to_string().contains("why"));
            if let Some(id) = call.id.as_ref().and_then(Value::as_str)
                && call.dialect != doorward_functions::Dialect::Mcp
            {
                let id = serde_json::Value::from(&*id).to_string();
                assert!(written.to_string().contains(&id), "{written} lacks {id}");
            }
        }
    }
    let adapted = Adapted::of(Some(&Value::Raw(text.clone())));
    let schema = json(&adapted.to_bytes());
    assert!(schema["type"] == "object" && schema["properties"].is_object(), "{schema}");
    if let Ok(strict) = adapted.strict() {
        assert_eq!(json(&strict)["additionalProperties"], false);
    }
    if let Some(sent) = Object::parse(&text) {
        // What was translated back stays as it is.
        if let Ok(once) = adapted.arguments(&sent)
            && let Ok(twice) = adapted.arguments(&once)
        {
            assert!(twice.members().len() <= once.members().len());
        }
    }
}

fn json(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}"))
}
