#!/bin/sh
# Prints the lines of the login user's authorized_keys that hold a key, each in base64.
set -eu
# Lines are bytes, in whatever encoding their comments are.
export LC_ALL=C

main() {
    file=$HOME/.ssh/authorized_keys
    if [ -e "$file" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case "$line" in '' | '#'*) continue ;; esac
            printf 'line=%s\n' "$(printf '%s' "$line" | base64 | tr -d '\n')"
        done <"$file"
    fi
    printf 'end=yes\n'
}
main "$@"
