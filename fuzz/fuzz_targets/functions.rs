//! Calls of models and schemas of tools, whatever they are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::functions::check(data));
