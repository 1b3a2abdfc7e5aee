//! Tools that are found by search instead of listed: what a client gets is three tools, however many there are.
//!
//! Pure functions: the definitions of the three tools ([`definitions`]), what a call of one of them asks for ([`Wanted`]), and
//! the results ([`found`], [`details`]). What a caller may see, and the ranking, are decided elsewhere.

mod asked;
mod definitions;
mod results;

pub use asked::{Detail, Invalid, MAX_NAMES, Search, Wanted, read};
pub use definitions::{
    CALL, DETAILS, READ_MORE, SEARCH, definitions, is_own, read_more_definition,
};
pub use results::{Found, Known, details, found};
