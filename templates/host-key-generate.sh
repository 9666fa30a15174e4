#!/bin/sh
# First phase of the host key's rotation: a new key beside the present one, its public half printed.
set -eu
main() {
    new=/etc/ssh/ssh_host_ed25519_key.rmachine
    if [ ! -s "$new.pub" ]; then
        rm -f "$new" "$new.pub"
        ssh-keygen -q -t ed25519 -N '' -C "$(uname -n)" -f "$new"
    fi
    printf 'public=%s\n' "$(cat "$new.pub")"
}
main "$@" </dev/null
