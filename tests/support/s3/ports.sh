# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by the scripts beside it: ports, pids, waiting. Nothing here needs to be root.

# Ports are taken below those that the kernel gives to clients, so that no connection sits on one.
first_port=21000
last_port=31000

port_is_free()
{
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# find_ports N: the first of N free ports in a row.
find_ports()
{
    local n=$1 base i tries
    for tries in {1..200}; do
        base=$((first_port + RANDOM % (last_port - first_port - n)))
        for ((i = 0; i < n; i++)); do
            port_is_free $((base + i)) || continue 2
        done
        echo "$base"
        return 0
    done
    echo "no $n free ports in a row after $tries tries" >&2
    return 1
}

# run_daemon DIR NAME COMMAND...: in the background; its pid goes to DIR/pid.NAME, what it says to a
# log.
run_daemon()
{
    local dir=$1 name=$2
    shift 2
    "$@" >>"$dir/log/$name.out" 2>&1 </dev/null &
    echo $! >"$dir/pid.$name"
}

# Ends what run_daemon started, whatever it is doing. A number that now belongs to another program is
# left alone: the command line of ours names DIR.
stop_daemons()
{
    local dir=$1 file pid
    for file in "$dir"/pid.*; do
        [ -e "$file" ] || continue
        read -r pid <"$file"
        if [ -r "/proc/$pid/cmdline" ] && grep -qaF -- "$dir/" "/proc/$pid/cmdline"; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
        rm -f "$file"
    done
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for()
{
    local until=$((SECONDS + $1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}

port_answers()
{
    ! port_is_free "$1"
}
