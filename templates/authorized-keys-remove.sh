#!/bin/sh
# Takes lines out of the login user's authorized_keys: whole ones, letter by letter. The key that has let us in stays.
set -eu
umask 077

KEEP={{ keep | sh }}
REMOVE={{ remove | sh }}

main() {
    file=$HOME/.ssh/authorized_keys
    new=$file.rmachine-new
    trap 'rm -f "$new"' EXIT
    grep -vxF -e "$REMOVE" "$file" >"$new"
    grep -qxF -e "$KEEP" "$new"
    mv "$new" "$file"
    if command -v restorecon >/dev/null; then restorecon "$file"; fi
    printf 'end=yes\n'
}
main "$@" </dev/null
