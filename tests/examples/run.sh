#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILD_DIR SOURCE_ROOT: the examples do what they say, and the program in the README is one that
# compiles and runs. TAP on stdout.
set -u
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

# check NAME COMMAND...: one test case; what the command says becomes its diagnostics.
check()
{
    local name=$1
    shift
    n=$((n + 1))
    if "$@" >"$work/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$work/log"
    fi
}

quickstart_counts()
{
    for i in 1 2 3; do
        [ "$("$build/examples/quickstart" "$work/quick")" = "started $i times" ] || return 1
    done
}

# The program in the README, with its directory replaced by ours.
readme_runs()
{
    awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/README.md" |
        sed "s|/tmp/cairn-readme|$work/readme|" >"$work/readme.c"
    grep -q cairn_job_open "$work/readme.c" || { echo "no program found"; return 1; }
    # Linked like an example, with the flags of the build (a sanitizer, say).
    # shellcheck disable=SC2086
    ${CC:-cc} -Wall -Wextra -Werror ${EXAMPLE_ARGS:-} -I"$source/include" -o "$work/readme.bin" \
        "$work/readme.c" -L"$build/engine" -lcairn -Wl,-rpath,"$build/engine" || return 1
    "$work/readme.bin" && "$work/readme.bin" || return 1
    local value
    value=$("$build/tools/cairn" cat "$work/readme/snapshots" --key 7) || return 1
    case $value in
    *2000*) ;;
    *) echo "expected 2000 after two runs: $value" && return 1 ;;
    esac
}

schema_changes()
{
    "$build/examples/schema" "$work/visitors" 1 && "$build/examples/schema" "$work/visitors" 2 >"$work/out" &&
        "$build/examples/schema" "$work/visitors" 1 >"$work/again" || return 1
    cat "$work/out" "$work/again"
    grep -q '^ann: 2 visits, language unknown$' "$work/out" &&
        grep -q '^eve: 1 visits, language unknown$' "$work/out" &&
        grep -q '^bob: 2 visits, language -$' "$work/again" || return 1
    # What the second release left is of a schema with a field that is gone.
    "$build/tools/cairn" export "$work/visitors/snapshots" --to "$work/visitors.jsonl" &&
        "$build/tools/cairn" import "$work/visitors.jsonl" --to "$work/imported" &&
        "$build/tools/cairn" cat "$work/imported" >"$work/out" || return 1
    cat "$work/out"
    grep -q '"eve" = {"name":"eve","visits":1}$' "$work/out"
}

wordcount_survives()
{
    local i pid
    cd "$work" || return 1
    for ((i = 0; i < 40; i++)); do cat "$source/LICENSE"; done >text
    LC_ALL=C tr '[:upper:]' '[:lower:]' <text | LC_ALL=C tr -cs '[:lower:]' '\n' | grep -v '^$' |
        LC_ALL=C sort | uniq -c | awk '{ print $1, $2 }' | LC_ALL=C sort >expected
    for i in 1 2 3; do
        "$build/examples/wordcount" --dir count --input text --output counts --interval-ms 30 \
            --words-per-sec 50000 >/dev/null 2>log &
        pid=$!
        sleep 0.$((i + 1))
        kill -KILL $pid
        wait $pid 2>/dev/null
    done
    "$build/examples/wordcount" --dir count --input text --output counts >out 2>log || return 1
    grep -q '^restored checkpoint' out || { cat out log; return 1; }
    LC_ALL=C sort counts | cmp - expected
}

bootstrap_starts_from_what_it_wrote()
{
    "$build/examples/bootstrap" "$work/boot" >"$work/out" || return 1
    printf 'wrote savepoint-bank-1\nada has 100\ngrace has 250\nlinus has 0\n' | cmp - "$work/out" || return 1
    # The job's own checkpoint has them now, and the savepoint is as it was.
    "$build/tools/cairn" cat "$work/boot/snapshots/bank" >"$work/own" || return 1
    grep -q 250 "$work/own" && "$build/tools/cairn" verify "$work/boot/snapshots/savepoint-bank-1" || return 1
    # It is for the first time only, and says so.
    "$build/examples/bootstrap" "$work/boot" 2>"$work/again" && return 1
    cat "$work/again"
    grep -q 'does not exist yet' "$work/again"
}

check "quickstart counts its starts" quickstart_counts
check "the README's program compiles, runs, and goes on" readme_runs
check "the schema changes, and back" schema_changes
check "bootstrap starts a job from the savepoint that it wrote" bootstrap_starts_from_what_it_wrote
check "wordcount counts every word once, killed three times" wordcount_survives
echo "1..$n"
