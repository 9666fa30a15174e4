#!/bin/sh
# Looks at a host and prints KEY=VALUE lines; changes nothing. Values with line breaks are base64.
set -u

out() { printf '%s=%s\n' "$1" "$2"; }

main() {
    out kernel "$(uname -s)"
    out machine "$(uname -m)"
    if [ -r /etc/os-release ]; then
        # shellcheck disable=SC1091
        . /etc/os-release
        out os_id "${ID:-}"
        out os_like "${ID_LIKE:-}"
        out os_version "${VERSION_ID:-}"
        out os_pretty "${PRETTY_NAME:-}"
    fi
    out uid "$(id -u)"
    root=
    if [ "$(id -u)" != 0 ]; then
        root='sudo -n'
        if ! command -v sudo >/dev/null; then
            out sudo missing
            return 0
        fi
        if ! refused=$(sudo -n true 2>&1); then
            out sudo "refused: $refused"
            return 0
        fi
    fi
    out sudo yes
    out hostname "$(uname -n)"
    out boot_id "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
    out clock "$(date +%s)"
    [ -d /run/systemd/system ] && out systemd yes
    [ -e /proc/net/if_inet6 ] && out ipv6 yes
    if command -v ip >/dev/null; then
        ip -o addr show scope global 2>/dev/null | while read -r _ name family address _; do
            case "$name" in docker* | br-* | veth*) continue ;; esac
            case "$family" in inet | inet6) out address "${address%%/*}" ;; esac
        done
    else
        for address in $(hostname -I 2>/dev/null); do out address "$address"; done
    fi
    if $root test -e /etc/docker/daemon.json; then
        out daemon_json "$($root cat /etc/docker/daemon.json | base64 | tr -d '\n')"
    fi
    data_root=/var/lib/docker
    $root test -s "$data_root/swarm/docker-state.json" && out swarm yes
    command -v firewall-cmd >/dev/null && $root firewall-cmd -q --state 2>/dev/null && out firewalld yes
    for dockerd in /usr/bin/dockerd /usr/sbin/dockerd /usr/local/bin/dockerd; do
        if [ -x "$dockerd" ]; then
            out dockerd "$dockerd"
            break
        fi
    done
    out end yes
}

main "$@" </dev/null
