//! What is freed is wiped: no secret stays in the program's memory when its work is done.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use rmachine_provider_api::Value;

use crate::support::{World, with};

const MASK: u8 = 0x5a;

/// A secret that memory does not hold in the clear.
struct Masked(Vec<u8>);

impl Masked {
    fn of(clear: &[u8]) -> Self {
        Self(clear.iter().map(|byte| byte ^ MASK).collect())
    }

    fn clear(&self) -> String {
        self.0.iter().map(|byte| char::from(byte ^ MASK)).collect()
    }

    fn is_in(&self, memory: &[u8]) -> bool {
        let fits = |window: &[u8]| window.iter().zip(&self.0).all(|(byte, masked)| byte ^ MASK == *masked);
        let first = self.0[0] ^ MASK;
        let starts = memory.iter().enumerate().filter(|(_, byte)| **byte == first);
        starts.filter_map(|(start, _)| memory.get(start..start + self.0.len())).any(fits)
    }
}

/// The places in this process's writable memory that hold one of `secrets`.
fn found(secrets: &[Masked]) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut places = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // A region that another thread has given back meanwhile holds nothing.
        if memory.seek(SeekFrom::Start(start)).is_err() || memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        for (index, secret) in secrets.iter().enumerate() {
            if secret.is_in(&bytes) {
                places.push(format!("secret {index} in {line}"));
            }
        }
    }
    places
}

#[test]
fn no_secret_stays_in_memory() {
    let world = World::new();
    let token = Masked((0..32).map(|_| b"abcdefghijklmnop"[usize::from(rand_byte() % 16)] ^ MASK).collect());
    let opt = Masked((0..32).map(|_| b"ABCDEFGHIJKLMNOP"[usize::from(rand_byte() % 16)] ^ MASK).collect());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    {
        let mut create = with("m", &[("fake-token", Value::Text(token.clear()))]);
        create.engine.opts = vec![format!("log-opt=splunk-token={}", opt.clear())];
        runtime().block_on(async { world.core().create(create).await.map(drop) }).unwrap();
        runtime().block_on(world.core().restart("m")).unwrap();
    }
    let mut secrets = vec![token, opt];
    for name in ["certs/ca-key.pem", "certs/key.pem"] {
        let pem = std::fs::read_to_string(world.store().root().join(name)).unwrap();
        // The second line of three is all key.
        secrets.push(Masked::of(pem.lines().nth(2).unwrap().as_bytes()));
    }
    assert_eq!(found(&secrets), Vec::<String>::new());

    let held = secrets[0].clear();
    assert!(!found(&secrets).is_empty(), "this is how it looks when one is held");
    drop(held);
}

fn rand_byte() -> u8 {
    let mut byte = [0];
    File::open("/dev/urandom").unwrap().read_exact(&mut byte).unwrap();
    byte[0]
}

/// This binary has an allocator of its own, as each program: the program has to have the same.
#[test]
fn the_program_wipes_what_it_frees() {
    let declaration = "#[global_allocator]\nstatic ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System>";
    for source in [include_str!("../../src/main.rs"), include_str!("main.rs")] {
        assert!(source.contains(declaration), "{source}");
    }
}
