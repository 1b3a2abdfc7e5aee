//! Results in pieces, whatever they are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::compact_results::check(data));
