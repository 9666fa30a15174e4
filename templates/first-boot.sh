#!/bin/sh
# First boot of a machine without cloud-init: who may log in, which host key it shows, and that the
# engine waits for its certificates. Runs as root before the init system starts; installs nothing.
set -eu

LOGIN_USER={{ login_user | sh }}
LOGIN_KEY={{ login_public_key | sh }}
SEED_PRIVATE={{ seed_private | sh }}
SEED_PUBLIC={{ seed_public | sh }}
GATE={{ gate | sh }}

login() {
    if ! id "$LOGIN_USER" >/dev/null 2>&1; then
        useradd --create-home --shell /bin/bash "$LOGIN_USER"
        mkdir -p /etc/sudoers.d
        printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$LOGIN_USER" >/etc/sudoers.d/90-rmachine
    fi
    [ -n "$LOGIN_KEY" ] || return 0
    home=$(getent passwd "$LOGIN_USER" | cut -d: -f6)
    mkdir -p "$home/.ssh"
    printf '%s\n' "$LOGIN_KEY" >"$home/.ssh/authorized_keys"
    chown -R "$LOGIN_USER:" "$home/.ssh"
}

# The seed is the one key that it shows: what an image brings is the same on every machine of it.
host_key() {
    [ -n "$SEED_PRIVATE" ] || return 0
    rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
    printf '%s\n' "$SEED_PRIVATE" >/etc/ssh/ssh_host_ed25519_key
    printf '%s\n' "$SEED_PUBLIC" >/etc/ssh/ssh_host_ed25519_key.pub
    chmod 0644 /etc/ssh/ssh_host_ed25519_key.pub
}

gate() {
    [ "$GATE" = yes ] || return 0
    mkdir -p /etc/systemd/system/docker.service.d
    printf '[Unit]\nConditionPathExists=/etc/docker/server-key.pem\n' \
        >/etc/systemd/system/docker.service.d/10-rmachine-gate.conf
    chmod 0755 /etc/systemd/system/docker.service.d
    chmod 0644 /etc/systemd/system/docker.service.d/10-rmachine-gate.conf
}

main() {
    umask 077
    login
    host_key
    gate
}

main "$@" </dev/null
