//! Headers that settings cannot set.

pub(super) fn is_owned_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("mcp-")
        || matches!(
            name.as_str(),
            "host"
                | "content-length"
                | "content-type"
                | "accept"
                | "connection"
                | "transfer-encoding"
                | "last-event-id"
                | "upgrade"
                | "te"
                | "trailer"
                | "accept-encoding"
        )
}
