//! openSUSE's packages.

use super::*;

#[test]
fn zypper_trusts_no_key_from_the_net() {
    let host = Host::of(SUSE);
    host.write("usr/lib/rpm/gnupg/keys/suse.asc", OURS);
    assert_eq!(host.install(EngineSource::Auto), "done distro", "{}", host.log());
    assert_eq!(
        host.calls(),
        "rpm --import /usr/lib/rpm/gnupg/keys/suse.asc\nzypper --non-interactive install --no-recommends docker\n"
    );
    // What zypper says of a repository of the host's that it left out is no failure; other codes are.
    for (code, status) in [(106, "done distro"), (104, "failed the distribution's package docker cannot be installed")]
    {
        let host = Host::of(SUSE);
        executable(&host.path("bin/zypper"), &format!("{PACKAGES}exit {code}\n"));
        assert_eq!(host.install(EngineSource::Auto), status, "{code}");
    }
    let bare = Host::of(SUSE);
    bare.write("refuse", "docker");
    assert!(bare.install(EngineSource::Distro).starts_with("failed the distribution's package docker"));
    assert!(!bare.calls().contains("rpm "), "there are no keys to import: {}", bare.calls());
}
