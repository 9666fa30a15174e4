#!/bin/sh
# Second phase of the host key's rotation: the new key takes the place of the seed, and sshd reads it.
# Sessions that are open stay open.
set -eu
main() {
    new=/etc/ssh/ssh_host_ed25519_key.rmachine
    key=/etc/ssh/ssh_host_ed25519_key
    if [ -s "$new" ]; then
        mv "$new.pub" "$key.pub"
        mv "$new" "$key"
        if command -v restorecon >/dev/null; then restorecon "$key" "$key.pub"; fi
    fi
    # For who asks the cloud for the console's output, in the form that cloud-init has. Not more than a moment: a console may
    # be held.
    if [ -c /dev/console ]; then
        {
            printf '\n%s\n' '-----BEGIN SSH HOST KEY FINGERPRINTS-----'
            for public in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f "$public" || :; done
            printf '%s\n' '-----END SSH HOST KEY FINGERPRINTS-----'
        } | timeout 5 tee /dev/console >/dev/null 2>&1 || :
    fi
    systemctl reload ssh.service 2>/dev/null || systemctl reload sshd.service
    printf 'end=yes\n'
}
main "$@" </dev/null
