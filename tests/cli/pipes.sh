# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# A reader that goes away is no error and leaves nothing behind in TMPDIR (run.sh looks); a full disk
# under the output is one.
make_store store many
for verb in 'cat store' 'cat store --json' 'inspect store --json --files'; do
    # shellcheck disable=SC2086 # words
    { "$CAIRN" $verb && echo "$verb: quiet" >"$WORK/status"; } | head -c 10 >/dev/null
    cat "$WORK/status"
done
for verb in 'cat store' 'ls store' 'ls store --json' help --version; do
    # shellcheck disable=SC2086
    "$CAIRN" $verb >/dev/full
    echo "$verb: $?"
done
for verb in 'ls store' 'verify store'; do
    # shellcheck disable=SC2086
    "$CAIRN" $verb >&- 2>&-
    echo "$verb, closed: $?"
done
run cairn cat store --limit 3
# Interrupted: what the signal makes of a process, for a shell, and nothing that looks whole.
mkfifo fifo
for signal in INT TERM; do
    echo "\$ export, $signal" >&2
    "$CAIRN" export store >fifo &
    exec 3<fifo
    IFS= read -r line <&3
    kill -$signal $!
    cat <&3 >rest.jsonl
    exec 3<&-
    wait $!
    echo "$line: $signal $?"
    grep '"cairn": "end"' rest.jsonl && echo 'it has an end'
done
true
