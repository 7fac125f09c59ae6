#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pflow_store_fuzz::markdown(data));
