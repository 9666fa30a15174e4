#!/bin/sh
# Puts certificates, daemon.json and the unit's drop-in in place and makes the engine run with them.
# Starts it once; restarts it only when something changed; a restart keeps containers where it can.
# What the engine refuses is taken back, with its last words in the answer.
set -u
was_active=unknown

CA={{ ca | sh }}
CERT={{ cert | sh }}
KEY={{ key | sh }}
DAEMON_JSON={{ daemon_json | sh }}
DAEMON_JSON_LIVE={{ daemon_json_live | sh }}
DAEMON_JSON_BEFORE={{ daemon_json_before | sh }}
DROP_IN={{ drop_in | sh }}
FORCE={{ force | sh }}
LOGIN_USER={{ login_user | sh }}
PORT={{ port | sh }}
DIR=/etc/systemd/system/docker.service.d
KEPT=/var/lib/rmachine/before
PENDING=/var/lib/rmachine/pending

out() { printf '%s=%s\n' "$1" "$2"; }

# put PATH MODE CONTENT: writes when it differs, keeping what was there; answers whether it did. What cannot be
# written is not "the same": it ends all, in $broken.
put() {
    if [ -e "$1" ] && [ "$(cat "$1")" = "$3" ]; then
        chmod "$2" "$1"
        return 1
    fi
    name=$(printf '%s' "$1" | tr / _)
    if [ -e "$1" ]; then cp -p "$1" "$KEPT/$name"; else : >"$KEPT/$name.absent"; fi || {
        rm -f "$KEPT/$name" "$KEPT/$name.absent"
        broken=$1
        return 1
    }
    (
        umask 077
        printf '%s\n' "$3" >"$1.rmachine-new"
    ) && chmod "$2" "$1.rmachine-new" && mv "$1.rmachine-new" "$1" || {
        rm -f "$1.rmachine-new"
        broken=$1
        return 1
    }
}

take_back() {
    for path in /etc/docker/ca.pem /etc/docker/server.pem /etc/docker/server-key.pem \
        /etc/docker/daemon.json "$DIR/20-rmachine.conf"; do
        name=$(printf '%s' "$path" | tr / _)
        if [ -e "$KEPT/$name" ]; then
            mv "$KEPT/$name" "$path"
        elif [ -e "$KEPT/$name.absent" ]; then
            rm -f "$path"
        fi
    done
    systemctl daemon-reload
    systemctl reset-failed docker.service 2>/dev/null
    if [ "$was_active" = active ]; then systemctl restart docker.service; fi
}

configure() {
    (
        umask 077
        printf '%s\n' "$1" >/etc/docker/daemon.json.rmachine-new
    ) && mv /etc/docker/daemon.json.rmachine-new /etc/docker/daemon.json
}

# The engine reads daemon.json again at SIGHUP and says so in its log.
reload_engine() {
    since=$(date '+%Y-%m-%d %H:%M:%S')
    configure "$1"
    systemctl kill -s HUP --kill-who=main docker.service
    tries=0
    until journalctl -q -u docker.service --since "$since" -o cat 2>/dev/null | grep -q 'Reloaded configuration'; do
        tries=$((tries + 1))
        [ "$tries" -lt 30 ] || return 1
        sleep 0.1
    done
}

restart_engine() {
    kept=no
    if [ "$was_active" = active ] && [ -n "$DAEMON_JSON_LIVE" ]; then
        # What runs keeps its settings until it is restarted with the new ones.
        if reload_engine "$DAEMON_JSON_BEFORE"; then kept=yes; fi
        configure "$DAEMON_JSON_LIVE" || kept=no
    fi
    systemctl reset-failed docker.service 2>/dev/null
    if ! systemctl restart docker.service; then
        return 1
    fi
    if [ -n "$DAEMON_JSON_LIVE" ]; then
        reload_engine "$DAEMON_JSON" || out warning "the engine did not answer to a reload of its configuration"
    fi
    out kept "$kept"
}

main() {
    if [ "$(systemctl show -p LoadState --value docker.service)" != loaded ]; then
        out error "there is no docker.service on this host"
        return 0
    fi
    rm -rf "$KEPT"
    mkdir -p "$KEPT" /etc/docker "$DIR"
    chmod 0700 /var/lib/rmachine "$KEPT"
    broken=
    certificates=no
    # Set before the first file is changed and taken away when the engine runs with all of them: where this was killed
    # in between, equal files do not mean that the engine has read them.
    if [ -e "$PENDING" ]; then certificates=yes; elif ! echo changing >"$PENDING"; then broken=$PENDING; fi
    put /etc/docker/ca.pem 0644 "$CA" && certificates=yes
    put /etc/docker/server.pem 0644 "$CERT" && certificates=yes
    put /etc/docker/server-key.pem 0600 "$KEY" && certificates=yes
    changed=$certificates
    if [ -n "$DROP_IN" ]; then
        put /etc/docker/daemon.json 0600 "$DAEMON_JSON" && changed=yes
        if put "$DIR/20-rmachine.conf" 0600 "$DROP_IN"; then
            changed=yes
            systemctl daemon-reload
        fi
        systemctl is-enabled -q docker.service 2>/dev/null || systemctl enable -q docker.service 2>/dev/null
    fi
    if [ -n "$broken" ]; then
        take_back
        rm -rf "$KEPT"
        out error "$broken cannot be written on the host; is its disk full?"
        return 0
    fi
    restarted=no
    # Asked after the files are in place: an engine that the boot starts meanwhile may have read the old ones.
    was_active=$(systemctl is-active docker.service)
    if [ "$was_active" = activating ] && [ "$changed" = yes ]; then
        restarted=yes
        systemctl restart docker.service || failed=yes
        out kept no
    elif [ "$was_active" != active ]; then
        systemctl reset-failed docker.service 2>/dev/null
        if ! systemctl start docker.service; then failed=yes; fi
        [ "$(systemctl is-active docker.service)" = active ] || failed=yes
    elif [ "$changed" = yes ] || [ "$FORCE" = yes ]; then
        restarted=yes
        restart_engine || failed=yes
    fi
    if [ "${failed:-no}" = yes ]; then
        out journal "$(journalctl -q -u docker.service -n 15 -o cat --no-pager | base64 | tr -d '\n')"
        take_back
        rm -rf "$KEPT" "$PENDING"
        out error "the engine did not start"
        return 0
    fi
    rm -rf "$KEPT" "$PENDING"
    if [ -n "$LOGIN_USER" ] && [ "$LOGIN_USER" != root ] && getent group docker >/dev/null; then
        id -nG "$LOGIN_USER" | grep -qw docker || usermod -aG docker "$LOGIN_USER"
    fi
    # Port 0: only certificates are replaced.
    if [ "$PORT" != 0 ] && command -v firewall-cmd >/dev/null && firewall-cmd -q --state 2>/dev/null; then
        firewall-cmd -q --permanent --add-port="$PORT/tcp" && firewall-cmd -q --add-port="$PORT/tcp"
    fi
    out changed "$changed"
    out certificates "$certificates"
    out restarted "$restarted"
    out end yes
}

main "$@" </dev/null
