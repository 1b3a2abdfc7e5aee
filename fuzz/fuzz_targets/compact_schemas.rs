//! Schemas made compact, whatever they are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::compact_schemas::check(data));
