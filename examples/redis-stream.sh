#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# redis-stream.sh BUILD_DIR [KILLS]: starts a Redis server of its own (a socket in a temporary directory), writes
# orders into a stream, lets `cairn run` keep examples/redis-stream running, kills that with SIGKILL so often (5) at
# random moments, and compares what it wrote with what the stream holds: every result exactly once. SEED repeats the
# choice of moments. Exit status 77: there is no Redis here.
set -euo pipefail
build=$(realpath "${1:?usage: redis-stream.sh BUILD_DIR [KILLS]}")
kills=${2:-5}
seed=${SEED:-$RANDOM}
RANDOM=$seed
for program in redis-server redis-cli; do
    if ! command -v $program >/dev/null; then
        echo "skipped: there is no $program here (Debian: redis-server)"
        exit 77
    fi
done
if [ ! -x "$build/examples/redis-stream" ]; then
    echo "skipped: redis-stream was not built (Debian: libhiredis-dev)"
    exit 77
fi

work=$(mktemp -d)
server='' supervisor=''
clean_up()
{
    [ -z "$supervisor" ] || kill -TERM "$supervisor" 2>/dev/null || true
    [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

give_up()
{
    echo "seed $seed: $1"
    tail -n 20 log
    exit 1
}

redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$work" --appendonly yes --save '' >server.log 2>&1 &
server=$!
for ((i = 0; i < 200; i++)); do
    [ "$(redis-cli -s redis.sock ping 2>/dev/null)" = PONG ] && break
    sleep 0.05
done

# add N: that many more orders.
orders=0
add()
{
    awk -v from="$orders" -v n="$1" -v seed="$RANDOM" 'BEGIN {
        srand(seed)
        for (i = from + 1; i <= from + n; i++)
            printf "XADD orders %d-0 user u%d amount %d\n", i, rand() * 50, rand() * 1000
    }' | redis-cli -s redis.sock >/dev/null
    orders=$((orders + $1))
}

export CAIRN_STORE=$work/snapshots CAIRN_LOCAL_DIR=$work/local CAIRN_CHECKPOINT_INTERVAL=40ms
add 500
"$build/tools/cairn" run --backoff fixed --delay 10ms -- "$build/examples/redis-stream" --redis "$work/redis.sock" \
    --stream orders --results "$work/results" >out 2>log &
supervisor=$!
killed=0 last=''
for ((i = 0; killed < kills && i < kills * 4; i++)); do
    add $((RANDOM % 1500))
    sleep "0.$((RANDOM % 40 + 10))"
    service=$(sed -n "s/^cairn: .* runs as process //p" log | tail -n 1)
    # Each process once: one that is dead but not yet reaped can be "killed", too.
    if [ -n "$service" ] && [ "$service" != "$last" ] && kill -KILL "$service" 2>/dev/null; then
        killed=$((killed + 1))
        last=$service
    fi
done
add 300
redis-cli -s redis.sock xadd orders '*' end 1 >/dev/null
wait "$supervisor" || { supervisor='' && give_up "it did not end well"; }
supervisor=''
[ "$(grep -c 'was killed by signal 9' log)" -ge "$killed" ] || give_up "it was not killed $killed times"
[ "$(grep -c ' ended with status [1-9]' log)" = 0 ] || give_up "it failed by itself"

# Each order's line, and the totals in the newest checkpoint, computed from the stream itself.
redis-cli -s redis.sock xrange orders - + | awk '
    $0 == "user" { getline user; next }
    $0 == "amount" { getline amount; count[user]++; total[user] += amount; print id, user, count[user], total[user]; next }
    $0 == "end" { getline; next }
    { id = $0 }
    END { for (u in total) print u, total[u] >"totals" }' >expected
cat results/*.txt | sort -n >actual
sort -n expected | cmp - actual || give_up "the results are not those of the stream"
"$build/tools/cairn" cat -s total snapshots | sed -E 's/.*"(.*)" = (.*)/\1 \2/' | sort >stored
sort totals | cmp - stored || give_up "the totals are not those of the stream"
[ "$(wc -l <actual)" = "$orders" ] || give_up "there are not $orders results"

# Below the position the stream may be trimmed; entries that were not read are missed at the next start.
again()
{
    "$build/examples/redis-stream" --redis "$work/redis.sock" --stream orders --results "$work/results" >out 2>log
}
redis-cli -s redis.sock xtrim orders MINID "$orders" >/dev/null
again || give_up "it does not go on behind what it has read"
redis-cli -s redis.sock xadd orders '*' user late amount 1 >/dev/null
redis-cli -s redis.sock xtrim orders MAXLEN "$((RANDOM % 2))" >/dev/null # `end` is among what goes
again && give_up "it goes on, though unread entries were trimmed"
grep -q "behind $orders-0 were trimmed" log || give_up "it does not say what was trimmed"
echo "seed $seed: $orders orders, killed $killed times, every result once, in $(find results -name '*.txt' | wc -l) files"
