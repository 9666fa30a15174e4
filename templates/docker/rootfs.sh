#!/bin/sh
# Builds the machines' image from Debian packages and prints it as a tar. Needs mmdebstrap, and root or
# user name spaces. Environment: SUITE, MIRROR, PACKAGES (with commas), SETUP (text of setup.sh).
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s' "$SETUP" >"$work/setup.sh"

# In the background, so that a signal ends it at once.
mmdebstrap --variant=minbase --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --include="$PACKAGES" \
    --customize-hook="copy-in $work/setup.sh /root" \
    --customize-hook='chroot "$1" sh /root/setup.sh && rm "$1/root/setup.sh"' \
    "$SUITE" - "$MIRROR" &
child=$!
trap 'kill "$child" 2>/dev/null; wait "$child"; rm -rf "$work"; exit 143' TERM INT HUP
wait "$child"
