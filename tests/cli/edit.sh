# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# A changed savepoint from any snapshot; what it is made of stays as it is.
make_store store saved
SP=store.saved/savepoint-saved-3
run cairn edit $SP --rename parcels=letters --drop-state parcels/stops --max-parallelism parcels=4096 --to edited
run cairn inspect edited
run cairn cat edited
run cairn edit store/saved 2 --drop-operator parcels --to empty
run cairn inspect empty
run cairn convert $SP --format native --to native
run cairn convert native --to canonical
run cairn diff --entries $SP canonical
json 'd["format"], d["id"], d["files"]' convert store.saved/savepoint-saved-4 --to json
run cairn cat $SP --state stops
run cairn edit $SP --to x
run cairn edit $SP --rename nobody=x --to x
run cairn edit $SP --rename parcels --to x
run cairn edit $SP --max-parallelism parcels=0 --to x
run cairn edit $SP --max-parallelism parcels=32769 --to x
run cairn edit $SP --drop-state parcels/nothing --to x
run cairn convert $SP --to canonical
run cairn convert $SP --to /
run cairn convert $SP
run ls x
# What would not be written is told with the place to mend.
TMPDIR=$PWD/nowhere
export TMPDIR
run cairn convert $SP --to x
run cairn edit $SP --rename parcels=letters --to x
run cairn cat $SP
echo '{"cairn": "snapshot", "version": 1}' >empty.jsonl
run cairn import empty.jsonl --to x
TMPDIR=$WORK/tmp
touch file
in_files run cairn convert $SP --to file/x
run ls x
