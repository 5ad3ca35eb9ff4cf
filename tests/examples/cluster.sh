#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cluster.sh BUILD_DIR KILLS: the cluster example, in four processes that `cairn run` starts again, as often killed
# with -9 as KILLS says, workers and the coordinator by chance. It is also stopped, and goes on with two workers and
# with four. Whatever happens, no line is ever visible twice, and at the end all of them are there. TAP on stdout.
# CAIRN_SEED=n replays who is killed when.
set -u
build=$1
kills=$2
cluster=$build/examples/cluster
cairn=$build/tools/cairn
base=${TMPDIR:-/tmp}
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || base=/dev/shm
work=$(mktemp -d "$base/cairn-cluster-XXXXXX")
supervisors=()
# shellcheck disable=SC2317 # the trap calls it
clean_up()
{
    # `cairn run` takes its service with it.
    [ ${#supervisors[@]} -eq 0 ] || kill -TERM "${supervisors[@]}" 2>/dev/null
    wait
    rm -rf "$work"
}
trap clean_up EXIT
seed=${CAIRN_SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$((seed % 32768))
echo "# CAIRN_SEED=$seed"
export CAIRN_CHECKPOINT_INTERVAL=50ms CAIRN_CLUSTER_POLL_INTERVAL=20ms CAIRN_CLUSTER_HEARTBEAT=200ms
export CAIRN_CLUSTER_WORKER_TIMEOUT=1500ms CAIRN_CLUSTER_JOIN_TIMEOUT=60s CAIRN_STATE_MEMORY=32MiB

# make_texts DIR WORDS: five of them, of different sizes, of words that are not equally frequent.
make_texts()
{
    mkdir -p "$1/input"
    awk -v words="$2" -v dir="$1/input" 'BEGIN {
        srand(7)
        for (i = 0; i < words; i++) {
            n = int(rand() * rand() * 300)
            word = sprintf("%c%c%c", 97 + n % 26, 97 + int(n / 26) % 26, 97 + n % 7)
            printf "%s%s", word, i % 12 == 11 ? ".\n" : " " > (dir "/text-" int(rand() * rand() * 5))
        }
    }'
    LC_ALL=C cat "$1"/input/* | tr -cs '[:lower:]' '\n' | grep -v '^$' | awk '{ print $1, ++n[$1] }' |
        LC_ALL=C sort >"$1/expected"
}

# What is visible, sorted; the files of the moment.
visible()
{
    find "$1/output" -name '*.txt' -exec cat {} + 2>/dev/null | LC_ALL=C sort
}

# start DIR WORKERS WORDS_PER_SEC: everybody, under `cairn run`.
start()
{
    local i
    supervisors=()
    for ((i = -1; i < $2; i++)); do
        # shellcheck disable=SC2046
        "$cairn" run --store "$1/snapshots" --backoff fixed --delay 50ms -- "$cluster" --dir "$1" --words-per-sec "$3" \
            $([ $i -lt 0 ] && echo coordinator of "$2" || echo worker $i of "$2") >>"$1/log" 2>"$1/run-$i" &
        supervisors+=($!)
    done
}

# All ends, each with 0.
ended()
{
    local pid status=0
    for pid in "${supervisors[@]}"; do
        wait "$pid" || status=1
    done
    supervisors=()
    return $status
}

# whole DIR: the output and what is stored.
whole()
{
    visible "$1" >"$1/got"
    cmp "$1/expected" "$1/got" || return 1
    if find "$1/output" -name '.*' -type f | grep .; then
        echo "hidden files are left"
        return 1
    fi
    "$cairn" verify "$1/snapshots" --job cluster >"$1/verified" 2>&1 || { cat "$1/verified"; return 1; }
}

# await_progress DIR: until somebody has written something since.
await_progress()
{
    local before i
    before=$(find "$1/output" -name '*.txt' 2>/dev/null | wc -l)
    for ((i = 0; i < 600; i++)); do
        [ "$(find "$1/output" -name '*.txt' 2>/dev/null | wc -l)" -le "$before" ] || return 0
        kill -0 "${supervisors[0]}" 2>/dev/null || return 0
        sleep 0.05
    done
    echo "nothing was written for 30 s"
    return 1
}

runs_to_the_end()
{
    make_texts "$1" 20000
    start "$1" 3 0
    ended && whole "$1"
}

goes_on_with_other_numbers()
{
    local n
    make_texts "$1" 20000
    for n in 3 2; do
        start "$1" $n 2000
        await_progress "$1" || return 1
        kill -TERM "${supervisors[0]}" # the coordinator stops the job
        ended || return 1
        [ -z "$(visible "$1" | uniq -d)" ] || { echo "lines are there twice"; return 1; }
    done
    start "$1" 4 0
    ended && whole "$1"
}

survives_unaligned()
{
    CAIRN_CHECKPOINT_UNALIGNED=true survives "$1"
}

survives()
{
    local i who victim
    make_texts "$1" $((kills * 8000))
    start "$1" 3 1500
    for ((i = 0; i < kills; i++)); do
        await_progress "$1" || return 1
        sleep "0.$(printf %03d $((RANDOM % 400)))"
        who=$((RANDOM % 4 - 1))
        victim=$(sed -n 's/.*runs as process //p' "$1/run-$who" | tail -1)
        kill -KILL "$victim" 2>/dev/null || true
        [ -z "$(visible "$1" | uniq -d)" ] || { echo "lines are there twice"; return 1; }
    done
    ended && whole "$1" || return 1
    killed=$(cat "$1"/run-* | grep -c 'was killed by signal 9')
    echo "killed $killed times; the coordinator was started $(grep -c 'runs as process' "$1/run--1") times"
    [ "$killed" -ge $((kills / 2)) ]
}

n=0
check()
{
    local dir=$work/$1
    mkdir -p "$dir"
    n=$((n + 1))
    if "$1" "$dir" >"$dir/said" 2>&1; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        tail -n 4 "$dir"/said "$dir"/log "$dir"/run-* | sed 's/^/# /'
        [ ${#supervisors[@]} -eq 0 ] || kill -TERM "${supervisors[@]}" 2>/dev/null
        wait
    fi
    sed 's/^/# /' "$dir/said"
}

check runs_to_the_end
check goes_on_with_other_numbers
if [ "$kills" -gt 0 ]; then
    check survives
    check survives_unaligned
fi
echo "1..$n"
