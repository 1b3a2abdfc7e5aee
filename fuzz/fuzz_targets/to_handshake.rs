//! Whatever a modern server answers is valid JSON for a client of any earlier revision.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::to_handshake::check(data));
