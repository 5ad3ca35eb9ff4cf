# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# What a directory promises is tried and holds, and nothing is left of the test; what cannot be tried is said.
make_store store shop
run cairn store-test store --threads 4 --limit 5
run cairn store-test "file://$PWD/new?transfer=copy" --threads 2 --limit 3
run ls new
run cairn ls store
json '(d["tried"], d["broken"], [t["holds"] for t in d["trials"]])' store-test store --limit 2
run cairn store-test store --threads 300
run cairn store-test s3://x
run cairn store-test gopher://x
