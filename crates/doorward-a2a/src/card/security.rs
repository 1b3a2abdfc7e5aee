//! Security schemes and requirements: raw JSON in the form of 1.0, translated to and from that of 0.3 (spec 1.0 §4.5).

use bytes::Bytes;
use doorward_mcp::Object;
use doorward_mcp::json::{Member, Value, is_same_name};

use crate::fields::{list, to_object};

/// `type` in 0.3, and the member around the scheme in ProtoJSON.
const TYPES: [(&str, &str); 5] = [
    ("apiKey", "apiKeySecurityScheme"),
    ("http", "httpAuthSecurityScheme"),
    ("oauth2", "oauth2SecurityScheme"),
    ("openIdConnect", "openIdConnectSecurityScheme"),
    ("mutualTLS", "mtlsSecurityScheme"),
];

/// The flows of OAuth that each form has; ProtoJSON has one of them at a time.
const FLOWS_V1: [&str; 5] =
    ["authorizationCode", "clientCredentials", "deviceCode", "implicit", "password"];
const FLOWS_0_3: [&str; 4] = ["authorizationCode", "clientCredentials", "implicit", "password"];

/// Every scheme of a map, translated; those without a translation are left out.
pub(super) fn each(schemes: &Value, translate: impl Fn(&Object) -> Option<Value>) -> Value {
    let mut out = Object::new();
    for member in to_object(schemes).members() {
        if let Some(scheme) = translate(&to_object(&member.value)) {
            out.set(&String::from_utf8_lossy(&member.name), scheme);
        }
    }
    out.into()
}

/// A scheme of 0.3 in the form of 1.0. One of an unknown type remains as it is.
pub(super) fn from_0_3(scheme: &Object) -> Option<Value> {
    let kind = scheme.string("type").unwrap_or_default();
    let Some((_, name)) = TYPES.iter().find(|(known, _)| *known == kind) else {
        return Some(scheme.clone().into());
    };
    let mut inner = scheme.clone();
    inner.remove("type");
    rename(&mut inner, "in", "location");
    let mut out = Object::new();
    out.set(name, inner);
    Some(out.into())
}

/// A scheme in the form of 0.3; `None` if it has none.
pub(super) fn to_0_3(scheme: &Object) -> Option<Value> {
    let Some((kind, mut inner)) = open(scheme) else {
        // Of a type that neither knows: it came from 0.3.
        return scheme.string("type").is_some().then(|| scheme.clone().into());
    };
    rename(&mut inner, "location", "in");
    if kind == "oauth2" {
        let mut flows = inner.object("flows")?.into_owned();
        flows.remove("deviceCode");
        inner.set("flows", flows);
    }
    let mut out = Object::new();
    out.set("type", kind);
    inner.members().iter().for_each(|member| copy(&mut out, member));
    Some(out.into())
}

/// A scheme in ProtoJSON of either revision; `None` if it has none.
pub(super) fn to_proto(scheme: &Object, is_v1: bool) -> Option<Value> {
    let (kind, mut inner) = open(scheme)?;
    if kind == "oauth2" {
        let flows = inner.object("flows")?;
        let known: &[&str] = if is_v1 { &FLOWS_V1 } else { &FLOWS_0_3 };
        let name = known.iter().find(|name| flows.contains(name))?;
        let mut one = Object::new();
        one.set(name, flows.get(name)?.clone());
        inner.set("flows", one);
    }
    let (_, name) = TYPES.iter().find(|(known, _)| *known == kind)?;
    let mut out = Object::new();
    out.set(name, inner);
    Some(out.into())
}

/// A scheme with the members of both revisions.
pub(super) fn to_both(scheme: &Object) -> Option<Value> {
    let mut out = to_object(&to_proto(scheme, true)?);
    let old = to_0_3(scheme);
    old.iter().map(to_object).for_each(|old| old.members().iter().for_each(|m| copy(&mut out, m)));
    Some(out.into())
}

/// The type of a scheme in the form of 1.0, and what it consists of.
fn open(scheme: &Object) -> Option<(&'static str, Object)> {
    TYPES.iter().find_map(|(kind, name)| Some((*kind, scheme.object(name)?.into_owned())))
}

/// No object may end with two members that some parser takes for one.
fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.retain(|name| !is_same_name(name, to.as_bytes()));
        object.set(to, value);
    }
}

fn copy(out: &mut Object, member: &Member) {
    if !out.members().iter().any(|known| is_same_name(&known.name, &member.name)) {
        out.set(&String::from_utf8_lossy(&member.name), member.value.clone());
    }
}

/// A requirement of 0.3, `{"name":["scope"]}`, in the form of 1.0: `{"schemes":{"name":{"list":["scope"]}}}`.
pub(super) fn requirement_from_0_3(requirement: &Value) -> Value {
    let mut schemes = Object::new();
    for member in to_object(requirement).members() {
        let mut scopes = Object::new();
        if list(&member.value).is_ok_and(|scopes| !scopes.is_empty()) {
            scopes.set("list", member.value.clone());
        }
        schemes.set(&String::from_utf8_lossy(&member.name), scopes);
    }
    let mut out = Object::new();
    out.set("schemes", schemes);
    out.into()
}

/// A requirement of 1.0 in the form of 0.3.
pub(super) fn requirement_to_0_3(requirement: &Value) -> Value {
    let mut out = Object::new();
    let requirement = to_object(requirement);
    if let Some(schemes) = requirement.object("schemes") {
        for member in schemes.members() {
            let scopes = to_object(&member.value).get("list").cloned();
            let scopes = scopes.unwrap_or_else(|| Value::Raw(Bytes::from_static(b"[]")));
            out.set(&String::from_utf8_lossy(&member.name), scopes);
        }
    }
    out.into()
}
