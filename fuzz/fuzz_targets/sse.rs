//! However a stream is cut into pieces, it is the same events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::sse::check(data));
