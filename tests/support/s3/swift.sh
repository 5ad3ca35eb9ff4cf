#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# OpenStack Swift with its S3 API on loopback, in a directory: an independent server that cannot create
# an object only if it is absent. Any user may run it. Keys: test:tester / testing.
#
#   swift.sh start DIR    DIR is new; DIR/ports has http=PORT
#   swift.sh stop DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "$here/ports.sh"

write_common()
{
    local dir=$1 port=$2
    cat <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 0
user = $(id -un)
swift_dir = $dir/etc
devices = $dir/srv
mount_check = false
disable_fallocate = true
log_address = /dev/null
log_level = WARNING
CONF
}

write_proxy()
{
    local dir=$1 port=$2
    write_common "$dir" "$port"
    cat <<CONF
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
CONF
}

start()
{
    local dir=$1 port name at
    mkdir -p "$dir/etc" "$dir/srv/disk" "$dir/log"
    port=$(find_ports 4)
    echo "http=$port" >"$dir/ports"
    printf '[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n' \
        >"$dir/etc/swift.conf"
    printf '[storage-policy:0]\nname = single\ndefault = yes\n' >>"$dir/etc/swift.conf"
    write_proxy "$dir" "$port" >"$dir/etc/proxy-server.conf"
    at=$port
    for name in object container account; do
        at=$((at + 1))
        {
            write_common "$dir" "$at"
            printf '[pipeline:main]\npipeline = %s-server\n' "$name"
            printf '[app:%s-server]\nuse = egg:swift#%s\n' "$name" "$name"
        } >"$dir/etc/$name-server.conf"
        swift-ring-builder "$dir/etc/$name.builder" create 1 1 0 >/dev/null
        swift-ring-builder "$dir/etc/$name.builder" add "r1z1-127.0.0.1:$at/disk" 1 >/dev/null
        # It warns with status 1 when all replicas are on one disk.
        swift-ring-builder "$dir/etc/$name.builder" rebalance >/dev/null || true
    done
    for name in object container account proxy; do
        run_daemon "$dir" "$name" "swift-$name-server" "$dir/etc/$name-server.conf"
    done
    for ((at = port; at < port + 4; at++)); do
        wait_for 120 port_answers "$at"
    done
}

[ $# -eq 2 ] || { echo "usage: swift.sh start DIR | stop DIR" >&2; exit 2; }
dir=$2
case $1 in
start)
    trap 'stop_daemons "$dir"' ERR
    start "$dir"
    ;;
stop) stop_daemons "$dir" ;;
*) echo "swift.sh: '$1' is none of its words" >&2; exit 2 ;;
esac
