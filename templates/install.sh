#!/bin/sh
# Installs the engine, as root. Started by boot.sh, or over SSH where there is no first-boot data.
# Idempotent: an engine that is there stays. Ends with one line in install.status:
#   done SOURCE        engine present, SOURCE is existing, docker, distro or url
#   failed MESSAGE
set -eu

SOURCE={{ source | sh }}
INSTALL_URL={{ install_url | sh }}
INSTALL_SHA256={{ install_sha256 | sh }}
REPOSITORY={{ repository | sh }}
# The same without what may be a secret.
REPOSITORY_SHOWN={{ repository_shown | sh }}
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

# --- downloads and keys ---------------------------------------------------------------------------

# fetch URL FILE SECONDS. The URL, which may hold a secret, is in no command line and in no log. What begins with https
# is not led on to plain http.
fetch() {
    rm -f "$2"
    if command -v curl >/dev/null; then
        case "$1" in https://*) schemes='=https' ;; *) schemes='=https,http' ;; esac
        printf 'url = "%s"\n' "$(printf '%s' "$1" | sed 's/["\\]/\\&/g')" |
            curl -fsSL --globoff --proto "$schemes" --connect-timeout 4 --max-time "$3" -o "$2" -K -
    elif command -v wget >/dev/null; then
        if ! printf '%s\n' "$1" |
            wget -nv -S --connect-timeout=4 --timeout="$3" --tries=1 -O "$2" -i - >"$2.log" 2>&1; then
            grep -E 'ERROR|unable|failed' "$2.log" | grep -v '://' || echo "wget failed"
            rm -f "$2" "$2.log"
            return 1
        fi
        # It has no option for that.
        case "$1" in https://*)
            if grep -qi '^ *location: *http:' "$2.log"; then
                echo "an https URL leads to a plain http one"
                rm -f "$2" "$2.log"
                return 1
            fi ;;
        esac
        rm -f "$2.log"
    else
        echo "neither curl nor wget is here"
        return 1
    fi
}

key_gpg() { gpg --batch --quiet --no-options --homedir "$STATE/gnupg" "$@"; }

# is_only_key FILE FINGERPRINT. What is wrong with a key that is there is in wrong_key.
is_only_key() {
    wrong_key=
    listed=$(key_gpg --with-colons --show-keys "$1") || :
    found=$(printf '%s\n' "$listed" | awk -F: '$1 == "fpr" { print $10; exit }')
    count=$(printf '%s\n' "$listed" | awk -F: '$1 == "pub" || $1 == "sec" { n++ } END { print n + 0 }')
    if [ "$count" = 0 ]; then
        echo "${1##*/} holds no key"
        return 1
    fi
    if [ "$count" != 1 ]; then
        wrong_key="$count keys, where one is expected"
    elif [ "$found" != "$2" ]; then
        wrong_key="the fingerprint $found, and $2 is expected"
    else
        return 0
    fi
    echo "${1##*/} has $wrong_key"
    return 1
}

# only_key FILE FINGERPRINT KEY: writes to KEY the one key that FILE holds, if it is the expected one. It is gpg's own
# writing, so that nobody who reads it finds a key that gpg has not seen. FILE goes in any case, KEY where it fails.
only_key() {
    rm -rf "$STATE/gnupg" "$3"
    mkdir -m 0700 "$STATE/gnupg" || return 1
    good=no
    if is_only_key "$1" "$2" &&
        key_gpg --armor --import-options import-export --import "$1" >"$3" && is_only_key "$3" "$2"; then
        good=yes
    else
        rm -f "$3"
    fi
    rm -rf "$STATE/gnupg" "$1"
    [ "$good" = yes ]
}

# no_wrong_key VARIABLE: ends the install where only_key has found another key. That is no outage, for which the
# distribution could stand in: somebody is on the way, or a mirror has a key of its own, which VARIABLE names.
no_wrong_key() {
    [ -z "$wrong_key" ] || fail "the key of Docker's repository $REPOSITORY_SHOWN has $wrong_key ($1 names another one)"
    return 1
}

# repository_file FILE: writes its input there. The URL in it may hold a password.
repository_file() {
    case "$REPOSITORY" in *@*) mode=0600 ;; *) mode=0644 ;; esac
    rm -f "$1" && (umask 077 && cat >"$1") && chmod "$mode" "$1"
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

# Asks for Docker's signing key beside the package lists, so that an unreachable repository costs nothing.
debian_key_start() {
    rm -f "$STATE/docker.asc.ok"
    # shellcheck disable=SC2154 # ID comes from os-release
    (fetch "$REPOSITORY/linux/$ID/gpg" "$STATE/docker.asc" 15 && : >"$STATE/docker.asc.ok") >>"$LOG" 2>&1 &
    key_fetch=$!
}

# Called where a failure is not the end, so that set -e counts for nothing in it: each step says what happens.
debian_docker() {
    wait "$key_fetch" || :
    [ -e "$STATE/docker.asc.ok" ] || return 1
    rm -f "$STATE/docker.asc.ok"
    command -v gpg >/dev/null || apt_packages gpg || return 1
    # The fingerprint that Docker publishes: docs.docker.com/engine/install/ubuntu, "Docker Release (CE deb)".
    only_key "$STATE/docker.asc" {{ apt_fingerprint | sh }} "$STATE/docker.key" ||
        no_wrong_key RMACHINE_DOCKER_APT_FINGERPRINT || return 1
    # shellcheck disable=SC2154 # from os-release
    codename=${VERSION_CODENAME:-}
    [ -n "$codename" ] || return 1
    if debian_repository && rm -f "$STATE/docker.key" && apt update -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/docker.list \
        -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 \
        -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowDowngradeToInsecureRepositories=false &&
        apt_packages docker-ce docker-ce-cli containerd.io; then
        return 0
    fi
    rm -f /etc/apt/sources.list.d/docker.list /etc/apt/keyrings/docker.asc "$STATE/docker.key"
    return 1
}

