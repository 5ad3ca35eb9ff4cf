#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh NAME CAIRN MAKE_STORE [SERVICE]: runs <NAME>.sh in an empty directory and compares its transcript with
# <NAME>.out and what went to stderr with <NAME>.err (none: nothing may). What varies from run to run
# (times, sizes, uuids, hosts) is replaced by placeholders first.
#
# With S3_SERVE (serve.c) in the environment the stores are in a bucket: the same commands, whose paths on_s3.sh
# turns into URIs, must say the same; only places are called otherwise, and <NAME>.s3.diff has what cannot be the
# same.
#
# REFRESH=1 writes the expectations anew: look at the difference before it is committed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
name=$1
CAIRN=$(realpath "$2")
MAKE_STORE=$(realpath "$3")
SERVICE=$(realpath "${4:-$3}")
work=$(mktemp -d)
trap 'exec 9>&-; rm -rf "$work"' EXIT
mkdir "$work/in" "$work/tmp"
# A transcript whose places are in a bucket anyhow is of the server that is there, or of one of our own.
kind=
[ "$name" != bucket ] || kind=bucket
if [ -n "${CAIRN_TEST_S3:-}" ]; then
    export S3_PLACE="${CAIRN_TEST_S3%%\?*}" S3_QUERY="${CAIRN_TEST_S3#*\?}"
elif [ -n "${S3_SERVE:-}" ]; then
    mkfifo "$work/serve"
    "$S3_SERVE" "$work/in" <"$work/serve" >"$work/port" &
    exec 9>"$work/serve" # the server's standard input: it ends with us
    until [ -s "$work/port" ]; do sleep 0.01; done
    export S3_PLACE=s3://cairn/t
    if [ -z "$kind" ]; then
        mkdir "$work/bin"
        for program in "$CAIRN" "$MAKE_STORE" "$SERVICE"; do
            printf '#!/bin/sh\nexec %s/on_s3.sh %s "$@"\n' "$here" "$program" >"$work/bin/${program##*/}"
        done
        chmod +x "$work"/bin/*
        CAIRN=$work/bin/${CAIRN##*/} MAKE_STORE=$work/bin/${MAKE_STORE##*/} SERVICE=$work/bin/${SERVICE##*/}
    fi
    unset AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION AWS_SESSION_TOKEN HTTP_PROXY http_proxy
    IN=$work/in S3_QUERY=endpoint=http://127.0.0.1:$(cat "$work/port")
    export IN S3_QUERY
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=testsecret
fi
unset NO_COLOR
WORK=$work
GOLDEN=$(realpath "$here/../golden-snapshots")
SCREEN=$here/screen.py
TYPE=$here/type.py
COMPLETION=$(realpath "$here/../../tools/completion")
CAIRN_RUN_DIR=$work/run
export CAIRN_RUN_DIR CAIRN MAKE_STORE SERVICE GOLDEN SCREEN TYPE COMPLETION WORK TZ=UTC LC_ALL=C TMPDIR="$work/tmp" TERM=xterm

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
if [ -n "${S3_PLACE:-}" ]; then
    printf '%s\n' 's/(HTTP status [0-9]+, [A-Za-z]+)[^;]*;/\1;/' >>"$work/normalise.sed"
fi
if [ -n "$kind" ]; then
    printf '%s\n' 's/  [0-9]+  <size>$/  <n>  <size>/; s/cost  [0-9]+ /cost  <n> /' 's/after [0-9]+ ms:/after <t>:/' \
        "s/  [0-9]+  <size>  '/  <n>  <size>  '/" >>"$work/normalise.sed"
    printf '%s\n' "s#(endpoint=http://|at ')127[.]0[.]0[.]1:[0-9][0-9]+#\\1<host>#g" >>"$work/normalise.sed"
fi
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
# What only directories can do: leave it out where the stores are in a bucket.
in_files()
{
    [ -n "${S3_SERVE:-}" ] || "$@"
}
make_store()
{
    "$MAKE_STORE" "$@" || exit 99
    rm -rf "$1.local" "$TMPDIR/make_store.local"
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
# What is called by its URI, or by its full path, is called by its path.
without_places()
{
    if [ -n "${S3_SERVE:-}" ] && [ -z "$kind" ]; then
        sed -E "s#(^|  )'(s3://cairn/[^']*)'#\\1\\2#g
            s#s3://cairn/?([^?' \"]*)\?endpoint=http://127[.]0[.]0[.]1:[0-9]+#\\1#g; s#s3://cairn/?##g
            s#127[.]0[.]0[.]1:[0-9]+#HOST#g
            # Requests are counted where they cost something.
            s#\"requests\": [0-9]+#\"requests\": <n>#; s#(unreadable(  -){6})  -  -#\\1#
            s#  [^ ]*REQUESTS[^ ]*  [^ ]*SENT[^ ]*##; /^  cost  [0-9]+ requests?,/d
            s#(<size>  <size>  (<size>|-)|(-  ){4}-)  [0-9]+  <size>#\\1#; s#(<size>  <size>  -)  -  -#\\1#
            s#-  -  -  -  -  -  -  -\$#-  -  -  -  -  -#; s#-  -  -  -  -  -  -  ([^-])#-  -  -  -  -  \\1#
            s#its (crc32c|xxh3) is (<x>|<hex>), the manifest says (<y>|<hex>)#its sum is <x>, the manifest says <y>#
            s#(file://)?DIR/##g; s#HERE/##g; s#%20# #g; /^  hint: /s#'##g" "$@"
    else
        cat "$@"
    fi
}
normalise "$work/out.raw" | without_places >"$work/out"
# A command's line without a complaint after it is left out.
normalise "$work/err.raw" | awk '/^\$ /{line=$0; next} {if (line != "") print line; line=""; print}' \
    >"$work/err.own"
without_places "$work/err.own" >"$work/err"

if [ "${REFRESH:-}" = 1 ] && { [ -z "${S3_SERVE:-}" ] || [ -n "$kind" ]; }; then
    cp "$work/out" "$here/$name.out"
    if [ -s "$work/err" ]; then cp "$work/err" "$here/$name.err"; else rm -f "$here/$name.err"; fi
fi
expected=/dev/null
[ -f "$here/$name.err" ] && expected=$here/$name.err
without_places "$here/$name.out" >"$work/expected.out"
without_places "$expected" >"$work/expected.err"
# What must be otherwise in a bucket, for one reason or another, is written down as a difference.
if [ -n "${S3_SERVE:-}" ] && [ -z "$kind" ] && [ "${REFRESH:-}" = 1 ]; then
    for stream in out err; do
        diff -U1 --label $stream --label $stream "$work/expected.$stream" "$work/$stream"
    done >"$work/s3.diff"
    if [ -s "$work/s3.diff" ]; then cp "$work/s3.diff" "$here/$name.s3.diff"; else rm -f "$here/$name.s3.diff"; fi
fi
if [ -n "${S3_SERVE:-}" ] && [ -f "$here/$name.s3.diff" ]; then
    mkdir "$work/expected"
    for stream in out err; do mv "$work/expected.$stream" "$work/expected/$stream"; done
    patch -s -p0 -d "$work/expected" <"$here/$name.s3.diff" || status=1
    for stream in out err; do mv "$work/expected/$stream" "$work/expected.$stream"; done
fi
diff -u "$work/expected.out" "$work/out" || status=1
diff -u "$work/expected.err" "$work/err" || status=1
leftovers=$(ls -A "$work/tmp")
if [ -n "$leftovers" ]; then
    echo "left in TMPDIR: $leftovers"
    status=1
fi
exit $status
