# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2153,SC2154
# Verbs for a job in three processes on one machine: whoever names it means its coordinator, and a worker's address
# is its own.
CAIRN_RUN_DIR=$PWD/run
export CAIRN_RUN_DIR

begin()
{
    "$SERVICE" "$PWD/data" orders "$1" >"said-$1" 2>&1 &
    eval "pid_$2=\$!"
}
begin coordinator c
begin worker-0 w0
begin worker-1 w1
for name in coordinator worker-0 worker-1; do
    until grep -q ready "said-$name"; do
        sleep 0.05
    done
done
run cairn checkpoint orders
run cairn checkpoint
address()
{
    cairn list --json | python3 -c "
import json, sys
print(next(j['address'] for j in json.load(sys.stdin)['jobs'] if (j['worker_name'] or j['role']) == '$1'))"
}
json 'sorted((j["role"], j["worker_name"], j["worker_count"], j["task_count"]) for j in d["jobs"])' list
cairn list | sed -E 's/ +/ /g' | cut -d ' ' -f 1-3 | sort
json 'd["job"]["role"], sorted(w["name"] for w in d["workers"]), [w["is_lost"] for w in d["workers"]],
      [(t["uid"], t["subtask"], t["worker"] is None, t["keys_set"] is None) for t in d["tasks"]],
      d["history"][0]["outcome"]' status
cairn status | sed -E 's/ +/ /g' | grep -E '^role |^ WORKER '
cairn status | grep -cE '^  +[01]  worker-[01] '
cairn status | grep -E '^ +[01-]  (count|total)' | sed -E 's/ +/ /g' | cut -d ' ' -f 3-7 | sort
cairn top --once --interval 0.1 | grep coordinator
# Of operators that only workers have, it knows who they are.
run cairn check --operators orders data/store

# A worker tells of itself, and takes no orders.
worker=$(address worker-0)
json 'd["job"]["role"], d["job"]["worker_name"], d["workers"], [(t["uid"], t["subtask"]) for t in d["tasks"]]' \
    status "$worker"
cairn status "$worker" | grep -E '^role ' | sed -E 's/[0-9.]+ (us|ms|s) ago/<t> ago/; s/  +/  /'
run cairn checkpoint --job "$worker"
run cairn stop --job "$worker"
run cairn cancel --job "$worker"

# One that is killed is missed, and named.
kill -9 "$pid_w1"
wait "$pid_w1" 2>/dev/null
cairn checkpoint -d >/dev/null
until cairn status | grep -qE 'worker-1 .* waited for$'; do
    sleep 0.05
done
cairn top --once --interval 0.1 | grep -o 'waiting for .*'
run cairn cancel --job orders
wait "$pid_c"
tail -n 1 said-coordinator
wait "$pid_w0"
tail -n 1 said-worker-0
