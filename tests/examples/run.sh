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

# The callback in the handbook, with a job whose name needs care.
handbook_logs_json()
{
    {
        printf '#include <cairn/cairn.h>\n#include <stdio.h>\n'
        awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/docs/operations.md"
        cat <<'END'
int main(int argc, char **argv)
{
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_job *job;
    cairn_task *task;
    options.store_uri = "memory:";
    options.local_dir = argv[argc - 1];
    options.log = log_as_json;
    options.log_context = stdout;
    options.log_level = CAIRN_LOG_DEBUG;
    if (cairn_job_open("a \"job\" \\ \xc3\xa9", &options, &job, NULL) < 0 ||
        cairn_task_open(job, "op", NULL, &task, NULL) < 0 || cairn_job_start(job, NULL) < 0 ||
        cairn_task_checkpoint(task, NULL, NULL, NULL) < 0)
        return 1;
    cairn_job_close(job);
    cairn_task_close(task);
    return 0;
}
END
    } >"$work/log_json.c"
    # shellcheck disable=SC2086
    ${CC:-cc} -Wall -Wextra -Werror ${EXAMPLE_ARGS:-} -I"$source/include" -o "$work/log_json" \
        "$work/log_json.c" -L"$build/engine" -lcairn -Wl,-rpath,"$build/engine" || return 1
    "$work/log_json" "$work/log_local" >"$work/log.jsonl" || return 1
    cat "$work/log.jsonl"
    python3 - "$work/log.jsonl" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert all(line["job"] == 'a "job" \\ \u00e9' for line in lines)
done = [line for line in lines if line.get("event") == "checkpoint_complete"]
assert len(done) == 1 and done[0]["tasks"] == 1 and done[0]["level"] == "info"
END
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
    count_words text >expected
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

# What wordcount has to write for a file, sorted.
count_words()
{
    LC_ALL=C tr '[:upper:]' '[:lower:]' <"$1" | LC_ALL=C tr -cs '[:lower:]' '\n' | grep -v '^$' |
        LC_ALL=C sort | uniq -c | awk '{ print $1, $2 }' | LC_ALL=C sort
}

# supervised_wordcount KILLS DIR OPTION...: `cairn run` of wordcount over "text" into "counts", in which the service
# is killed so often.
supervised_wordcount()
{
    local kills=$1 dir=$2 supervisor service i
    shift 2
    rm -f counts run.log
    "$build/tools/cairn" run --backoff fixed --delay 20ms "$@" -- "$build/examples/wordcount" --dir "$dir" \
        --input text --output counts --interval-ms 30 --words-per-sec "${rate:-30000}" >run.out 2>run.log &
    supervisor=$!
    for ((i = 1; i <= kills; i++)); do
        until [ "$(grep -c 'runs as process' run.log)" = "$i" ]; do
            kill -0 $supervisor || { cat run.log; return 1; }
            sleep 0.02
        done
        sleep 0.3
        service=$(sed -n 's/.*runs as process //p' run.log | tail -1)
        kill -KILL "$service" || { cat run.log; return 1; }
    done
    wait $supervisor || { cat run.log; return 1; }
    [ "$(grep -c 'was killed by signal 9' run.log)" = "$kills" ] || { cat run.log; return 1; }
    LC_ALL=C sort counts | cmp - expected
}

run_survives()
{
    cd "$work" || return 1
    for ((i = 0; i < 40; i++)); do cat "$source/LICENSE"; done >text
    count_words text >expected
    CAIRN_CHECKPOINT_RETAINED=2 supervised_wordcount 3 run || return 1
    grep -q '^restored checkpoint' run.out || { cat run.out run.log; return 1; }
    # The setting from the environment reached the job: not three, as the program has it.
    [ "$("$build/tools/cairn" ls run/snapshots | grep -c ' complete ')" = 2 ]
}

# From a savepoint of what was counted so far into a store of its own; killed, it goes on from there.
run_starts_from_a_savepoint()
{
    cd "$work" || return 1
    "$build/tools/cairn" convert --to "$work/saved" run/snapshots || return 1
    for ((i = 0; i < 40; i++)); do cat "$source/README.md"; done >>text
    count_words text >expected
    supervised_wordcount 1 unused --store "$work/other" -s saved || return 1
    cat run.out run.log
    grep -q "^restored checkpoint .*, reading on at byte [1-9]" run.out && [ -d other/wordcount ] &&
        [ ! -e unused/snapshots ] || return 1
    # The same command again: from the snapshot again. In the settings it counts while the job has nothing of its own.
    rate=0 supervised_wordcount 0 unused --store "$work/other" -s saved || return 1
    grep -q "^done: [1-9][0-9]* words" run.out || { cat run.out run.log; return 1; }
    CAIRN_RESTORE_URI=$work/saved rate=0 supervised_wordcount 0 unused --store "$work/other" || return 1
    grep -q "^done: 0 words" run.out || { cat run.out run.log; return 1; }
}

run_drops_state_if_told_so()
{
    cd "$work" || return 1
    "$build/tools/cairn" edit --rename count-by-word=gone --to "$work/renamed" "$work/saved" || return 1
    if rate=0 supervised_wordcount 0 dropped -s renamed --restart none; then
        echo "it started without the operator that the savepoint has"
        return 1
    fi
    cat run.log
    grep -q "has state of operators that no task opened" run.log || return 1
    rate=0 supervised_wordcount 0 dropped -s renamed -n --store "$work/dropped/snapshots"
}

# A second one takes the job over; the first one is not started again to take it back.
run_lets_the_replaced_end()
{
    local supervisor
    cd "$work" || return 1
    count_words text >expected
    CAIRN_STORE=$work/taken "$build/tools/cairn" run --backoff fixed --delay 20ms -- "$build/examples/wordcount" \
        --dir first --input text --output counts --interval-ms 30 --words-per-sec 2000 >run.out 2>run.log &
    supervisor=$!
    until [ "$("$build/tools/cairn" ls taken 2>/dev/null | grep -c ' complete ')" -ge 1 ]; do
        kill -0 $supervisor || { cat run.log; return 1; }
        sleep 0.05
    done
    CAIRN_STORE=$work/taken "$build/examples/wordcount" --dir second --input text --output counts >again 2>&1 || {
        cat again
        return 1
    }
    wait $supervisor || { cat run.log; return 1; }
    cat run.out run.log
    grep -q 'was taken over by process' run.log && [ "$(grep -c 'runs as process' run.log)" = 1 ] &&
        grep -q '^stopped' run.out && LC_ALL=C sort counts | cmp - expected
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

# Each mode to its end, the second half of the orders with another parallelism; all are on exactly one statement.
pipeline_is_exact()
{
    local mode n
    for mode in exactly-once unaligned at-least-once; do
        for n in 5000 10000; do
            "$build/examples/pipeline" --dir "$work/$mode" --mode "$mode" --records $n --customers 50 \
                --parallelism $((n / 5000 + 1)) --interval-ms 20 --quiet || return 1
        done
        "$build/examples/pipeline" --dir "$work/$mode" --records $n --customers 50 --check || return 1
    done
    # And the checker sees what is wrong.
    cat "$work/unaligned/output/"* >"$work/exactly-once/output/again"
    "$build/examples/pipeline" --dir "$work/exactly-once" --records $n --customers 50 --check
    [ $? -eq 3 ] || return 1
    "$build/examples/pipeline" --dir "$work/exactly-once" --records $((n + 1)) --customers 50 --check
    [ $? -eq 1 ]
}

check "quickstart counts its starts" quickstart_counts
check "the README's program compiles, runs, and goes on" readme_runs
check "the handbook's log callback writes JSON" handbook_logs_json
check "the schema changes, and back" schema_changes
check "bootstrap starts a job from the savepoint that it wrote" bootstrap_starts_from_what_it_wrote
check "wordcount counts every word once, killed three times" wordcount_survives
check "cairn run: wordcount counts every word once, killed three times" run_survives
check "cairn run: it starts from a savepoint, and goes on from its own checkpoints" run_starts_from_a_savepoint
check "cairn run: state is dropped with -n only" run_drops_state_if_told_so
check "cairn run: a replaced service is not started again" run_lets_the_replaced_end
check "pipeline puts every order on one statement, with every kind of barrier" pipeline_is_exact
echo "1..$n"
