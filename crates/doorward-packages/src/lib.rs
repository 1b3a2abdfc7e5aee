//! Packages of npm, PyPI, OCI registries and MCP bundles: resolved once into a lock, verified against digests and
//! signatures, and unpacked without running scripts.
//!
//! `Packages::lock` resolves; `Packages::prepare` fetches what the lock lists, and says how it is run; `tree::verify`
//! checks an unpacked package each time that it is started.

mod digest;
mod error;
mod fetch;
mod folder;
mod lock;
mod mcpb;
mod npm;
mod oci;
mod packages;
mod provenance;
mod pypi;
mod registry;
pub mod servers;
pub mod tree;
mod unpack;

pub use digest::Digest;
pub use error::{Error, Result};
pub use lock::{
    Artifact, Lock, Locked, Provenance, RegistryKey, Signature, reference, replace_file,
};
pub use packages::{NewlyLocked, Packages};
