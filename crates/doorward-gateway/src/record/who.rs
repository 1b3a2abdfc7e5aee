//! Callers, as audit records name them.

use std::cell::RefCell;
use std::net::IpAddr;

use doorward_policy::PrincipalKind;
use doorward_store::hex;

use doorward_identity::identity::{Caller, Grant, Principal};
use doorward_identity::seal;
use doorward_observability::audit::members::Members;

/// Adds the caller's identity and address.
pub fn caller(members: &mut Members, caller: &Caller) {
    whose(members, &caller.principal);
    credential(members, caller);
    if let Some(address) = caller.address {
        write_address(members, address);
    }
}

/// Adds how the caller authenticated.
pub(super) fn credential(members: &mut Members, caller: &Caller) {
    key(members, &caller.principal);
    authentication(members, &caller.principal);
    members.maybe("grant", caller.grant.as_deref());
}

pub(super) fn key(members: &mut Members, principal: &Principal) {
    if let Grant::Key { id, .. } = &principal.grant {
        members.text("key", &id.0);
    }
}

pub(super) fn authentication(members: &mut Members, principal: &Principal) {
    if let Grant::Token { issuer, .. } = &principal.grant {
        members.text("issuer", issuer);
    }
    members.text("authentication", principal.grant.authentication());
}

pub(super) fn whose(members: &mut Members, principal: &Principal) {
    let who = &principal.who;
    members.maybe("tenant", who.tenant.as_deref());
    let kind = match who.kind {
        PrincipalKind::User => "user",
        PrincipalKind::Agent => "agent",
        PrincipalKind::ServiceAccount => "service_account",
    };
    members.text(kind, &who.id);
    if who.kind != PrincipalKind::Agent {
        members.maybe("agent", principal.agent.as_deref());
    }
}

/// A session's name in records, by which its calls can be found.
pub fn session_name(session: &str) -> String {
    hex(&seal::sha256(session.as_bytes())[..8])
}

pub(super) fn write_address(members: &mut Members, address: IpAddr) {
    thread_local! {
        /// The last formatted address: most calls of a connection follow each other.
        static LAST: RefCell<Option<(IpAddr, String)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(known, _)| *known != address) {
            *last = Some((address, address.to_string()));
        }
        members.maybe("address", last.as_ref().map(|(_, text)| text.as_str()));
    });
}
