# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# What came and went between two checkpoints.
make_store store shop
run_sorted cairn diff store 3 latest
run_sorted cairn diff store 6 4 --all
run cairn diff store 6 6
json 'd["first"], d["second"], d["added"]["count"], d["removed"]["count"], d["shared"]["count"],
      sorted((e["change"], e["operator_uid"], e["file"]["state"]) for e in d["entries"]
             if e["file"]["role"] == "table")' diff store 3 6
run cairn diff store 3 5
run cairn diff store 2 6
