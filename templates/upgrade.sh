#!/bin/sh
# Brings the engine to the newest version of the packages that it came from. As root; KEY=VALUE lines on stdout:
#   sh -s look     reads the package lists; answers version= (of the program), stale= (another one runs), containers= and a
#                  change=PACKAGE OLD NEW for each that has a newer one
#   sh -s install  installs them, and restarts an engine that its packages have left running as it was
#   sh -s renew    the last of it only
# Ends with end=yes, or failed=MESSAGE.
set -eu

SOURCE={{ source | sh }}
STATE=/var/lib/rmachine
LOG=$STATE/install.log

out() { printf '%s=%s\n' "$1" "$2" >&3; }

fail() {
    out failed "$*"
    exit 1
}

# What install.sh installs, and the package of the engine itself: $package.
family() {
    case "$package" in
        docker-ce) echo docker-ce docker-ce-cli containerd.io ;;
        docker.io) echo docker.io docker-cli containerd runc ;;
        moby-engine) echo moby-engine moby-cli docker-cli containerd runc ;;
        *) echo "$package" containerd runc ;;
    esac
}

apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C apt-get -q -y \
        -o DPkg::Lock::Timeout=600 -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"
}

# The lock of the package lists has no time-out of its own in apt. A list that cannot be had is an error: it would hide
# what is newer.
apt_update() {
    tries=0
    until apt update -o APT::Update::Error-Mode=any >"$STATE/update.log" 2>&1; do
        cat "$STATE/update.log"
        tries=$((tries + 1))
        grep -q 'Could not get lock' "$STATE/update.log" && [ "$tries" -lt 200 ] || return 1
        sleep 3
    done
    rm -f "$STATE/update.log"
}

deb_version() { dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'; }

look_deb() {
    apt_update || fail "apt-get update failed"
    held=$(apt-mark showhold)
    for name in $packages; do
        new=$(LC_ALL=C apt-cache policy "$name" | sed -n 's/^  Candidate: //p')
        old=$(deb_version "$name")
        case "$new" in '' | '(none)' | "$old") continue ;; esac
        ! printf '%s\n' "$held" | grep -qx "$name" || fail "the package $name is held back on the host (apt-mark showhold)"
        out change "$name $old $new"
    done
}

rpm_version() { if rpm -q "$1" >/dev/null 2>&1; then rpm -q --qf '%{EVR}\n' "$1"; fi; }

look_dnf() {
    code=0
    # shellcheck disable=SC2086
    dnf -q --refresh check-update $packages >"$STATE/updates" || code=$?
    # 100: there are some (dnf(8), check-update).
    case $code in 0) : >"$STATE/updates" ;; 100) ;; *) fail "dnf check-update failed" ;; esac
    for name in $packages; do
        new=$(awk -v name="$name" '$1 ~ "^[^ ]+[.][^. ]+$" { n = $1; sub(/[.][^.]*$/, "", n); if (n == name) { print $2; exit } }' "$STATE/updates")
        [ -z "$new" ] || out change "$name $(rpm_version "$name") $new"
    done
    rm -f "$STATE/updates"
}

look_zypper() {
    zypper --non-interactive refresh || [ $? = 106 ] || fail "zypper refresh failed"
    zypper --non-interactive --quiet list-updates >"$STATE/updates" || fail "zypper list-updates failed"
    for name in $packages; do
        new=$(awk -F ' *[|] *' -v name="$name" '$3 == name { print $5; exit }' "$STATE/updates")
        [ -z "$new" ] || out change "$name $(rpm_version "$name") $new"
    done
    rm -f "$STATE/updates"
}

upgrade_zypper() {
    code=0
    # shellcheck disable=SC2086
    ZYPP_LOCK_TIMEOUT=600 zypper --non-interactive update --no-recommends $packages || code=$?
    case $code in 0 | 102 | 103 | 106) ;; *) return 1 ;; esac
}

# The program that the engine runs; none: it does not run.
running() { readlink "/proc/$(systemctl show -p MainPID --value docker.service)/exe" 2>/dev/null || :; }

# An engine whose program was replaced under it still is the old one.
renew() {
    case "$(running)" in
        *' (deleted)' | '')
            systemctl reset-failed docker.service 2>/dev/null || :
            systemctl restart docker.service || fail "the engine does not start with the new version" ;;
    esac
}

main() {
    umask 022
    mkdir -p "$STATE"
    chmod 0700 "$STATE"
    exec 3>&1
    exec >>"$LOG" 2>&1
    if command -v flock >/dev/null; then
        exec 9>"$STATE/install.lock"
        flock 9
    fi
    dockerd=
    for path in /usr/bin/dockerd /usr/sbin/dockerd /usr/local/bin/dockerd; do
        if [ -x "$path" ]; then dockerd=$path; break; fi
    done
    [ -n "$dockerd" ] || fail "there is no engine on this host"
    if [ "$1" = look ]; then
        out version "$("$dockerd" --version | sed -n 's/^Docker version \([^, ]*\).*/\1/p')"
        case "$(running)" in *' (deleted)') out stale yes ;; esac
        out containers "$(find /run/containerd/io.containerd.runtime.v2.task/moby -mindepth 1 -maxdepth 1 2>/dev/null | grep -c . || :)"
    fi
    # A script of the user's has been run again before.
    if [ "$SOURCE" = url ] || [ "$1" = renew ]; then
        if [ "$1" != look ]; then renew; fi
        out end yes
        return 0
    fi
    if command -v apt-get >/dev/null; then
        kind=deb
        package=$(dpkg-query -S "$dockerd" 2>/dev/null | sed -n '1s/[:,].*//p')
    elif command -v rpm >/dev/null; then
        if command -v dnf >/dev/null; then kind=dnf; else kind=zypper; fi
        package=$(rpm -qf --qf '%{NAME}\n' "$dockerd" 2>/dev/null | sed -n 1p) || package=
    else
        fail "no package manager is known on this host"
    fi
    case "$package" in *' '*) package= ;; esac
    [ -n "$package" ] || fail "$dockerd is of no package, so there is no newer one to be had"
    packages=
    for name in $(family); do
        case $kind in deb) have=$(deb_version "$name") ;; *) have=$(rpm_version "$name") ;; esac
        [ -z "$have" ] || packages="$packages $name"
    done
    case "$1:$kind" in
        look:*) "look_$kind" ;;
        install:deb)
            # shellcheck disable=SC2086
            apt install --only-upgrade $packages || fail "apt-get cannot upgrade$packages"
            renew ;;
        install:dnf)
            # shellcheck disable=SC2086
            dnf -q -y upgrade $packages || fail "dnf cannot upgrade$packages"
            renew ;;
        install:zypper)
            upgrade_zypper || fail "zypper cannot upgrade$packages"
            renew ;;
    esac
    out end yes
}

main "$@" </dev/null