debian_repository() {
    arch=$(dpkg --print-architecture) || return 1
    install -d -m 0755 /etc/apt/keyrings && install -m 0644 "$STATE/docker.key" /etc/apt/keyrings/docker.asc &&
        printf 'deb [arch=%s signed-by=/etc/apt/keyrings/docker.asc] %s/linux/%s %s stable\n' \
            "$arch" "$REPOSITORY" "$ID" "$codename" | repository_file /etc/apt/sources.list.d/docker.list
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
            debian_docker || fail "Docker's repository $REPOSITORY_SHOWN cannot be reached, or has no packages for this system"
            used=docker ;;
        distro:*)
            debian_distro || fail "the distribution's package docker.io cannot be installed"
            used=distro ;;
        auto:docker)
            step "installing from Docker's repository"
            if debian_docker; then
                used=docker
            else
                note "Docker's repository $REPOSITORY_SHOWN cannot be used here, so the engine comes from the distribution"
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

RPM_KEY=/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce
RPM_REPO=/etc/yum.repos.d/docker-ce.repo

# rpm_docker NAME. As with debian_docker, set -e counts for nothing in it.
rpm_docker() {
    fetch "$REPOSITORY/linux/$1/gpg" "$STATE/docker.rpm.asc" 30 || return 1
    command -v gpg >/dev/null || dnf -q -y install gnupg2 || return 1
    only_key "$STATE/docker.rpm.asc" {{ rpm_fingerprint | sh }} "$STATE/docker.rpm.key" ||
        no_wrong_key RMACHINE_DOCKER_RPM_FINGERPRINT || return 1
    known=$(rpm -qa 'gpg-pubkey*') || return 1
    if rpm_repository "$1" && rm -f "$STATE/docker.rpm.key" && dnf -q -y install docker-ce docker-ce-cli containerd.io; then return 0; fi
    rm -f "$RPM_REPO" "$RPM_KEY" "$STATE/docker.rpm.key"
    for key in $(rpm -qa 'gpg-pubkey*'); do
        printf '%s\n' "$known" | grep -qxF "$key" || rpm -e "$key" || :
    done
    return 1
}

# What Docker's own docker-ce.repo says of its stable packages, but for the key: the one that was compared. As there,
# whether the lists' own signature is asked for (repo_gpgcheck) is left to the host.
rpm_repository() {
    install -D -m 0644 "$STATE/docker.rpm.key" "$RPM_KEY" && rpm --import "$RPM_KEY" && repository_file "$RPM_REPO" <<EOF
[docker-ce-stable]
name=Docker CE Stable - \$basearch
baseurl=$REPOSITORY/linux/$1/\$releasever/\$basearch/stable
enabled=1
gpgcheck=1
gpgkey=file://$RPM_KEY
EOF
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
            note "Docker's repository $REPOSITORY_SHOWN cannot be used here, so the engine comes from the distribution"
    elif [ "$SOURCE" = auto ] && [ "$first" = distro ] && [ -n "$name" ] && rpm_docker "$name"; then
        used=docker
    fi
    [ -n "$used" ] || fail "the engine cannot be installed from \"$SOURCE\" on $ID"
}

# --- openSUSE, SLES (not run in the lab) ----------------------------------------------------------------

install_suse() {
    [ "$SOURCE" != docker ] || fail "Docker has no repository for $ID; use --engine-source distro"
    step "installing docker from the distribution"
    # The keys that the distribution has put on this host, should rpm not have them yet; no key comes from the net, and
    # zypper refuses what is signed by none that rpm knows.
    for key in /usr/lib/rpm/gnupg/keys/*.asc; do
        [ ! -f "$key" ] || rpm --import "$key" || echo "rpm does not take $key"
    done
    code=0
    ZYPP_LOCK_TIMEOUT=600 zypper --non-interactive install --no-recommends docker || code=$?
    # 102, 103: done, and a restart is due; 106: done, and a repository of the host was left out (zypper(8), EXIT CODES).
    case $code in
        0 | 102 | 103 | 106) ;;
        *) fail "the distribution's package docker cannot be installed" ;;
    esac
    used=distro
}

# --- a script of the user's ---------------------------------------------------------------------------

install_url() {
    step "installing with the script of --engine-install-url"
    fetch "$INSTALL_URL" "$STATE/engine-install.sh" 120 || fail "the install script cannot be downloaded"
    if [ -n "$INSTALL_SHA256" ]; then
        found=$(sha256sum <"$STATE/engine-install.sh") || fail "sha256sum is not on this host"
        found=${found%% *}
        if [ "$found" != "$INSTALL_SHA256" ]; then
            rm -f "$STATE/engine-install.sh"
            fail "the install script has the SHA-256 sum $found, and $INSTALL_SHA256 is asked for"
        fi
    fi
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
