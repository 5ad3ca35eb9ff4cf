# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# How a job has ended shows: by the savepoint that the next start goes on from, or by what is left of a job
# that took its checkpoints with it.
make_store store stopped
run cairn ls store
json '[(r["id"], r["stop"]) for r in d["records"] if r["kind"] == "savepoint"]' ls store
run cairn inspect store.saved/savepoint-stopped-3
json 'd["record"]["stop"], [s["is_finished"] for s in d["operators"][0]["subtasks"]]' \
    inspect store.saved/savepoint-stopped-3
make_store other removed
run cairn ls other
run cairn gc other
