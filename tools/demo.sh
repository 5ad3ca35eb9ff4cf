#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Cairn at work, on real input: a service counts the words of some ten million words of text, is killed
# with SIGKILL in the middle, starts again, finishes; every count is compared with what tr, sort and uniq
# say. Then the stored checkpoints are shown. Needs a Debian 12 with apt; everything it makes is in out/.
#
# usage: tools/demo.sh [--words N]
set -euo pipefail

words=10000000
while [ $# -gt 0 ]; do
    case $1 in
    --words) words=${2:?--words needs a number} && shift ;;
    *) echo "usage: tools/demo.sh [--words N]" >&2 && exit 2 ;;
    esac
    shift
done

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
out=$root/out/demo
service_pid=
trap '[ -z "$service_pid" ] || kill -KILL "$service_pid" 2>/dev/null || true' EXIT

say()
{
    printf '\n== %s\n' "$*"
}

die()
{
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

"$root/tools/setup.sh"
say "Building"
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" >/dev/null
ninja -C "$build" -j "$(nproc)" examples/wordcount tools/cairn | tail -n 1
wordcount=$build/examples/wordcount
cairn=$build/tools/cairn

# --- the text ---------------------------------------------------------------------------------
say "Collecting real text: the licenses and copyright notices of this machine"
rm -rf "$out"
mkdir -p "$out"
# ASCII on purpose: the service counts ASCII letters.
# shellcheck disable=SC2018,SC2019
list_words()
{
    LC_ALL=C tr 'A-Z' 'a-z' <"$1" | LC_ALL=C tr -cs 'a-z' '\n' | LC_ALL=C grep -v '^$'
}
cat /usr/share/common-licenses/* /usr/share/doc/*/copyright >"$out/once.txt" 2>/dev/null || true
once=$(list_words "$out/once.txt" | wc -l)
[ "$once" -gt 0 ] || die "found no text in /usr/share/common-licenses"
times=$(((words + once - 1) / once))
for ((i = 0; i < times; i++)); do cat "$out/once.txt"; done >"$out/text.txt"
rm "$out/once.txt"
echo "$((once * times)) words in $(stat -c %s "$out/text.txt") bytes ($times times $once words)"

# --- the service, killed in the middle --------------------------------------------------------
start_service()
{
    "$wordcount" --dir "$out" --input "$out/text.txt" --output "$out/counts.txt" \
        --interval-ms 1000 >>"$out/service.out" 2>>"$out/service.log" &
    service_pid=$!
}

# How far the newest checkpoint has come, in bytes of the text; 0 before the first.
stored_position()
{
    "$cairn" cat "$out/snapshots" --state position 2>/dev/null | sed -n 's/.* = //p' || true
}

say "Starting the service; it takes an incremental checkpoint every second"
: >"$out/service.log"
: >"$out/service.out"
start_service
half=$(($(stat -c %s "$out/text.txt") / 2))
while position=$(stored_position) && [ "${position:-0}" -lt "$half" ]; do
    kill -0 "$service_pid" 2>/dev/null || { tail "$out/service.log" >&2; die "the service ended early"; }
    sleep 0.3
done
sleep 0.4
kill -KILL "$service_pid" || die "the service ended before it could be killed: use more --words"
wait "$service_pid" 2>/dev/null || true
service_pid=
grep ' complete ' "$out/service.log" | tail -n 8
echo "Killed with SIGKILL past the middle, somewhere between two checkpoints."

say "What the store holds now"
"$cairn" ls "$out/snapshots"

say "Starting the same command again"
start_service
status=0
wait "$service_pid" || status=$?
service_pid=
[ "$status" -eq 0 ] || { tail "$out/service.log" >&2; die "the service failed with status $status"; }
cat "$out/service.out"

# --- the proof --------------------------------------------------------------------------------
say "Counting the same text with tr, sort and uniq, and comparing every count"
list_words "$out/text.txt" | LC_ALL=C sort | LC_ALL=C uniq -c |
    awk '{ print $1, $2 }' | LC_ALL=C sort >"$out/expected.txt"
LC_ALL=C sort "$out/counts.txt" >"$out/actual.txt"
if ! cmp -s "$out/expected.txt" "$out/actual.txt"; then
    diff "$out/expected.txt" "$out/actual.txt" | head >&2 || true
    die "the counts differ"
fi
echo "All $(wc -l <"$out/actual.txt") counts are equal: $(awk '{ n += $1 } END { print n }' \
    "$out/actual.txt") words, each counted exactly once."

say "The most frequent words, as an operator reads them from the newest checkpoint"
"$cairn" cat "$out/snapshots" --state count --key the
"$cairn" cat "$out/snapshots" --state count --key license

say "cairn ls: the history"
"$cairn" ls "$out/snapshots"
say "cairn inspect: the newest checkpoint"
"$cairn" inspect "$out/snapshots"
say "cairn du: what it costs"
"$cairn" du "$out/snapshots"
say "Done. The store is in $out/snapshots; try: $cairn help"
