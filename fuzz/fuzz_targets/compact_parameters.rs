//! A schema, rules of a portal and arguments of a caller, whatever they are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::compact_parameters::check(data));
