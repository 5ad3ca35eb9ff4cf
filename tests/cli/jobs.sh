# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# The jobs of a store, what is wrong with them, and which one is meant.
make_store store tiny
run cairn ls store
make_store store shop
run cairn jobs store
run cairn ls store
run cairn du store
run cairn ls store --job tiny
json '[(j["job"], len(j["records"])) for j in d["jobs"]]' ls store
run cairn ls store -j nobody
run cairn ls store/tiny/
run cairn ls "file://$PWD/store/tiny"
json '[(j["job"], j["checkpoints"], j["newest"]["id"], j["problem"]) for j in d["jobs"]]' jobs store
# One damaged job does not hide the others.
flip store/tiny/MANIFEST-chk2 100
run cairn jobs store
json '[(j["job"], j["checkpoints"], j["problem"] is None) for j in d["jobs"]]' jobs store
# Nor does any other record hide, or an object; a job without a checkpoint is told, but later.
make_store fresh fresh
run cairn jobs fresh
make_store second tiny
make_store second shop
make_store second fresh
run cairn jobs second
rm "second/shop/$(cd second/shop && echo shared/e1-c6-*)"
run cairn jobs second
rm second/shop/MANIFEST-chk4
run cairn jobs second
json '[(j["job"], j["checkpoints"], j["newest"] and j["newest"]["id"], j["problem"]) for j in d["jobs"]]' jobs second
# A savepoint beside the only job is no other job; it is meant when it is named.
make_store both saved
cp -r both.saved/savepoint-saved-3 both/kept
run cairn jobs both
json '[(j["job"], j["kind"]) for j in d["jobs"]]' jobs both
json 'd["record"]["id"]' inspect both
json 'd["record"]["id"]' inspect both --job kept
run cairn du both/kept --job both
json 'd["job"], d["first"], d["second"]' diff both 2 5
run cairn gc both --dry-run
run cairn du both.saved
# Who has claimed it is told, whatever stands there.
echo damaged >both/kept/CLAIMED
run cairn ls both/kept
run cairn inspect both/kept
json 'd["claimed_by"]' ls both/kept
