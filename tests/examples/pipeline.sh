#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# pipeline.sh BUILD_DIR LIVES: the pipeline example, killed LIVES times at random moments in each of its
# modes, with another parallelism now and then. In between nothing may be visible twice where that is
# promised; at the end every order has to be on exactly one statement, or in at-least-once mode on one at
# least: how many are on several is counted and shown. TAP on stdout. CAIRN_SEED=n replays the moments.
set -u
pipeline=$1/examples/pipeline
lives=$2
records=$((lives * 800))
base=${TMPDIR:-/tmp}
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || base=/dev/shm # more lives in less time
work=$(mktemp -d "$base/cairn-pipeline-XXXXXX")
trap 'rm -rf "$work"' EXIT
seed=${CAIRN_SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$((seed % 32768))
echo "# CAIRN_SEED=$seed"

# count DIR: what is visible; sets `twice` (orders and statements that are there more than once).
count()
{
    "$pipeline" --dir "$1" --records "$records" --customers 50 --check >"$1/check" 2>>"$1/log"
    checked=$?
    twice=$(sed -n 's/.* \([0-9]*\) more than once; \([0-9]*\) statements repeated.*/\1 + \2/p' "$1/check")
    twice=$((twice))
}

# One life: killed up to 200 ms after it has begun to work, or while it starts; now and then it is stopped with a
# savepoint instead, from which the next one goes on.
live()
{
    local dir=$1 mode=$2 out pid code signal=KILL
    exec {out}< <(exec "$pipeline" --dir "$dir" --records "$records" --mode "$mode" \
        --parallelism "$parallelism" --customers 50 --interval-ms 15 --rate 4000 2>>"$dir/log")
    pid=$!
    ((RANDOM % 4 == 0)) || read -r -t 60 -u "$out" _
    sleep "0.$(printf %03d $((RANDOM % 200)))"
    ((RANDOM % 6 != 0)) || signal=TERM
    kill -$signal "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    code=$?
    exec {out}<&-
    case $code in
    137 | 143) killed=$((killed + 1)) ;;
    0) [ $signal = KILL ] || stopped=$((stopped + 1)) ;;
    *)
        echo "# a life ended with $code"
        return 1
        ;;
    esac
}

survives()
{
    local mode=$1 dir=$work/$1 i
    killed=0
    stopped=0
    parallelism=2
    changes=0
    mkdir -p "$dir/output"
    for ((i = 0; i < lives; i++)); do
        if ((RANDOM % 4 == 0)); then
            parallelism=$((2 + RANDOM % 3))
            changes=$((changes + 1))
        fi
        live "$dir" "$mode" || return 1
        count "$dir"
        grep -q statements "$dir/check" || { echo "# the output could not be counted"; return 1; }
        if [ "$mode" != at-least-once ] && [ "$twice" -ne 0 ]; then
            echo "# after life $i: $(cat "$dir/check")"
            return 1
        fi
    done
    "$pipeline" --dir "$dir" --records "$records" --mode "$mode" --parallelism 3 --customers 50 --interval-ms 100 \
        --quiet >/dev/null 2>>"$dir/log" || { echo "# the last life failed"; return 1; }
    count "$dir"
    echo "# $mode: killed $killed times and stopped $stopped times in $lives lives, parallelism chosen anew $changes times:"
    echo "# $(cat "$dir/check")"
    if find "$dir/output" -name '.cairn-tmp-*' | grep -q .; then
        echo "# hidden files are left"
        return 1
    fi
    [ "$killed" -ge $((lives / 2)) ] || { echo "# too few were killed"; return 1; }
    # The lives have done something: each checkpoint with output makes a file.
    [ "$(find "$dir/output" -type f | wc -l)" -ge "$lives" ] || { echo "# too few files"; return 1; }
    [ "$checked" -eq 0 ] || { [ "$mode" = at-least-once ] && [ "$checked" -eq 3 ]; }
}

n=0
for mode in exactly-once unaligned at-least-once; do
    n=$((n + 1))
    if survives "$mode"; then
        echo "ok $n - $mode"
    else
        echo "not ok $n - $mode"
        tail -n 8 "$work/$mode/log" | sed 's/^/# /'
    fi
done
echo "1..$n"
