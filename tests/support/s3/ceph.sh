#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A small Ceph with two S3 gateways, on loopback, in a directory: one monitor, one OSD, no manager, no
# authentication inside. Any user may run it. Keys: test / testsecret.
#
#   ceph.sh start DIR [memstore|bluestore]  DIR is new, absolute and short (unix sockets live in it)
#   ceph.sh stop DIR                        ends all daemons at once, as a loss of power would
#   ceph.sh again DIR                       starts them on what is there (bluestore)
#   ceph.sh gateway DIR a|b                 starts one gateway that was killed, with the options in
#                                           CAIRN_GATEWAY_OPTIONS
#   ceph.sh daemon DIR mon|osd              starts what was killed of the rest
#   ceph.sh admin DIR WORD...               radosgw-admin
#
# CAIRN_CEPH_CONFIG in the environment may have more lines of configuration.
#
# CAIRN_GATEWAY_ADDRESSES: where gateway a listens, too, at its port for http; for network namespaces.
# DIR/ports has the ports as shell variables: mon (two), http_a, http_b, https. Gateway a speaks TLS,
# too, with DIR/gateway.pem, which DIR/ca.pem has issued. DIR/pid.NAME: mon, osd, gateway-a, gateway-b.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "$here/ports.sh"

usage()
{
    echo "usage: ceph.sh start DIR [memstore|bluestore] | stop DIR | again DIR | gateway DIR a|b" \
        "| daemon DIR mon|osd | admin DIR WORD..." >&2
    exit 2
}

# Without "ms mon client mode" the gateway hangs, without the short proposals each step takes seconds,
# without "cluster addr" the OSD listens everywhere.
write_config()
{
    local dir=$1 objectstore=$2 fsid=$3
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$mon,v1:127.0.0.1:$((mon + 1))]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
auth cluster required = none
auth service required = none
auth client required = none
paxos propose interval = 0.05
paxos min wait = 0.01
run dir = $dir/run
admin socket = $dir/run/\$name.\$pid.asok
pid file =
log file = $dir/log/\$name.log
mon data = $dir/mon
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
osd data = $dir/osd
osd objectstore = $objectstore
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class default list = *
osd class load list = *
osd memory target = 939524096
memstore device bytes = 4294967296
bluestore block size = 10737418240
rgw dynamic resharding = false
rgw thread pool size = 32
rgw num rados handles = 1
rgw data log num shards = 4
rgw md log max shards = 4
rgw gc max objs = 4
rgw lc max objs = 2
${CAIRN_CEPH_CONFIG:-}
CONF
}

# An issuer of our own, and a certificate of it for 127.0.0.1.
make_certificates()
{
    local dir=$1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=test CA" \
        -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=gateway" \
        -keyout "$dir/gateway.key" -out "$dir/gateway.csr" 2>/dev/null
    openssl x509 -req -in "$dir/gateway.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial \
        -days 2 -extfile <(echo "subjectAltName=IP:127.0.0.1") -out "$dir/gateway.crt" 2>/dev/null
    cat "$dir/gateway.key" "$dir/gateway.crt" >"$dir/gateway.pem"
}

# The kernel's Nagle timer would put 40 ms on every answer.
start_gateway()
{
    local dir=$1 name=$2 frontend address
    frontend="beast endpoint=127.0.0.1:$http_a tcp_nodelay=1"
    if [ "$name" = a ]; then
        frontend+=" ssl_endpoint=127.0.0.1:$https ssl_certificate=$dir/gateway.pem"
        for address in ${CAIRN_GATEWAY_ADDRESSES:-}; do
            frontend+=" endpoint=$address:$http_a"
        done
    else
        frontend="beast endpoint=127.0.0.1:$http_b tcp_nodelay=1"
    fi
    # shellcheck disable=SC2086 # options are words
    run_daemon "$dir" "gateway-$name" radosgw -c "$dir/ceph.conf" -n "client.rgw.$name" \
        --rgw-frontends "$frontend" ${CAIRN_GATEWAY_OPTIONS:-} -f
}

start_daemon()
{
    local dir=$1 name=$2 id=a
    [ "$name" = mon ] || id=0
    run_daemon "$dir" "$name" "ceph-$name" -c "$dir/ceph.conf" -i "$id" -f
}

start_all()
{
    local dir=$1
    start_daemon "$dir" mon
    start_daemon "$dir" osd
    start_gateway "$dir" a
    wait_for 120 port_answers "$http_a"
    start_gateway "$dir" b
    wait_for 120 port_answers "$http_b"
}

start()
{
    local dir=$1 objectstore=$2 fsid uuid
    if [ -e "$dir/ceph.conf" ]; then
        echo "ceph.sh: '$dir' was used already; 'again' starts what is in it" >&2
        exit 1
    fi
    mkdir -p "$dir/mon" "$dir/osd" "$dir/run" "$dir/log"
    mon=$(find_ports 5)
    http_a=$((mon + 2)) http_b=$((mon + 3)) https=$((mon + 4))
    printf 'mon=%s\nhttp_a=%s\nhttp_b=%s\nhttps=%s\n' "$mon" "$http_a" "$http_b" "$https" \
        >"$dir/ports"
    fsid=$(cat /proc/sys/kernel/random/uuid) uuid=$(cat /proc/sys/kernel/random/uuid)
    write_config "$dir" "$objectstore" "$fsid"
    make_certificates "$dir"
    monmaptool --create --clobber --fsid "$fsid" \
        --addv a "[v2:127.0.0.1:$mon,v1:127.0.0.1:$((mon + 1))]" "$dir/monmap" >/dev/null
    ceph-mon -c "$dir/ceph.conf" --mkfs -i a --monmap "$dir/monmap"
    # The OSD is made known to the monitor before it makes its disk, then both stay.
    start_daemon "$dir" mon
    ceph -c "$dir/ceph.conf" --connect-timeout 60 osd new "$uuid" >/dev/null
    ceph-osd -c "$dir/ceph.conf" -i 0 --mkfs --osd-uuid "$uuid" >"$dir/log/mkfs.out" 2>&1
    start_daemon "$dir" osd
    start_gateway "$dir" a
    wait_for 120 port_answers "$http_a"
    admin "$dir" user create --uid test --display-name test --access-key test \
        --secret-key testsecret >"$dir/log/user.out" 2>&1
    start_gateway "$dir" b
    wait_for 120 port_answers "$http_b"
}

admin()
{
    local dir=$1
    shift
    radosgw-admin -c "$dir/ceph.conf" -n client.rgw.admin "$@"
}

[ $# -ge 2 ] || usage
dir=$2
case $1 in
start)
    trap 'stop_daemons "$dir"' ERR
    start "$dir" "${3:-memstore}"
    ;;
stop) stop_daemons "$dir" ;;
daemon) start_daemon "$dir" "${3:?mon or osd}" ;;
admin)
    shift 2
    admin "$dir" "$@"
    ;;
again | gateway)
    # shellcheck source=/dev/null
    . "$dir/ports"
    if [ "$1" = again ]; then
        start_all "$dir"
    else
        name=${3:?which gateway}
        start_gateway "$dir" "$name"
        port="http_$name"
        wait_for 120 port_answers "${!port}"
    fi
    ;;
*) usage ;;
esac
