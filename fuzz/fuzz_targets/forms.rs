//! The forms of any text are bounded, know where they come from, and contain nothing that is not seen.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::forms::check(data));
