# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# One checkpoint as a person reads it. P11: a key that holds a terminal's escape sequence is harmless.
make_store store shop
run cairn inspect store
run_sorted cairn inspect store chk-3 --files
run cairn inspect store MANIFEST-chk4 --json
json '[(f["smallest"], f["largest"]) for o in d["operators"] for s in o["subtasks"]
      for f in s["files"] if f.get("state") == "clicks"]' inspect store 3 --files
run cairn inspect store 2
run cairn inspect store 5
run cairn inspect store 77
flip store/shop/MANIFEST-chk4 60
run cairn inspect store 4
make_store newer store/shop/MANIFEST-chk3
run cairn inspect store 3
# The path of a manifest means this checkpoint and no other one.
make_store fourth shop
M=fourth/shop/MANIFEST-chk3
json 'd["record"]["id"]' inspect $M
json 'd["record"]["id"]' inspect $M 3
json 'd["id"]' cat $M
json 'd["whole"], d["checkpoints"]' verify $M
json 'd["whole"], d["checkpoints"]' verify fourth/shop/MANIFEST-chk6 --full
json 'd["id"]' restore $M --to databases
run cairn diff -e $M fourth/shop/MANIFEST-chk4 --operator source
run cairn convert $M --to converted
json 'd["record"]["id"]' inspect converted
run cairn inspect $M 4
run cairn cat $M latest
run cairn verify $M 4
run cairn restore $M 4 --to x
run cairn diff $M 3 4
run cairn inspect fourth/shop/MANIFEST-chk2
run cairn inspect fourth/shop/MANIFEST-chk5
