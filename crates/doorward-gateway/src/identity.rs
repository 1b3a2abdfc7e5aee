//! Who is calling, as long as nobody has to say so: everyone on this machine is one principal.

use std::sync::{Arc, LazyLock};

use crate::call::Principal;

/// The one principal of a gateway that asks for no credentials. It listens on loopback only.
pub const LOCAL: &str = "local";

pub fn local() -> Arc<Principal> {
    static PRINCIPAL: LazyLock<Arc<Principal>> =
        LazyLock::new(|| Arc::new(Principal { id: LOCAL.into() }));
    PRINCIPAL.clone()
}
