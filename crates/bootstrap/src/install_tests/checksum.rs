//! A script of the user's whose sum is asked for.

use super::*;

const SCRIPT: &str = "apt-get install docker.io\n";
/// Of [`SCRIPT`].
const SUM: &str = "1e1b3ec0b0b1d55dd649adaaded73bbbf9fe9aca859f75d8ae7b707602608243";

fn with(sum: Option<&str>) -> (Host, String) {
    let host = Host::of(DEBIAN);
    host.write("web/i.sh", SCRIPT);
    let spec = EngineSpec {
        source: EngineSource::Url,
        install_url: Some("https://h.test/i.sh".to_owned()),
        install_checksum: sum.map(|sum| format!("sha256:{sum}")),
        ..EngineSpec::default()
    };
    spec.validate().unwrap();
    let status = host.install_with(&spec, &mirror("https://m.test"));
    (host, status)
}

#[test]
fn a_script_with_another_sum_is_not_run() {
    for sum in [None, Some(SUM), Some(&*SUM.to_uppercase())] {
        assert_eq!(with(sum).1, "done url", "{sum:?}");
    }
    let other = "0".repeat(64);
    let (host, status) = with(Some(&other));
    assert_eq!(status, format!("failed the install script has the SHA-256 sum {SUM}, and {other} is asked for"));
    assert!(!host.has("usr/bin/dockerd") && !host.calls().contains("apt-get"), "{}", host.calls());
    assert!(!host.has("var/lib/rmachine/engine-install.sh"));
}
