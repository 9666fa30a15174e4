#!/bin/sh
# First process of a machine that is a container: what a boot loader and a kernel would do, then systemd.
# Its arguments go to systemd.
set -eu

# Every boot has an id of its own, by which a restart is told; a container shows its kernel's.
boot_id() {
    cat /proc/sys/kernel/random/uuid >/run/rmachine-boot-id
    chmod 0444 /run/rmachine-boot-id
    mount --bind /run/rmachine-boot-id /proc/sys/kernel/random/boot_id
}

# On cgroup v2 the machine has a name space of its own, which Docker mounts read-only.
control_groups() {
    [ -e /sys/fs/cgroup/cgroup.controllers ] || return 0
    mount -o remount,rw,nosuid,nodev,noexec,relatime /sys/fs/cgroup
}

# The address of the machine's own resolver (rmachine-dns.service): containers cannot ask the local
# engine's at 127.0.0.11. Link-local (RFC 3927), so that it is nobody else's.
resolver() {
    ip address add 169.254.53.53/32 dev lo 2>/dev/null || :
}

first_boot() {
    script=/var/lib/rmachine/first-boot.sh
    [ -e "$script" ] || return 0
    sh "$script"
    rm -f "$script"
}

boot_id
control_groups
resolver
first_boot
exec /sbin/init "$@"
