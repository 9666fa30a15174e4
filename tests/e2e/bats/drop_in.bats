#!/usr/bin/env bats
# docker-machine's published behaviours, tried from a shell. `tests/e2e/drop_in.rs` runs it with docker-machine (rmachine by
# that name), docker, a store and an account in the environment; FLAGS are those of `create`.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031

NAME=bats

create() { docker-machine create --driver amazonec2 $FLAGS "$@"; }

@test "usage errors, unknown commands and names" {
    run docker-machine frobnicate
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == "docker-machine: 'frobnicate' is not a docker-machine command."* ]]
    run docker-machine ls --frobnicate
    [ "$status" -eq 1 ]
    run docker-machine create --driver amazonec2
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == "Error: No machine name specified" ]]
    run docker-machine inspect UNKNOWN
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == 'Docker machine "UNKNOWN" does not exist.'* ]]
    for bad in '-' '.x' 'a_b' 'ä' 'a b' 'a/b'; do
        run docker-machine create --driver none --url tcp://127.0.0.1:1 -- "$bad"
        [ "$status" -eq 1 ]
    done
    run docker-machine ls -q
    [ "$status" -eq 0 ] && [ -z "$output" ]
}

@test "create, with engine options, labels and certificate names" {
    run create --engine-label spam=eggs --engine-env=TEST=VALUE --engine-opt log-driver=none \
        --engine-insecure-registry registry.test --engine-storage-driver overlay2 \
        --tls-san foo.bar.tld --tls-san 10.42.42.42 $NAME
    echo "$output"
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == "Running pre-create checks..." ]]
    [[ $output == *"Docker is up and running!"* ]]
    [[ $output == *"run: docker-machine env $NAME" ]]
}

@test "a second create of the name fails" {
    run create $NAME
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == "Docker machine \"$NAME\" already exists" ]]
}

