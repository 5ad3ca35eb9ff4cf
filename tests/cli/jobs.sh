# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# The jobs of a store, and which one is meant.
make_store store tiny
run cairn ls store
make_store store shop
run cairn jobs store
run cairn ls store
run cairn ls store --job tiny
run cairn ls store -j nobody
run cairn ls store/tiny/
run cairn ls "file://$PWD/store/tiny"
json '[(j["job"], j["checkpoints"], j["newest"]["id"], j["problem"]) for j in d["jobs"]]' jobs store
# One damaged job does not hide the others.
flip store/tiny/MANIFEST-chk2 100
run cairn jobs store
json '[(j["job"], j["checkpoints"], j["problem"] is None) for j in d["jobs"]]' jobs store
