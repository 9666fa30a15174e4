#!/bin/sh
# Builds a bootable Debian image with an engine from Debian's packages: disk.qcow2 (one ext4 file system, no
# boot loader), kernel and initrd, in the directory OUT. Talks on stderr: `step=` lines are progress.
# Environment: OUT, ARCH (amd64, arm64), MIRROR. Needs mmdebstrap, mke2fs and qemu-img; root, or user namespaces.
set -eu
# mmdebstrap hands descriptors to apt by number, which sh reads up to 9 only: none of the caller's may be in the way.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

SUITE=trixie
LABEL=rmachine-root

step() { echo "step=$*" >&2; }

# Runs a child that ends with this script, however that ends; a signal to this script ends it at once.
child() {
    if command -v setpriv >/dev/null 2>&1; then
        setpriv --pdeathsig "$DEATH" "$@" &
    else
        "$@" &
    fi
    child=$!
    wait "$child"
    child=
}

# Ends the child, and all that it started.
end() {
    [ -z "$child" ] || kill "-$DEATH" "$child" 2>/dev/null || :
    wait 2>/dev/null || :
}

# What is the name space's goes first, and then what is ours.
clean() {
    end
    # shellcheck disable=SC2086 # words
    [ -z "$as_root" ] || $as_root rm -rf "$work" >/dev/null 2>&1 || :
    rm -rf "$work"
}

packages() {
    # What a cloud image has, and the engine. zstd and few modules make a small initrd: emulation is slow.
    echo "systemd,systemd-sysv,udev,dbus,kmod,procps,netbase,ca-certificates,iproute2,iptables,e2fsprogs,locales" \
        "openssh-server,sudo,curl,gnupg,libnss-myhostname,cloud-init,cloud-guest-utils,docker.io,docker-cli,zstd,initramfs-tools" \
        "linux-image-cloud-$ARCH" | tr ' ' ','
}

# The script that mmdebstrap runs beside the new ROOT: what the packages leave open.
configure() {
    cat <<'CONFIGURE'
#!/bin/sh
set -eu
root=$1
label=$2

mkdir -p "$root/etc/systemd/network"
printf '[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-dhcp.network"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
printf 'LABEL=%s / ext4 defaults,discard,errors=remount-ro 0 1\n' "$label" >"$root/etc/fstab"
printf 'datasource_list: [ NoCloud, None ]\nnetwork: {config: disabled}\nno_ssh_fingerprints: true\n' \
    >"$root/etc/cloud/cloud.cfg.d/90-rmachine.cfg"
printf 'ssh: {emit_keys_to_console: false}\n' >>"$root/etc/cloud/cloud.cfg.d/90-rmachine.cfg"

chroot "$root" systemctl enable systemd-networkd.service >/dev/null 2>&1
chroot "$root" systemctl disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    e2scrub_reap.service dpkg-db-backup.timer >/dev/null 2>&1 || true
# The kernel of the machine is the one that qemu is given: one that is installed later is not booted.
printf 'do_symlinks = no\n' >"$root/etc/kernel-img.conf"
sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
printf 'virtio_pci\nvirtio_blk\next4\n' >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >&2
CONFIGURE
}

# The script that makes the file system of the packed ROOT, as root or as root of a user namespace.
pack() {
    cat <<'PACK'
#!/bin/sh
set -eu
work=$1
label=$2
root=$work/root
mkdir "$root"
# The kernel makes the device files.
tar -x -f "$work/root.tar" -C "$root" --numeric-owner --xattrs --exclude='./dev/*'
# The resolver of qemu's user network; and what each machine makes for itself.
rm -f "$root/etc/resolv.conf"
printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
printf 'localhost\n' >"$root/etc/hostname"
rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub "$root/var/lib/dbus/machine-id"
: >"$root/etc/machine-id"
cp "$root"/boot/vmlinuz-* "$work/kernel"
cp "$root"/boot/initrd.img-* "$work/initrd"
used=$(du -s -m "$root" | cut -f1)
# Room for the file system's own tables; the rest comes with the machine's disk, which it grows into.
mke2fs -q -F -t ext4 -L "$label" -m 1 -d "$root" "$work/disk.raw" "$((used + used / 4 + 200))M" >&2
chmod 0644 "$work/kernel" "$work/initrd" "$work/disk.raw"
rm -rf "$root"
PACK
}

main() {
    umask 022
    child=
    if [ "$(id -u)" = 0 ]; then
        # All that is unpacked goes with OUT. What is mounted meanwhile, and every process, ends with the
        # first one: a killed build must not leave /proc or /dev where somebody removes its directory.
        work=$OUT/work
        mkdir -p "$work"
        as_root=
    else
        # Without root, all is done as root of a user name space, who is this user outside of it: nobody else has to
        # get into the directory, which is 0700.
        work=$(mktemp -d "${TMPDIR:-/tmp}/rmachine-image-XXXXXX")
        as_root="unshare --user --map-root-user --map-auto"
    fi
    export TMPDIR="$work"
    contained="${as_root:-unshare} --mount --pid --fork --kill-child --mount-proc"
    DEATH=KILL
    trap clean EXIT
    trap 'exit 143' TERM INT HUP
    configure >"$work/configure"
    pack >"$work/pack"
    chmod 0755 "$work/configure" "$work/pack"
    security=${MIRROR%/debian}/debian-security
    step "installing Debian $SUITE from $MIRROR"
    # The hook is a shell command of mmdebstrap's: the path comes to it as it is.
    export RMACHINE_WORK="$work"
    # shellcheck disable=SC2016,SC2086
    child $contained mmdebstrap --mode=root --variant=minbase --architectures="$ARCH" --format=tar \
        --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --include="$(packages)" --customize-hook='"$RMACHINE_WORK/configure" "$1" '"$LABEL" \
        "$SUITE" "$work/root.tar" \
        "deb $MIRROR $SUITE main" "deb $MIRROR $SUITE-updates main" "deb $security $SUITE-security main" </dev/null
    step "making the file system"
    # shellcheck disable=SC2086
    child $as_root sh "$work/pack" "$work" "$LABEL"
    step "packing the disk"
    child qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$OUT/disk.qcow2"
    cp "$work/kernel" "$work/initrd" "$OUT/"
}

main
