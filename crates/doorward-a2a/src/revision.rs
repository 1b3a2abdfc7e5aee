//! Revisions of the protocol, its bindings, and the JSON form that follows from both (spec 1.0 §3.6, §5).

use crate::error::{Error, ErrorKind};

/// The media type of JSON in the HTTP+JSON binding of 1.0 (spec 1.0 §14.1.1).
pub const MEDIA_TYPE: &str = "application/a2a+json";

/// The header, and the query parameter, with the client's revision (spec 1.0 §3.6.1).
pub const VERSION_HEADER: &str = "a2a-version";

/// A revision, named by its major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    V0_3,
    V1_0,
}

/// How operations are carried over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0: one URL for all operations.
    JsonRpc,
    /// One path for each operation.
    HttpJson,
}

/// How the model is written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// 1.0, both bindings: ProtoJSON of `lf.a2a.v1`.
    V1,
    /// 0.3 over JSON-RPC: objects with a member `kind`.
    Kind,
    /// 0.3 over HTTP+JSON: ProtoJSON of `a2a.v1`.
    Proto,
}

impl Revision {
    pub const ALL: [Self; 2] = [Self::V0_3, Self::V1_0];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3 => "0.3",
            Self::V1_0 => "1.0",
        }
    }

    /// The revision of a version such as `1.0` or `0.3.0`: the patch number does not count (spec 1.0 §3.6).
    pub fn of_version(version: &str) -> Option<Self> {
        let mut numbers = version.split('.');
        let (major, minor) = (numbers.next()?, numbers.next()?);
        let is_number =
            |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if numbers.next().is_some_and(|patch| !is_number(patch)) || numbers.next().is_some() {
            return None;
        }
        match (major, minor) {
            ("0", "3") => Some(Self::V0_3),
            ("1", "0") => Some(Self::V1_0),
            _ => None,
        }
    }

    /// The revision of a request, from the values of its `A2A-Version` header and query parameter. Without one, or if it
    /// is empty, 0.3 applies (spec 1.0 §3.6.2).
    ///
    /// # Errors
    /// `VersionNotSupported` for any other revision; `InvalidRequest` if header and parameter differ.
    pub fn negotiate(header: Option<&str>, parameter: Option<&str>) -> Result<Self, Error> {
        let given = |text: Option<&str>| {
            text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let (header, parameter) = (given(header), given(parameter));
        if let (Some(header), Some(parameter)) = (&header, &parameter)
            && header != parameter
        {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "the header 'A2A-Version' and the query parameter of the same name differ; send one of them",
            ));
        }
        let Some(version) = header.or(parameter) else { return Ok(Self::V0_3) };
        Self::of_version(&version).ok_or_else(|| {
            let shown: String = version.chars().filter(|c| !c.is_control()).take(32).collect();
            Error::new(
                ErrorKind::VersionNotSupported,
                format!("A2A version '{shown}' is not supported; send 'A2A-Version: 1.0' or '0.3'"),
            )
            .with("supportedVersions", "0.3, 1.0")
        })
    }
}

impl Binding {
    pub const ALL: [Self; 2] = [Self::JsonRpc, Self::HttpJson];

    /// The name in an agent card (spec 1.0 §5.8, `AgentInterface.protocol_binding`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonRpc => "JSONRPC",
            Self::HttpJson => "HTTP+JSON",
        }
    }

    /// The binding with this name; `None` for gRPC and custom bindings.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|binding| binding.as_str() == name)
    }

    /// The media type of the bodies that this gateway writes.
    pub const fn media_type(self, revision: Revision) -> &'static str {
        match (self, revision) {
            (Self::HttpJson, Revision::V1_0) => MEDIA_TYPE,
            _ => "application/json",
        }
    }
}

impl Form {
    pub const ALL: [Self; 3] = [Self::V1, Self::Kind, Self::Proto];

    pub const fn of(revision: Revision, binding: Binding) -> Self {
        match (revision, binding) {
            (Revision::V1_0, _) => Self::V1,
            (Revision::V0_3, Binding::JsonRpc) => Self::Kind,
            (Revision::V0_3, Binding::HttpJson) => Self::Proto,
        }
    }

    pub const fn revision(self) -> Revision {
        match self {
            Self::V1 => Revision::V1_0,
            Self::Kind | Self::Proto => Revision::V0_3,
        }
    }

    /// Whether the form is ProtoJSON: numbers may be strings, names may be those of the fields, enums may be numbers.
    pub(crate) const fn is_proto(self) -> bool {
        matches!(self, Self::V1 | Self::Proto)
    }
}

/// Whether a `Content-Type` is JSON as this protocol sends it: `application/json` or `application/a2a+json`, with any
/// parameters.
pub fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") || media.eq_ignore_ascii_case(MEDIA_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_version_is_0_3() {
        for header in [None, Some(""), Some("  "), Some("0.3"), Some("0.3.0")] {
            assert_eq!(Revision::negotiate(header, None).unwrap(), Revision::V0_3);
        }
        for header in ["1.0", " 1.0 ", "1.0.7"] {
            assert_eq!(Revision::negotiate(Some(header), None).unwrap(), Revision::V1_0);
            assert_eq!(Revision::negotiate(None, Some(header)).unwrap(), Revision::V1_0);
        }
        assert_eq!(Revision::negotiate(Some("1.0"), Some("1.0")).unwrap(), Revision::V1_0);
    }

    #[test]
    fn any_other_version_is_not_supported() {
        for header in [
            "0.2", "1.1", "2.0", "1", "1.", "1.0.x", "1.0.0.0", "01.0", "v1.0", "1.0, 0.3",
            "1.0-beta",
        ] {
            let error = Revision::negotiate(Some(header), None).unwrap_err();
            assert_eq!((error.kind, error.kind.code()), (ErrorKind::VersionNotSupported, -32009));
        }
        let error = Revision::negotiate(Some("1.0"), Some("0.3")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
    }

    #[test]
    fn both_media_types_are_json() {
        for accepted in
            ["application/json", "application/a2a+json; charset=utf-8", "Application/JSON"]
        {
            assert!(is_json(accepted));
        }
        for refused in ["", "text/plain", "application/json2", "application/xml"] {
            assert!(!is_json(refused));
        }
    }
}
