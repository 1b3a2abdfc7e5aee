//! A header means one value, whatever stands in it; and an annotation that is accepted can be
//! mirrored.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::headers::check(data));
