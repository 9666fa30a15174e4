#!/bin/sh
# Installs the engine, as root. Started by boot.sh, or over SSH where there is no first-boot data.
# Idempotent: an engine that is there stays. Ends with one line in install.status:
#   done SOURCE        engine present, SOURCE is existing, docker, distro or url
#   failed MESSAGE
set -eu

SOURCE={{ source | sh }}
INSTALL_URL={{ install_url | sh }}
REPOSITORY={{ repository | sh }}
STATE=/var/lib/rmachine
LOG=$STATE/install.log

status() {
    printf '%s\n' "$*" >"$STATE/install.status.new"
    mv "$STATE/install.status.new" "$STATE/install.status"
}

step() {
    status "running $*"
    printf 'step=%s\n' "$*" >&3
}

# note TEXT: for the user; templates/unit.sh hands it over.
note() {
    printf '%s\n' "$*" | tee -a "$STATE/install.notes"
}

fail() {
    status "failed $*"
    printf 'failed=%s\n' "$*" >&3
    exit 1
}

have_engine() {
    for dockerd in /usr/bin/dockerd /usr/sbin/dockerd /usr/local/bin/dockerd; do
        [ -x "$dockerd" ] && return 0
    done
    return 1
}

# --- Debian, Ubuntu -----------------------------------------------------------------------------

# No translations, no recommended packages, no fsync a file: a host that dies now is made anew.
apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C apt-get -q -y \
        -o DPkg::Lock::Timeout=600 -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold "$@"
}

# The lock of the package lists has no time-out of its own in apt.
apt_update() {
    tries=0
    until apt update; do
        tries=$((tries + 1))
        [ "$tries" -lt 20 ] || return 1
        sleep 3
    done
}

apt_packages() {
    apt install "$@" && return 0
    # cloud-init may have changed the mirrors since the lists were read.
    apt_update && apt install "$@"
}

fetch() {
    if command -v curl >/dev/null; then
        curl -fsSL --proto '=https,http' --connect-timeout 4 --max-time "$3" -o "$2" "$1"
    elif command -v wget >/dev/null; then
        wget -q --connect-timeout=4 --timeout="$3" --tries=1 -O "$2" "$1"
    else
        echo "neither curl nor wget is here"
        return 1
    fi
}

# Asks for Docker's signing key beside the package lists, so that an unreachable repository costs nothing.
debian_key_start() {
    # shellcheck disable=SC2154 # ID comes from os-release
    (fetch "$REPOSITORY/linux/$ID/gpg" "$STATE/docker.asc" 15 && : >"$STATE/docker.asc.ok") >>"$LOG" 2>&1 &
    key_fetch=$!
}

debian_docker() {
    wait "$key_fetch" || :
    [ -e "$STATE/docker.asc.ok" ] || return 1
    rm -f "$STATE/docker.asc.ok"
    command -v gpg >/dev/null || apt_packages gpg
    # The fingerprint that Docker publishes: docs.docker.com/engine/install/ubuntu, "Docker Release (CE deb)".
    found=$(gpg --batch --homedir "$STATE" --with-colons --show-keys "$STATE/docker.asc" |
        awk -F: '$1 == "fpr" { print $10; exit }')
    [ "$found" = {{ apt_fingerprint | sh }} ] || { echo "docker.asc has the fingerprint $found"; return 1; }
    # shellcheck disable=SC2154 # from os-release
    codename=${VERSION_CODENAME:-}
    [ -n "$codename" ] || return 1
    install -d -m 0755 /etc/apt/keyrings
    install -m 0644 "$STATE/docker.asc" /etc/apt/keyrings/docker.asc
    printf 'deb [arch=%s signed-by=/etc/apt/keyrings/docker.asc] %s/linux/%s %s stable\n' \
        "$(dpkg --print-architecture)" "$REPOSITORY" "$ID" "$codename" >/etc/apt/sources.list.d/docker.list
    if apt update -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/docker.list -o Dir::Etc::sourceparts=- \
        -o APT::Get::List-Cleanup=0 && apt_packages docker-ce docker-ce-cli containerd.io; then
        return 0
    fi
    rm -f /etc/apt/sources.list.d/docker.list
    return 1
}

debian_distro() {
    step "installing docker.io from the distribution"
    apt_packages docker.io
}

# Debian 11 and 12 and Ubuntu before 22.04 have engines that current docker clients refuse (API below 1.44).
debian_prefers() {
    # shellcheck disable=SC2154 # from os-release
    case "$ID:${VERSION_ID:-0}" in
        debian:[0-9] | debian:10 | debian:11 | debian:12 | debian:12.*) echo docker ;;
        ubuntu:1[0-9].* | ubuntu:20.*) echo docker ;;
        *) echo distro ;;
    esac
}

install_debian() {
    first=$SOURCE
    [ "$SOURCE" = auto ] && first=$(debian_prefers)
    [ "$first" = docker ] && debian_key_start
    step "reading the package lists"
    apt_update || fail "apt-get update failed"
    case "$SOURCE:$first" in
        docker:*)
            step "installing from Docker's repository"
            debian_docker || fail "Docker's repository $REPOSITORY cannot be reached, or has no packages for this system"
            used=docker ;;
        distro:*)
            debian_distro || fail "the distribution's package docker.io cannot be installed"
            used=distro ;;
        auto:docker)
            step "installing from Docker's repository"
            if debian_docker; then
                used=docker
            else
                note "Docker's repository $REPOSITORY cannot be used here, so the engine comes from the distribution"
                debian_distro || fail "neither Docker's repository nor the distribution's package docker.io can be installed"
                used=distro
            fi ;;
        *)
            if debian_distro; then
                used=distro
            else
                note "the distribution's package docker.io cannot be installed, so the engine comes from Docker's repository"
                debian_key_start
                step "installing from Docker's repository"
                debian_docker || fail "neither the distribution's package docker.io nor Docker's repository can be installed"
                used=docker
            fi ;;
    esac
}

