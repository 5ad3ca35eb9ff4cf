# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Entries go out and come in again without a loss; what comes in is not trusted (P11).
make_store store saved
SP=store.saved/savepoint-saved-3
run cairn export $SP
run cairn export $SP --format csv
run cairn export $SP --format csv --state parcel --key p2
run cairn export $SP --to entries.jsonl
run cairn export $SP --to entries.jsonl
run cairn import entries.jsonl --to made/again
run cairn diff --entries $SP made/again
run cairn import entries.jsonl --to native --format native
run cairn diff --entries $SP native
run cairn import entries.jsonl --to native
run cairn export $SP --format xml
run cairn import entries.jsonl
run cairn import entries.jsonl --to x --format jsonl
run cairn import nothing.jsonl --to x
HEAD='{"cairn": "snapshot", "version": 1}
{"cairn": "operator", "uid": "a", "key_type": "string"}
{"cairn": "state", "operator_uid": "a", "name": "v", "kind": "value", "value_type": "int64"}'
try()
{
    printf '%s\n' "$HEAD" "$1" >try.jsonl
    run cairn import try.jsonl --to x
}
try '{"operator_uid": "a", "state": "v", "key": "k", "value": "seven"}'
try '{"operator_uid": "a", "state": "v", "value": 7}'
try '{"operator_uid": "a", "state": "w", "key": "k", "value": 7}'
try '{"operator_uid": "a", "state": "v", "key": "k", "value": 7, "color": 1}'
try '{"operator_uid": "a", "state": "v", "key": "k", "value": 7'
try '[]'
try '{"cairn": "operator", "uid": "a"}'
try '{"cairn": "state", "operator_uid": "a", "name": "s", "kind": "heap"}'
try '{"cairn": "state", "operator_uid": "a", "name": "s", "kind": "value", "value_type": "struct"}'
try '{"cairn": "snapshot", "version": 1}'
echo '{"cairn": "snapshot", "version": 2}' >try.jsonl
run cairn import try.jsonl --to x
run ls x
