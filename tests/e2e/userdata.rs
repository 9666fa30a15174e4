//! Every form of a user's own user-data is kept beside ours.

use std::io::Write;

use crate::{
    hosts::serve,
    support::{PREBAKED, Store, run},
};

/// Creates a machine with `data` and answers what the user's part has written, once it has run.
#[track_caller]
fn marks_of(store: &Store, name: &str, data: &[u8]) -> String {
    let path = store.file(&format!("{name}.data"), "");
    std::fs::write(&path, data).unwrap();
    store.create_ec2(PREBAKED, &["--amazonec2-userdata", path.to_str().unwrap()], name).ok();
    store.sh(name, "docker version").ok();
    // The last stage of cloud-init, where scripts run, may come after `create` has ended.
    let wait = "for i in $(seq 300); do [ -s /run/mark ] && break; sleep 0.1; done; cat /run/mark";
    let marks = store.rmachine(&["ssh", name, wait]).ok();
    store.rmachine(&["rm", "-y", name]).ok();
    marks
}

#[test]
fn scripts_and_boothooks() {
    let store = Store::new();
    let script = b"#!/bin/sh\necho \"script $(uname -n)\" >/run/mark\n";
    assert!(marks_of(&store, "script", script).starts_with("script "));
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(script).unwrap();
    assert!(marks_of(&store, "gzip", &zipped.finish().unwrap()).starts_with("script "));
    assert_eq!(marks_of(&store, "hook", b"#cloud-boothook\n#!/bin/sh\necho hook >/run/mark\n"), "hook");
    let url = serve(&[("part.sh", script.to_vec())]);
    assert!(marks_of(&store, "include", format!("#include\n{url}/part.sh\n").as_bytes()).starts_with("script "));
}

/// The user's lists (users, runcmd, bootcmd) stand beside ours: neither replaces the other.
#[test]
fn cloud_configs() {
    let store = Store::new();
    let config = "#cloud-config\nusers:\n  - default\n  - name: guest\nbootcmd:\n  - [sh, -c, 'echo boot >/var/tmp/boot']\n\
        runcmd:\n  - [sh, -c, 'id -un guest >/var/tmp/mark; cat /var/tmp/boot >>/var/tmp/mark; mv /var/tmp/mark /run/mark']\n";
    assert_eq!(marks_of(&store, "config", config.as_bytes()), "guest\nboot");
    let jinja = "## template: jinja\n#cloud-config\nruncmd:\n  - [sh, -c, 'echo {{ 40 + 2 }} >/run/mark']\n";
    assert_eq!(marks_of(&store, "jinja", jinja.as_bytes()), "42");
    let mime = format!(
        "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\nContent-Type: text/cloud-config\n\n{config}\n\
         --B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\ntouch /var/tmp/second\n--B--\n"
    );
    assert_eq!(marks_of(&store, "mime", mime.as_bytes()), "guest\nboot");
}

#[test]
fn what_cannot_be_carried_is_refused_before_anything_is_made() {
    let store = Store::new();
    // Noise that gzip cannot shrink: xorshift64 (Marsaglia, 2003).
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    let noise: String = (0..30_000).map(|_| noise()).collect();
    let large = store.file("large", &format!("#!/bin/sh\n# {noise}\n"));
    let odd = store.file("odd", "hello\n");
    for (path, words) in [(&large, "bytes, and 16384 are allowed"), (&odd, "begins with none of")] {
        let arguments = ["create", "-d", "amazonec2", "--amazonec2-ami-name", PREBAKED, "--amazonec2-userdata"];
        let mut command = store.command("rmachine");
        let refused = run(command.args(arguments).arg(path).arg("refused")).fails(2);
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "");
}
