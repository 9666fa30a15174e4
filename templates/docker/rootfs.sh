#!/bin/sh
# Builds the machines' image from Debian packages and prints it as a tar. Needs mmdebstrap, and root or
# user name spaces. Environment: SUITE, MIRROR, PACKAGES (with commas), SETUP (text of setup.sh).
set -eu
# mmdebstrap hands descriptors to apt by number, which sh reads up to 9 only: none of the caller's may be in the way.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

work=$(mktemp -d "${TMPDIR:-/tmp}/rmachine-image.XXXXXX")

# What mmdebstrap leaves when it is killed belongs to other users of its name space, where it has one.
clean() {
    rm -rf --one-file-system "$work" 2>/dev/null ||
        unshare --user --map-root-user --map-auto rm -rf --one-file-system "$work" || :
}
trap clean EXIT

# In a session of its own, since mmdebstrap hangs up on its whole process group when it fails, and in name spaces of its
# own, so that its mounts and children end with it, however it ends. Without root it is root of a user name space, who
# is this user outside of it: nobody else has to get into the directory, which is 0700.
apart='setsid unshare --mount --propagation private --pid --fork --mount-proc --kill-child=KILL'
[ "$(id -u)" = 0 ] || apart="$apart --user --map-root-user --map-auto"

# In the background, so that a signal is heard at once.
# shellcheck disable=SC2016,SC2086 # $1 is the hook's; the name spaces are words
TMPDIR=$work $apart mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Languages "none"' \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --include="$PACKAGES" \
    --customize-hook='printf "%s" "$SETUP" >"$1/root/setup.sh"' \
    --customize-hook='chroot "$1" sh /root/setup.sh && rm "$1/root/setup.sh"' \
    "$SUITE" - "deb $MIRROR $SUITE main" "deb $MIRROR $SUITE-updates main" \
    "deb ${MIRROR%/debian*}/debian-security $SUITE-security main" &
child=$!
trap 'kill -9 "-$child" 2>/dev/null; wait "$child"; exit 143' TERM INT HUP
wait "$child"
