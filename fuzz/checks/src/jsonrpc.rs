//! Any bytes are a message or a clear refusal; a message means the same when written and read again,
//! and the same to another parser.

use bytes::Bytes;
use doorward_mcp::json::Limits;
use doorward_mcp::{Message, message};

pub fn check(data: &[u8]) {
    let text = Bytes::copy_from_slice(data);
    if message::is_batch(&text) {
        let _ = message::split_batch(&text, Limits::default());
    }
    let Ok(read) = Message::parse(&text, Limits::default()) else { return };
    let written = read.to_bytes();
    let again = Message::parse(&written, Limits::default()).expect("what was written can be read");
    assert_eq!(again.to_bytes(), written);
    let ours: serde_json::Value = serde_json::from_slice(&written).expect("it is JSON");
    let theirs: serde_json::Value = serde_json::from_slice(data).expect("it was JSON");
    for member in ["id", "method", "params", "result"] {
        let (ours, theirs) = (&ours[member], &theirs[member]);
        let nothing =
            |value: &serde_json::Value| value.is_null() || *value == serde_json::json!({});
        // A negative zero is the id zero.
        let zero = |value: &serde_json::Value| value.as_f64() == Some(0.0);
        let same = ours == theirs
            || (nothing(ours) && nothing(theirs))
            || (member == "id" && zero(ours) && zero(theirs));
        assert!(same, "{member}: {ours} {theirs}");
    }
}
