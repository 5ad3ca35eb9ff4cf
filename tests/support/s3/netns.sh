#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Two hosts and a server between them, as network namespaces: NAME-server, NAME-1 and NAME-2, each host
# with a cable of its own to the server: at the server's end link1 with 10.77.1.1 and link2 with
# 10.77.2.1, at the hosts' 10.77.1.2 and 10.77.2.2. Nothing leads out of them. Needs to be root.
#
#   netns.sh up NAME      fails, and leaves nothing, where it is not permitted
#   netns.sh down NAME    ends what still runs in them, too
set -euo pipefail

down()
{
    local name=$1 space pid
    for space in "$name-1" "$name-2" "$name-server"; do
        for pid in $(ip netns pids "$space" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns del "$space" 2>/dev/null || true
    done
}

up()
{
    local name=$1 space i
    for space in "$name-server" "$name-1" "$name-2"; do
        ip netns add "$space"
        ip -n "$space" link set lo up
    done
    for i in 1 2; do
        ip -n "$name-server" link add "link$i" type veth peer name uplink netns "$name-$i"
        ip -n "$name-server" addr add "10.77.$i.1/24" dev "link$i"
        ip -n "$name-$i" addr add "10.77.$i.2/24" dev uplink
        ip -n "$name-server" link set "link$i" up
        ip -n "$name-$i" link set uplink up
    done
}

[ $# -eq 2 ] || { echo "usage: netns.sh up NAME | down NAME" >&2; exit 2; }
case $1 in
up)
    trap 'down "$2"' ERR
    set -E
    up "$2"
    ;;
down) down "$2" ;;
*) echo "netns.sh: '$1' is none of its words" >&2; exit 2 ;;
esac
