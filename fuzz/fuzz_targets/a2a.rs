//! Any bytes are a message of A2A or a clear refusal, at every reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::a2a::check(data));
