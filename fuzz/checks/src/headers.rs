//! A header means one value, whatever stands in it; and an annotation that is accepted can be
//! mirrored.

use bytes::Bytes;
use doorward_mcp::{Object, headers, param_headers};

pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let encoded = headers::encode(text);
        assert!(encoded.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
        assert_eq!(headers::decode(encoded.as_bytes()).as_deref(), Some(text));
        headers::check("mcp-name", [encoded.as_bytes()], text).expect("it agrees");
    }
    let _ = headers::decode(data);
    let _ = headers::check("mcp-name", [data], "name");
    let Ok(schema) = serde_json::from_slice(data) else { return };
    let Ok(mirrors) = param_headers::read(&schema) else { return };
    let arguments = Object::parse(&Bytes::copy_from_slice(data));
    for mirror in mirrors {
        if let Ok(Some(value)) = mirror.value(arguments.as_ref()) {
            mirror.check([value.as_bytes()], arguments.as_ref()).expect("its own value agrees");
        }
    }
}
