//! Signing in and out, and what the application learns about it.

mod key;
mod openid;
mod out;
mod session;

use doorward_gateway::{Gateway, record};
use doorward_identity::identity::browser::Face;
use doorward_identity::identity::{Caller, Peer, Principal};

/// Records that somebody signed in or out.
fn record(gateway: &Gateway, event: &str, face: Face, caller: &Caller) {
    gateway.shared.audit.event(event, |members| {
        record::caller(members, caller);
        members.text("protocol", face.as_str());
    });
}

/// Records somebody who was not signed in.
pub fn record_refusal(gateway: &Gateway, face: Face, peer: &Peer, why: &str) {
    gateway.shared.audit.refused(|members| {
        members.text("address", &peer.address.to_string()).text("protocol", face.as_str());
        members.text("path", "auth").text("error", why);
    });
}

/// How the kind of a principal is written.
fn kind_of(principal: &Principal) -> &'static str {
    doorward_identity::identity::directory::kind_of(principal.who.kind).as_str()
}
