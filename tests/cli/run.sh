#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh NAME CAIRN MAKE_STORE [SERVICE]: runs <NAME>.sh in an empty directory and compares its transcript with
# <NAME>.out and what went to stderr with <NAME>.err (none: nothing may). What varies from run to run
# (times, sizes, uuids, hosts) is replaced by placeholders first.
#
# REFRESH=1 writes the expectations anew: look at the difference before it is committed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
name=$1
CAIRN=$(realpath "$2")
MAKE_STORE=$(realpath "$3")
SERVICE=$(realpath "${4:-$3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/in" "$work/tmp"
unset NO_COLOR
WORK=$work
GOLDEN=$(realpath "$here/../golden-snapshots")
SCREEN=$here/screen.py
CAIRN_RUN_DIR=$work/run
export CAIRN_RUN_DIR CAIRN MAKE_STORE SERVICE GOLDEN SCREEN WORK TZ=UTC LC_ALL=C TMPDIR="$work/tmp" TERM=xterm

# Placeholders. Blanks are squeezed because columns are as wide as what varies.
cat >"$work/normalise.sed" <<END
s|$CAIRN|CAIRN|g
s/\.[0-9]+\.sock/.PID.sock/g
s|$work/in|DIR|g
s|$work/tmp|TMP|g
s/([^ ])  +/\1  /g
s/\b[0-9]+ d [0-9]+ h ago/<age>/g
s/\b([0-9]+ min [0-9]+ s|[0-9.]+ (us|ms|s))( |,|\$)/<t>\3/g
s/\b[0-9.]+ ([KMG]i)?B\b/<size>/g
s/\([0-9]+ bytes\)/(<n> bytes)/
s/\bhost [^ ,]+, process [0-9]+/host <host>, process <pid>/
s/\b[0-9a-f]{32}\b/<hex>/g
s/taken +20[0-9-]+ [0-9:+]+, <t> ago/taken <now>/
s/"(\w+_us|pid|size|bytes|\w+_bytes|crc32c|bytes_checked)": [0-9]+/"\1": "<n>"/
s/\be([0-9]+)-c([0-9]+)-[0-9]+/e\1-c\2-N/g
s/\b0000[0-9]{2}\.sst\b/N.sst/g
s/crc32c is [0-9a-f]{8}, the manifest says [0-9a-f]{8}/crc32c is <x>, the manifest says <y>/
s/bytes, the manifest says [0-9]+/bytes, the manifest says <n>/
s/"host": "[^"]*"/"host": "<host>"/
END
normalise()
{
    sed -E -f "$WORK/normalise.sed" "$@"
}

# What the scripts use.
cat >"$work/prelude.sh" <<'END'
# Run a command, with its line and its exit status in the transcript.
run()
{
    echo "\$ $*"
    echo "\$ $*" >&2
    status=0
    "$@" || status=$?
    [ $status -eq 0 ] || echo "# exit $status"
}
# The same with sorted lines: files are numbered in the order in which threads come to them.
run_sorted()
{
    run "$@" | {
        IFS= read -r line
        echo "$line"
        sed -E -f "$WORK/normalise.sed" | sort
    }
}
cairn()
{
    "$CAIRN" "$@"
}
make_store()
{
    "$MAKE_STORE" "$@" || exit 99
    rm -rf "$1.local"
}
# json EXPRESSION VERB...: what a Python expression makes of the document `d` that the verb prints. A
# document that does not parse ends the script.
json()
{
    expression=$1
    shift
    echo "\$ cairn $* --json | $expression"
    echo "\$ cairn $* --json" >&2
    "$CAIRN" "$@" --json >"$WORK/document"
    status=$?
    python3 - "$WORK/document" "$expression" <<'PYTHON' || exit 98
import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
print(eval("(" + sys.argv[2] + "\n)"))
PYTHON
    [ $status -eq 0 ] || echo "# exit $status"
}
# object_of STATE ID: the object of the first table of a state, relative to the job.
object_of()
{
    "$CAIRN" inspect --files --json store/shop "$2" | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(next(f["object"] for o in d["operators"] for s in o["subtasks"] for f in s["files"]
           if f.get("state") == sys.argv[1]))' "$1"
}
# flip FILE OFFSET: turn one bit of a file.
flip()
{
    python3 - "$1" "$2" <<'PYTHON'
import os, sys
path, offset = sys.argv[1], int(sys.argv[2])
data = bytearray(open(path, "rb").read())
data[offset] ^= 1
os.unlink(path)  # it may be a hard link
open(path, "wb").write(data)
PYTHON
}
END
# Signals as they are by themselves: under nohup, say, one is ignored, and a shell cannot change that.
(cd "$work/in" && env --default-signal sh -u -c ". '$work/prelude.sh'; . '$here/$name.sh'" </dev/null) \
    >"$work/out.raw" 2>"$work/err.raw"
status=$?
if [ $status -eq 77 ]; then
    cat "$work/err.raw" # what is missing here
    exit 77
fi
if [ $status -ge 98 ]; then
    echo "$name.sh gave up:"
    cat "$work/err.raw"
    exit 1
fi
normalise "$work/out.raw" >"$work/out"
# A command's line without a complaint after it is left out.
normalise "$work/err.raw" | awk '/^\$ /{line=$0; next} {if (line != "") print line; line=""; print}' \
    >"$work/err"

if [ "${REFRESH:-}" = 1 ]; then
    cp "$work/out" "$here/$name.out"
    if [ -s "$work/err" ]; then cp "$work/err" "$here/$name.err"; else rm -f "$here/$name.err"; fi
fi
expected=/dev/null
[ -f "$here/$name.err" ] && expected=$here/$name.err
diff -u "$here/$name.out" "$work/out" || status=1
diff -u "$expected" "$work/err" || status=1
leftovers=$(ls -A "$work/tmp")
if [ -n "$leftovers" ]; then
    echo "left in TMPDIR: $leftovers"
    status=1
fi
exit $status
