//! The output store against a plain list of bytes; the rules are in `src/output/fuzz.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procmgr::fuzz_store(data));
