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
