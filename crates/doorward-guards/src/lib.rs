//! What passes through the gateway: guards of calls and of what comes back, as the gateway's settings want them. The pure
//! detectors are in `doorward-inspect`; the stages that ask these guards are in `doorward-gateway`.

pub mod checks;
pub mod conversations;
mod conversing;
pub mod definitions;
pub mod flow;
pub mod inspection;
mod media;
mod shared;
mod unmatched;

pub use self::conversing::Conversing;
pub use self::unmatched::unmatched;
