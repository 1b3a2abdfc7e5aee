//! Any text and any JSON is scanned; every finding has a place in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::scan::check(data));
