#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rmachine::fuzz::run("ssh_config", data));
