//! Whatever a server of the handshake era answers is valid JSON for a modern client, under its
//! qualified names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::to_modern::check(data));
