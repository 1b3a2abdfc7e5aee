//! Whatever a server calls a schema: the compact one is JSON where the schema is, and what cannot be read is unchanged.
//!
//! The first byte chooses the rules.

use bytes::Bytes;
use doorward_compact::schemas::{SchemaRules, compact};
use doorward_mcp::Value;

pub fn check(data: &[u8]) {
    let Some((flags, text)) = data.split_first() else { return };
    let has = |bit: u8| flags & (1 << bit) != 0;
    let rules = SchemaRules {
        drops_examples: has(0),
        drops_defaults: has(1),
        drops_titles: has(2),
        drops_unused_definitions: has(4),
        shares_equal: has(5),
        description_chars: has(3).then_some(usize::from(flags >> 6) * 5),
    };
    let schema = Value::Raw(Bytes::copy_from_slice(text));
    let made = compact(&schema, &rules).to_bytes();
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(before) => {
            let after: serde_json::Value =
                serde_json::from_slice(&made).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(before.is_object(), after.is_object());
            // A mark can be longer than what it stands for.
            assert!(made.len() <= text.len() || rules.description_chars.is_some());
            for name in ["type", "required", "enum", "const"] {
                assert_eq!(before.get(name), after.get(name));
            }
        }
        Err(_) => assert_eq!(made, text),
    }
}
