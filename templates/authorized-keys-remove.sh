#!/bin/sh
# Takes lines out of the login user's authorized_keys: whole ones, byte by byte. The key that has let us in stays.
set -eu
umask 077
export LC_ALL=C

# Each in base64; those to remove with a blank around each.
KEEP={{ keep | sh }}
REMOVE={{ remove | sh }}

main() {
    # A link stays one.
    file=$(readlink -f "$HOME/.ssh/authorized_keys")
    new=$file.rmachine-new
    trap 'rm -f "$new"' EXIT
    kept=
    : >"$new"
    while IFS= read -r line || [ -n "$line" ]; do
        encoded=$(printf '%s' "$line" | base64 | tr -d '\n')
        if [ -n "$encoded" ]; then
            case "$REMOVE" in *" $encoded "*) continue ;; esac
        fi
        if [ "$encoded" = "$KEEP" ]; then kept=yes; fi
        printf '%s\n' "$line" >>"$new"
    done <"$file"
    [ -n "$kept" ]
    mv "$new" "$file"
    if command -v restorecon >/dev/null; then restorecon "$file"; fi
    printf 'end=yes\n'
}
main "$@" </dev/null
