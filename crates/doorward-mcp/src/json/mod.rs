//! One strict reading of a JSON text.
//!
//! If a gateway authorizes one meaning and forwards another, its authorization is void. So a text is read once,
//! by [`scan_object`], which refuses whatever two parsers could read differently: duplicate member names, names that
//! differ only in case, invalid UTF-8, lone surrogates, and excess depth. Accepted text is carried as raw slices
//! of the received bytes ([`Value`], [`Object`]) and written without being rebuilt: number spelling, member order
//! and unknown members are unchanged.

mod canonical;
mod correct;
mod fold;
mod object;
mod scan;
mod text;

pub use canonical::{NotCanonical, canonical, canonical_exact};
pub use correct::{Corrections, correct};
pub use fold::{fold, is_same_name, may_be_read_as};
pub use object::{Member, Object, Value};
pub use scan::{Fault, Limits, Names, items, scan_object};
pub use text::{quote, quote_into, unquote};
