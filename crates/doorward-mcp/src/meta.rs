//! The client's declaration of itself in `params._meta` of a modern request (spec 2026-07-28 basic/index).

use std::borrow::Cow;

use crate::error::RpcError;
use crate::json::{Object, Value};
use crate::revision::Revision;

pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
pub const PROGRESS_TOKEN: &str = "progressToken";

/// Severity of log messages, in ascending order (RFC 5424).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(level, _)| level)
    }

    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(level, _)| *level == self).map_or("info", |(_, name)| name)
    }
}

/// The client as declared by itself: for translation and display, never for access decisions.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// `{name, version, …}`, raw.
    pub info: Option<Value>,
    /// The client's capabilities in the form of 2026-07-28.
    pub capabilities: Object,
    pub log_level: Option<LogLevel>,
}

/// Maximum size of a client's information and capabilities, in bytes.
pub const CLIENT_BYTES: usize = 32 << 10;

impl Client {
    /// Fails if they are larger than [`CLIENT_BYTES`].
    pub fn check_size(&self) -> Result<(), RpcError> {
        let info = self.info.as_ref().map_or(0, |info| info.to_bytes().len());
        let bytes = info + self.capabilities.to_bytes().len();
        if bytes > CLIENT_BYTES {
            return Err(RpcError::invalid_params(format!(
                "The client's information and capabilities have {bytes} bytes; the maximum is \
                    {CLIENT_BYTES}"
            )));
        }
        Ok(())
    }
}

/// The protocol version in `_meta`; `None` if there is none, so that the request is not of the modern era.
pub fn protocol_version(params: &Object) -> Option<String> {
    Some(params.object("_meta")?.string(PROTOCOL_VERSION)?.into_owned())
}

/// Removes the client's declaration from a modern request's `_meta`. The rest remains: progress token, trace
/// context and unknown keys.
pub fn take_client(params: &mut Object) -> Result<Client, RpcError> {
    let meta = params
        .object_mut("_meta")
        .ok_or_else(|| RpcError::invalid_params("'_meta' must be an object"))?;
    meta.remove(PROTOCOL_VERSION);
    let capabilities = match meta.remove(CLIENT_CAPABILITIES) {
        None => {
            return Err(RpcError::invalid_params(format!("'_meta' lacks '{CLIENT_CAPABILITIES}'")));
        }
        Some(value) => value.as_object().map(Cow::into_owned).ok_or_else(|| {
            RpcError::invalid_params(format!("'{CLIENT_CAPABILITIES}' must be an object"))
        })?,
    };
    // Null counts as absent, because some clients send empty members.
    let info = meta.remove(CLIENT_INFO).filter(|value| !value.is_null());
    let log_level = match meta.remove(LOG_LEVEL).filter(|value| !value.is_null()) {
        None => None,
        Some(value) => {
            Some(value.as_str().and_then(|text| LogLevel::parse(&text)).ok_or_else(|| {
                RpcError::invalid_params(format!("'{LOG_LEVEL}' is not a log level"))
            })?)
        }
    };
    drop_empty(params);
    let client = Client { info, capabilities, log_level };
    client.check_size()?;
    Ok(client)
}

/// Writes the client's declaration for a modern server into `_meta`.
pub fn put_client(params: &mut Object, client: &Client, revision: Revision) {
    let Some(meta) = params.object_mut("_meta") else { return };
    meta.set(PROTOCOL_VERSION, revision.as_str());
    meta.set(CLIENT_CAPABILITIES, client.capabilities.clone());
    if let Some(info) = &client.info {
        meta.set(CLIENT_INFO, info.clone());
    }
    if let Some(level) = client.log_level {
        meta.set(LOG_LEVEL, level.as_str());
    }
}

/// Removes an empty `_meta`.
pub fn drop_empty(object: &mut Object) {
    if object.object("_meta").is_some_and(|meta| meta.is_empty()) {
        object.remove("_meta");
    }
}

/// The progress token of a request, raw, so that its type is retained.
pub fn progress_token(params: &Object) -> Option<Value> {
    params.object("_meta")?.get(PROGRESS_TOKEN).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn other_members_of_meta_remain() {
        let text = Bytes::from_static(
            br#"{"name":"n","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/logLevel":"error","progressToken":"7","vendor/x":{"a":1.0}}}"#,
        );
        let mut params = Object::parse(&text).unwrap();
        let client = take_client(&mut params).unwrap();
        assert_eq!(client.log_level, Some(LogLevel::Error));
        assert!(client.capabilities.contains("sampling"));
        assert_eq!(
            params.to_bytes(),
            r#"{"name":"n","_meta":{"progressToken":"7","vendor/x":{"a":1.0}}}"#
        );
    }

    #[test]
    fn null_counts_as_absent() {
        let text = br#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":null,"io.modelcontextprotocol/logLevel":null}}"#;
        let mut params = Object::parse(&Bytes::from_static(text)).unwrap();
        let client = take_client(&mut params).unwrap();
        assert!(client.info.is_none() && client.log_level.is_none());
    }

    #[test]
    fn missing_required_keys_are_reported() {
        let mut params = Object::parse(&Bytes::from_static(br#"{"_meta":{}}"#)).unwrap();
        assert_eq!(take_client(&mut params).unwrap_err().code, crate::error::code::INVALID_PARAMS);
    }
}
