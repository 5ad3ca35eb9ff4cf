# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# P2: the entries of a checkpoint are those at its barrier, and no later ones. P8: damage is an error, never
# a wrong value.
make_store store shop
run cairn cat store
run cairn cat store 3
run cairn cat store --operator orders --key ada
run cairn cat store --operator orders --state count --limit 2
run cairn cat store --operator source --state rules
run cairn cat store --operator orders --key nobody
run cairn cat store --key ada
run cairn cat store --operator nobody
run cairn cat store --operator nobody --key ada
run cairn cat store --state nothing
run cairn cat store 2
json 'd["job"], d["id"], len(d["entries"]), d["entries"]' cat store
json 'd["entries"]' cat store --operator orders --key nobody
make_store other tiny
run cairn cat other
run cairn cat other --key -7
run cairn cat other --key 7
run cairn cat other --key seven
flip "store/shop/$(object_of clicks 6)" 500
run cairn cat store --operator orders --state clicks
