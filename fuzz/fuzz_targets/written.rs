//! What is written is clean already, and JSON stays JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::written::check(data));
