#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rmachine::fuzz::run("archive", data));
