# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2153,SC2154
# Verbs for running jobs: a service of our own is found by its socket, watched, and given orders.
CAIRN_RUN_DIR=$PWD/run
export CAIRN_RUN_DIR

# start NAME [stuck]: the service, in the background; waits until it is there. Its pid is in $service.
start()
{
    rm -f "said-$1"
    "$SERVICE" "$PWD/data" "$@" >"said-$1" 2>&1 &
    service=$!
    until grep -q ready "said-$1" 2>/dev/null; do
        kill -0 "$service" || { cat "said-$1" >&2; exit 99; }
        sleep 0.05
    done
}

run cairn list
run cairn status
start orders
run cairn checkpoint
run cairn checkpoint --full orders
json 'len(d["jobs"]), d["jobs"][0]["name"], d["jobs"][0]["state"], d["jobs"][0]["last_checkpoint"]["id"],
      d["jobs"][0]["address"].startswith("unix:/")' list
json 'd["job"]["name"], d["job"]["state"], [(t["uid"], t["subtask"]) for t in d["tasks"]],
      [(h["id"], h["outcome"], h["is_full"]) for h in d["history"] if not h["is_earlier"]]' status orders
address=$(cairn list --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["jobs"][0]["address"])')
json 'd["job"]["state"]' status "$address"
json 'd["job"]["state"]' status -j orders
cairn status | sed -E 's/ +/ /g' | grep -cE '^(job|process|store|address|started from|checkpoint|since start) '
run cairn top --once --interval 0.1 >top.out
grep -c '^count \|^total ' top.out
# In a terminal it fits: columns that do not are left out whole, tasks that do not are counted.
screen()
{
    python3 "$SCREEN" "$@" "$CAIRN" top --interval 0.1 >screen
    grep -E 'OPERATOR|more task|^q: quit|on a screen|does not end' screen
}
screen 30 200
screen 24 46
screen 12 80

# Savepoints: to a place of the caller's, as the job has it, detached.
run cairn savepoint mine
run cairn savepoint orders
run cairn stop orders
run cairn savepoint --type native
trigger=$(cairn savepoint --detached)
until cairn savepoint --status "$trigger" | grep -q complete; do sleep 0.05; done
json 'd["type"], d["state"], d["snapshot"]["kind"]' savepoint --status "$trigger"
json '[(r["id"], r["format"]) for j in d["jobs"] for r in j["records"]]' ls data/savepoints
echo 'not a directory' >file
in_files run cairn savepoint "$PWD/file"
run cairn savepoint --type avro
run cairn savepoint --status 99-99
run cairn savepoint --status '../job'
run cairn check --operators "$address" data/store
run cairn status "unix:$PWD/nobody"
run cairn status tcp:127.0.0.1:1

# Two jobs, and one whose task never polls.
orders=$service
start stuck stuck
run cairn status
run cairn checkpoint --job stuck
# It is named while it holds one up.
until cairn status stuck | grep -q '^ *total .* waiting$'; do cairn checkpoint -d stuck >/dev/null; done
run cairn status nobody
# A process that hangs holds nobody up for long.
kill -STOP "$service"
run cairn savepoint --status 1-4 --json | grep '"state"'
kill -CONT "$service"
kill -9 "$service"
wait "$service" 2>/dev/null
run cairn list --json >list.json
grep dead_sockets list.json

# The end, both ways.
run cairn stop -j "$address" mine
wait "$orders"
cat said-orders
start orders
json 'd["job"]["restored"]["checkpoint_id"], "mine" in d["job"]["restored"]["location"]' status orders
run cairn cancel --type native
run cairn cancel -s --type native
wait "$service"
tail -n 1 said-orders
run cairn list
run cairn checkpoint
