# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# What two snapshots hold, compared entry by entry, whatever their format.
make_store store saved
run cairn diff --entries store 2 5
run cairn diff --entries store.saved/savepoint-saved-3 store.saved/savepoint-saved-4
run cairn diff --entries store.saved/savepoint-saved-4 store/saved --state parcel
json 'd["added"], d["removed"], d["changed"], [e["change"] for e in d["entries"]],
      [e["second"]["value"] for e in d["entries"] if e["change"] == "changed"]' \
    diff --entries store 2 5
run cairn diff --entries store.saved/savepoint-saved-3 store/saved --state nothing
run cairn diff store 2
run cairn diff --entries store 2 5 --limit 1
json 'len(d["entries"]), d["added"] + d["removed"] + d["changed"]' diff --entries store 2 5 --limit 1
run cairn edit store --max-parallelism parcels=64 --to rekeyed
run cairn diff --entries store rekeyed