@test "ls, its filters, formats and time-outs" {
    run docker-machine ls -q
    [[ ${lines[0]} == "$NAME" ]]
    run docker-machine ls -q --filter state=Running
    [[ $output == "$NAME" ]]
    run docker-machine ls --filter state=Stopped -q
    [ -z "$output" ]
    run docker-machine ls --filter name=bat.* --filter driver=amazonec2 --filter label=spam=eggs --timeout 20
    [[ ${lines[0]} == NAME*ACTIVE*DRIVER*STATE*URL*SWARM*DOCKER*ERRORS* ]]
    [[ ${lines[1]} == "$NAME"*" - "*amazonec2*Running*"tcp://"*":2376"*v* ]]
    run docker-machine ls --filter nonsense
    [ "$status" -eq 1 ]
    run docker-machine ls --format '{{.Name}}: {{.DriverName}} {{.State}}'
    [[ $output == "$NAME: amazonec2 Running" ]]
    run docker-machine ls --format 'table {{.Name}}\t{{.URL}}'
    [[ ${lines[0]} == NAME*URL* && ${lines[1]} == "$NAME"*tcp://* ]]
}

@test "url, ip, status, version, config, active" {
    ip=$(docker-machine ip $NAME)
    [ "$(docker-machine url $NAME)" = "tcp://$ip:2376" ]
    [ "$(docker-machine status $NAME)" = Running ]
    [ "$(docker-machine version $NAME)" = "$(docker $(docker-machine config $NAME | tr -d '"') version --format '{{.Server.Version}}')" ]
    run docker-machine config $NAME
    [[ ${lines[0]} == --tlsverify && ${lines[4]} == "-H=tcp://$ip:2376" ]]
    run docker-machine active
    [ "$status" -eq 1 ]
    [[ $output == *"No active host found"* ]]
    eval "$(docker-machine env $NAME)"
    [ "$(docker-machine active)" = $NAME ]
    run docker-machine ls
    [[ ${lines[1]} == "$NAME"*"*"* ]]
}

@test "env for several shells, with no-proxy, and unset" {
    url=$(docker-machine url $NAME) ip=$(docker-machine ip $NAME)
    run docker-machine env $NAME
    [[ ${lines[0]} == 'export DOCKER_TLS_VERIFY="1"' ]]
    [[ ${lines[1]} == "export DOCKER_HOST=\"$url\"" ]]
    [[ ${lines[2]} == "export DOCKER_CERT_PATH=\"$MACHINE_STORAGE_PATH/machines/$NAME\"" ]]
    [[ ${lines[3]} == "export DOCKER_MACHINE_NAME=\"$NAME\"" ]]
    run docker-machine env --shell powershell --no-proxy $NAME
    [[ ${lines[1]} == "\$Env:DOCKER_HOST = \"$url\"" && ${lines[4]} == "\$Env:NO_PROXY = \"$ip\"" ]]
    run docker-machine env --shell cmd $NAME
    [[ ${lines[0]} == "SET DOCKER_TLS_VERIFY=1" && ${lines[1]} == "SET DOCKER_HOST=$url" ]]
    run docker-machine env --shell fish $NAME
    [[ ${lines[1]} == "set -gx DOCKER_HOST \"$url\";" ]]
    run docker-machine env --shell emacs $NAME
    [[ ${lines[1]} == "(setenv \"DOCKER_HOST\" \"$url\")" ]]
    run docker-machine env --shell tcsh $NAME
    [[ ${lines[1]} == "setenv DOCKER_HOST \"$url\";" ]]
    NO_PROXY=localhost run docker-machine env --no-proxy $NAME
    [[ ${lines[4]} == "export NO_PROXY=\"localhost,$ip\"" ]]
    run docker-machine env -u
    [[ ${lines[0]} == "unset DOCKER_TLS_VERIFY" && ${lines[3]} == "unset DOCKER_MACHINE_NAME" ]]
    run docker-machine env --shell fish -u
    [[ ${lines[1]} == "set -e DOCKER_HOST;" ]]
    run docker-machine env -u $NAME
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == "Error: Expected no machine name when the -u flag is present" ]]
}

@test "inspect with formats" {
    [ "$(docker-machine inspect -f '{{.DriverName}}' $NAME)" = amazonec2 ]
    [ "$(docker-machine inspect --format='{{json .DriverName}}' $NAME)" = '"amazonec2"' ]
    [ "$(docker-machine inspect -f '{{prettyjson .Driver}}' $NAME | wc -l)" -gt 1 ]
    [ "$(docker-machine inspect $NAME -f '{{.HostOptions.AuthOptions.StorePath}}')" = "$MACHINE_STORAGE_PATH/machines/$NAME" ]
    [ "$(docker-machine inspect -f '{{.Driver.IPAddress}}' $NAME)" = "$(docker-machine ip $NAME)" ]
    run docker-machine inspect -f '{{.Driver' $NAME
    [ "$status" -eq 1 ]
}

@test "what the engine was asked for is there" {
    eval "$(docker-machine env $NAME)"
    docker info | grep -q spam=eggs
    docker info | grep -q 'Storage Driver: overlay2'
    docker info | grep -q registry.test
    [ "$(docker info --format '{{.LoggingDriver}}')" = none ]
    docker-machine ssh $NAME 'sudo cat /proc/$(pgrep -x dockerd)/environ' | tr '\0' '\n' | grep -qx TEST=VALUE
    for round in before after; do
        docker-machine ssh $NAME sudo cat /etc/docker/server.pem | openssl x509 -noout -text >"$BATS_TEST_TMPDIR/cert"
        grep -q DNS:foo.bar.tld "$BATS_TEST_TMPDIR/cert"
        grep -q 'IP Address:10.42.42.42' "$BATS_TEST_TMPDIR/cert"
        [ $round = after ] || docker-machine regenerate-certs -f $NAME
    done
    docker version >/dev/null
}

@test "ssh with a command, its options, and its code" {
    run docker-machine ssh $NAME -- ls -lah /
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == *total* ]]
    [ "$(docker-machine ssh $NAME echo foo)" = foo ]
    [ "$(docker-machine --native-ssh ssh $NAME echo foo)" = foo ]
    [ "$(docker-machine ssh $NAME -C echo foo)" = foo ]
    [ "$(echo 'echo from-a-script' | docker-machine ssh $NAME)" = from-a-script ]
    run docker-machine ssh $NAME exit 7
    [ "$status" -eq 1 ]
    [[ $output == *"exit status 7"* ]]
}