# --- Fedora, RHEL and its kin, Amazon Linux (not run in the lab: no images of them) -----------------

rpm_docker() {
    name=$1
    shift
    fetch "$REPOSITORY/linux/$name/docker-ce.repo" "$STATE/docker-ce.repo" 30 || return 1
    sed -e "s|https://download.docker.com|$REPOSITORY|g" "$STATE/docker-ce.repo" >/etc/yum.repos.d/docker-ce.repo
    # dnf verifies packages by the key that the repository file names; its own check of the key's
    # fingerprint is ours to make first.
    fetch "$REPOSITORY/linux/$name/gpg" "$STATE/docker.rpm.asc" 30 || return 1
    command -v gpg >/dev/null || dnf -q -y install gnupg2
    found=$(gpg --batch --homedir "$STATE" --with-colons --show-keys "$STATE/docker.rpm.asc" |
        awk -F: '$1 == "fpr" { print $10; exit }')
    [ "$found" = {{ rpm_fingerprint | sh }} ] || { echo "docker.rpm.asc has the fingerprint $found"; return 1; }
    rpm --import "$STATE/docker.rpm.asc"
    dnf -q -y install docker-ce docker-ce-cli containerd.io && return 0
    rm -f /etc/yum.repos.d/docker-ce.repo
    return 1
}

install_rpm() {
    case "$ID" in
        amzn) name='' package=docker first=distro ;;
        fedora) name=fedora package=moby-engine first=docker ;;
        rhel) name=rhel package='' first=docker ;;
        *) name=centos package='' first=docker ;;
    esac
    [ "$SOURCE" = auto ] || first=$SOURCE
    step "installing the engine"
    used=
    if [ "$first" = docker ] && [ -n "$name" ] && rpm_docker "$name"; then
        used=docker
    elif [ "$SOURCE" != docker ] && [ -n "$package" ] && dnf -q -y install "$package"; then
        used=distro
        [ "$first" != docker ] ||
            note "Docker's repository $REPOSITORY cannot be used here, so the engine comes from the distribution"
    elif [ "$SOURCE" = auto ] && [ "$first" = distro ] && [ -n "$name" ] && rpm_docker "$name"; then
        used=docker
    fi
    [ -n "$used" ] || fail "the engine cannot be installed from \"$SOURCE\" on $ID"
}

# --- openSUSE, SLES (not run in the lab) ----------------------------------------------------------------

install_suse() {
    [ "$SOURCE" != docker ] || fail "Docker has no repository for $ID; use --engine-source distro"
    step "installing docker from the distribution"
    ZYPP_LOCK_TIMEOUT=600 zypper --non-interactive --gpg-auto-import-keys install --no-recommends docker ||
        fail "the distribution's package docker cannot be installed"
    used=distro
}

# --- a script of the user's ---------------------------------------------------------------------------

install_url() {
    step "installing with the script of --engine-install-url"
    fetch "$INSTALL_URL" "$STATE/engine-install.sh" 120 || fail "the install script cannot be downloaded"
    sh "$STATE/engine-install.sh" || fail "the install script failed"
    have_engine || fail "the install script ended well, but there is no dockerd"
    used=url
}

main() {
    umask 022
    mkdir -p "$STATE"
    chmod 0700 "$STATE"
    exec 3>&1
    exec >>"$LOG" 2>&1
    # Only one at a time, whether from the boot or over SSH.
    if command -v flock >/dev/null; then
        exec 9>"$STATE/install.lock"
        flock 9
    fi
    # shellcheck disable=SC1091
    . /etc/os-release
    if [ "$SOURCE" != url ] && have_engine; then
        status "done existing"
        printf 'done=existing\n' >&3
        return 0
    fi
    [ "$SOURCE" != existing ] || fail "there is no engine on this host, as --engine-source existing asks for"
    if [ "${1:-}" != boot ] && command -v cloud-init >/dev/null; then
        step "waiting for cloud-init"
        # Exit code 2 means that it ended with warnings of its own (cloud-init 23.4 and newer).
        timeout 900 cloud-init status --wait || echo "cloud-init status --wait: exit code $?"
    fi
    used=$SOURCE
    case "$SOURCE:$ID:${ID_LIKE:-}" in
        url:*) install_url ;;
        *:debian:* | *:ubuntu:* | *:*debian*) install_debian ;;
        *:amzn:* | *:fedora:* | *:rhel:* | *:rocky:* | *:almalinux:* | *:centos:*) install_rpm ;;
        *:opensuse*:* | *:sles:* | *:sle*:*) install_suse ;;
        *) fail "no way is known to install the engine on $ID" ;;
    esac
    have_engine || fail "the packages are installed, but there is no dockerd"
    status "done $used"
    printf 'done=%s\n' "$used" >&3
}

main "$@" </dev/null
