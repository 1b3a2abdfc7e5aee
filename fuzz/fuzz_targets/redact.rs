//! Redacted JSON is JSON, is redacted already, and a text in parts is redacted as a whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::redact::check(data));
