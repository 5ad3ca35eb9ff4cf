# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Before a start: what would be restored, dropped, and what does not fit.
make_store store saved
SP=store.saved/savepoint-saved-3
cairn inspect --json $SP >operators.json
run cairn check $SP --operators operators.json
run cairn check $SP --operators store/saved
try()
{
    printf '%s\n' "$1" >try.json
    run cairn check $SP --operators try.json
}
try '{"operators": [{"uid": "parcels", "key_type": "string", "parallelism": 3}]}'
try '{"operators": [{"uid": "parcels", "key_type": "int64"}]}'
try '{"operators": [{"uid": "parcels", "key_type": "string", "max_parallelism": 64}]}'
try '{"operators": [{"uid": "letters", "key_type": "string", "states": []}]}'
try '{"operators": [{"uid": "parcels", "key_type": "string", "states": [
      {"name": "parcel", "kind": "value", "value_type": "int64"},
      {"name": "stops", "kind": "list", "value_type": "int64"},
      {"name": "fresh", "kind": "value", "value_type": "int64"}]}]}'
json '(lambda items: [(i["verdict"], i["state"]) for i in items])(d["items"]), d["fits"]' \
    check $SP --operators operators.json
run cairn check store.saved/savepoint-saved-4 --operators operators.json --backend heap
run cairn check $SP --operators operators.json --backend heap
run cairn check $SP --operators operators.json --backend paper
try '{"operators": 7}'
try 'operators'
run cairn check $SP --operators nothing.json
run cairn check $SP
