//! Redacted JSON is JSON, and is redacted already.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::redact::check(data));
