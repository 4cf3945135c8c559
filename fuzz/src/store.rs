//! Compares the output store with a plain list of bytes. `src/output/fuzz.rs` interprets the input.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| procmgr::fuzz_store(data));