@test "scp both ways" {
    cd "$BATS_TEST_TMPDIR"
    docker-machine ssh $NAME 'echo A file created remotely! >/tmp/foo.txt'
    docker-machine scp $NAME:/tmp/foo.txt .
    [ "$(cat foo.txt)" = 'A file created remotely!' ]
    echo 'A file created locally!' >bar.txt
    docker-machine scp bar.txt $NAME:/tmp/bar.txt
    [ "$(docker-machine ssh $NAME cat /tmp/bar.txt)" = 'A file created locally!' ]
    mkdir -p tree/deep && echo x >tree/deep/file
    docker-machine scp -r tree $NAME:/tmp
    [ "$(docker-machine ssh $NAME cat /tmp/tree/deep/file)" = x ]
}

@test "mount, and copies of what differs" {
    cd "$BATS_TEST_TMPDIR"
    mkdir -p tree && echo one >tree/a && echo two >tree/b
    docker-machine ssh $NAME 'command -v rsync >/dev/null || { sudo apt-get update -qq && sudo apt-get install -qq -y rsync; } >/dev/null 2>&1'
    docker-machine scp -r -d -q tree/ $NAME:/tmp/delta
    [ "$(docker-machine ssh $NAME cat /tmp/delta/b)" = two ]
    [ -e /dev/fuse ] || { echo "SKIPPED: no FUSE here, nothing was mounted" >&3; return; }
    mkdir there
    run docker-machine mount $NAME:/tmp/delta there
    echo "$output"
    [[ $output != *"Operation not permitted"* ]] || { echo "SKIPPED: nothing may be mounted here" >&3; return; }
    [ "$status" -eq 0 ]
    [ "$(cat there/a)" = one ]
    echo three >there/c
    docker-machine mount -u $NAME:/tmp/delta there
    [ "$(docker-machine ssh $NAME cat /tmp/delta/c)" = three ] && [ ! -e there/c ]
}

@test "stop, and what stopped machines say" {
    run docker-machine stop $NAME
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == "Stopping \"$NAME\"..." ]]
    [[ $output == *"Machine \"$NAME\" was stopped." ]]
    run docker-machine ls
    [[ ${lines[1]} == *Stopped* ]]
    for command in url env version ip; do
        run docker-machine $command $NAME
        [ "$status" -eq 1 ]
        [[ $output == *"Host is not running"* ]]
    done
    run docker-machine ssh $NAME true
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == "Error: Cannot run SSH command: Host \"$NAME\" is not running" ]]
    run docker-machine stop $NAME
    [ "$status" -eq 1 ]
    [[ $output == *"is already stopped"* ]]
}

@test "start, kill, restart" {
    run docker-machine start $NAME
    [ "$status" -eq 0 ]
    [[ $output == *"Machine \"$NAME\" was started."* ]]
    run docker-machine start $NAME
    [ "$status" -eq 1 ]
    [[ $output == *"is already running"* ]]
    run docker-machine kill $NAME
    [ "$status" -eq 0 ]
    run docker-machine status $NAME
    [[ $output == Stopped ]]
    # It is started for that.
    run docker-machine upgrade $NAME
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(docker-machine status $NAME)" = Running ]
    run docker-machine restart $NAME
    [ "$status" -eq 0 ]
    [ "$(docker-machine status $NAME)" = Running ]
    eval "$(docker-machine env $NAME)"
    docker version >/dev/null
}

@test "rm asks, and takes the answer" {
    run bash -c "echo n | docker-machine rm $NAME"
    [ "$(docker-machine ls -q)" = $NAME ]
    run bash -c "echo y | docker-machine rm $NAME"
    [ "$status" -eq 0 ]
    [[ $output == *"About to remove $NAME"* && $output == *"Successfully removed $NAME" ]]
    [ -z "$(docker-machine ls -q)" ]
}

@test "a swarm master is the first manager of Swarm mode" {
    run create --swarm --swarm-master --swarm-discovery token://1234 $NAME
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"classic Swarm is gone, and with it what --swarm-discovery meant"* && $output == *"swarm join-token worker"* ]]
    eval "$(docker-machine env --swarm $NAME)"
    [ "$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}')" = "active true" ]
    docker node ls
    docker-machine rm -f $NAME
    [ -z "$(docker-machine ls -q)" ]
}
