//! `fuzzing::requests` on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pool_runtime::fuzzing::requests(bytes));
