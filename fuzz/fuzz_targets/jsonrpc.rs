//! Any bytes are a message or a clear refusal; a message means the same when written and read again,
//! and the same to another parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| doorward_fuzz_checks::jsonrpc::check(data));
