#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a test program with real S3 servers on loopback:
#
#   run.sh memstore|tls|bluestore|swift|netns MAKE_BUCKET PROGRAM [ARGUMENT]...
#
# The program finds in its environment
#   CAIRN_S3_DIR      the servers' directory (see ceph.sh, swift.sh)
#   CAIRN_S3_SCRIPT   the script that starts and stops them
#   CAIRN_TEST_S3     the URI of a bucket at gateway a (or of Swift), path "t"
#   CAIRN_S3_B        the same at gateway b; CAIRN_S3_TLS over TLS
#   AWS_...           the keys
# "tls" is memstore with TLS everywhere. "netns" is memstore in a network namespace, with the program,
# and two hosts beside it: CAIRN_NETNS is their name for netns.sh.
# Without the servers' programs the test is skipped; but fails if CAIRN_REQUIRE_S3 is set. Where network
# namespaces are not permitted, "netns" is skipped; but fails if CAIRN_REQUIRE_NETNS is set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kind=$1 make_bucket=$2
shift 2

case $kind in
swift) needed=(swift-proxy-server swift-object-server swift-container-server swift-account-server
    swift-ring-builder) script=$here/swift.sh ;;
*) needed=(radosgw radosgw-admin ceph ceph-mon ceph-osd monmaptool openssl) script=$here/ceph.sh ;;
esac
for program in "${needed[@]}"; do
    if ! PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null; then
        if [ -n "${CAIRN_REQUIRE_S3:-}" ]; then
            echo "Bail out! there is no $program: tools/setup.sh --with-s3 installs it"
            exit 1
        fi
        echo "1..0 # SKIP there is no $program: tools/setup.sh --with-s3 installs it"
        exit 0
    fi
done
export PATH=$PATH:/usr/sbin:/sbin

if [ "$kind" = netns ]; then
    name=cairn-$$
    if ! "$here/netns.sh" up "$name"; then
        if [ -n "${CAIRN_REQUIRE_NETNS:-}" ]; then
            echo "Bail out! network namespaces cannot be made: be root, and install iproute2"
            exit 1
        fi
        echo "1..0 # SKIP network namespaces cannot be made: that needs root, and iproute2"
        exit 0
    fi
    trap '"$here/netns.sh" down "$name"' EXIT
    trap 'exit 143' INT TERM
    export CAIRN_NETNS=$name CAIRN_GATEWAY_ADDRESSES="10.77.1.1 10.77.2.1"
    status=0
    ip netns exec "$name-server" "$0" memstore "$make_bucket" "$@" &
    wait $! || status=$?
    exit "$status"
fi

# Nobody's own keys or settings have a part in this.
unset "${!AWS_@}" HTTP_PROXY http_proxy
# Short, since Ceph puts unix sockets into it.
dir=$(mktemp -d /tmp/cairn-s3-XXXXXX)
child=
# shellcheck disable=SC2317 # the trap calls it
clean_up()
{
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
    "$script" stop "$dir" || true
    if [ -n "${CAIRN_KEEP_S3:-}" ]; then
        echo "# the servers' files are kept in $dir"
    else
        # What has just been killed may be creating a file yet.
        rm -rf "$dir" 2>/dev/null || { sleep 1 && rm -rf "$dir"; }
    fi
}
trap clean_up EXIT
trap 'exit 143' INT TERM

case $kind in
swift)
    "$script" start "$dir"
    # shellcheck source=/dev/null
    . "$dir/ports"
    export AWS_ACCESS_KEY_ID=test:tester AWS_SECRET_ACCESS_KEY=testing
    CAIRN_TEST_S3="s3://cairn/t?endpoint=http://127.0.0.1:${http:?}"
    ;;
*)
    "$script" start "$dir" "${kind/tls/memstore}"
    # shellcheck source=/dev/null
    . "$dir/ports"
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=testsecret
    CAIRN_TEST_S3="s3://cairn/t?endpoint=http://127.0.0.1:${http_a:?}"
    export CAIRN_S3_B="s3://cairn/t?endpoint=http://127.0.0.1:${http_b:?}"
    export CAIRN_S3_TLS="s3://cairn/t?endpoint=https://127.0.0.1:${https:?}&ca_file=$dir/ca.pem"
    [ "$kind" != tls ] || CAIRN_TEST_S3=$CAIRN_S3_TLS
    ;;
esac
export CAIRN_TEST_S3 CAIRN_S3_DIR=$dir CAIRN_S3_SCRIPT=$script
"$make_bucket" "$CAIRN_TEST_S3"

# In the background, so that a signal is not put off until it has ended.
"$@" &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
