#!/bin/sh
# Waits for the install that the boot has started, then prints what systemd knows of the engine's unit.
# Prints step= lines while it waits, then KEY=VALUE lines; values with line breaks are base64.
set -u

STATE=/var/lib/rmachine

out() { printf '%s=%s\n' "$1" "$2"; }
b64() { base64 | tr -d '\n'; }

wait_for_install() {
    last=
    quiet=0
    while :; do
        now=$(cat "$STATE/install.status" 2>/dev/null || echo none)
        case "$now" in
            'done '*) out install "$now"; return 0 ;;
            'failed '*)
                out install "$now"
                out log "$(tail -n 30 "$STATE/install.log" | b64)"
                return 1 ;;
        esac
        if [ "$now" != "$last" ]; then
            last=$now
            case "$now" in 'running '*) out step "${now#running }" ;; esac
        fi
        # Nothing runs the install and nothing will: say so instead of waiting for ever.
        if ! systemctl is-active -q rmachine-install.service; then
            quiet=$((quiet + 1))
            if [ "$quiet" -gt 50 ] && ! pgrep -f 'cloud-init|rmachine/install.sh' >/dev/null 2>&1; then
                out install none
                return 1
            fi
        else
            quiet=0
        fi
        sleep 0.1
    done
}

main() {
    if [ "${1:-}" = wait ]; then
        wait_for_install || return 0
    fi
    # A reload takes longer than all else here, and packages do it themselves.
    if [ "$(systemctl show -p NeedDaemonReload --value docker.service)" = yes ]; then systemctl daemon-reload; fi
    out load_state "$(systemctl show -p LoadState --value docker.service)"
    out exec_start "$(systemctl show -p ExecStart --value docker.service | b64)"
    out active "$(systemctl is-active docker.service)"
    if [ "$(systemctl show -p LoadState --value docker.socket)" = loaded ]; then out socket yes; fi
    systemctl show -p EnvironmentFiles --value docker.service | while read -r file _; do
        [ -n "$file" ] && [ -r "$file" ] && out environment "$(b64 <"$file")"
    done
    if [ -s "$STATE/install.notes" ]; then
        while read -r note; do out note "$note"; done <"$STATE/install.notes"
        rm -f "$STATE/install.notes"
    fi
    if [ -e /etc/docker/daemon.json ]; then out daemon_json "$(b64 </etc/docker/daemon.json)"; fi
    out end yes
}

main "$@" </dev/null
