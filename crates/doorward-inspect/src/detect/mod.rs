//! Finds secrets and personal data in a text.
//!
//! One pass finds the literals of all detectors; a detector's own check runs only on a bounded window around its
//! literal. Numbers (cards, national ids, phones, addresses) are read in one pass over the text. So the work is linear, and
//! random text and base64 cost little more than a copy.

mod assigned;
mod checks;
mod contact;
mod engine;
mod families;
mod file;
mod found;
mod literals;
mod national;
mod network;
mod number;
mod person;
mod prefixed;
mod rule;
mod run;
mod token;

pub(crate) use assigned::has_keyword;
pub use engine::{BadDetector, Detectors};
pub use file::{DetectorFile, DetectorRule, Position};
pub use found::{Context, Match};

#[cfg(test)]
mod tests;
