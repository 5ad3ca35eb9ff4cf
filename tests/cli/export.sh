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
# What was cut off at the end of a line is told from what is whole.
sed '$d' entries.jsonl >cut.jsonl
run cairn import cut.jsonl --to cut
sed '/"state": "parcel"/d' entries.jsonl >short.jsonl
run cairn import short.jsonl --to short
run cairn import short.jsonl --to short --partial
run cairn import cut.jsonl --to cut --partial
cat entries.jsonl cut.jsonl >twice.jsonl
run cairn import twice.jsonl --to twice
# Less than all on request is whole.
"$CAIRN" export $SP --state parcel --limit 1 >one.jsonl
tail -n 1 one.jsonl
run cairn import one.jsonl --to one
json 'd["entries"], d["id"]' import one.jsonl --to one-more
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

# Values of older schemas say so, and become values of the present one.
cp -r "$GOLDEN/v1-canonical-savepoint" old
run cairn export old --operator orders --state address --key order-008
run cairn export old --to old.jsonl
run cairn import old.jsonl --to new
run cairn cat new --operator orders --state address --key order-008
run cairn cat new --operator orders --state profile --key order-008
schemas='"schemas": [{"tag": 0, "name": "c", "version": 1}, {"tag": 1, "name": "c", "version": 2}]'
HEAD='{"cairn": "snapshot", "version": 1}
{"cairn": "operator", "uid": "a", "key_type": "string"}
{"cairn": "state", "operator_uid": "a", "name": "v", "kind": "value", "value_type": "custom", '$schemas'}'
try '{"operator_uid": "a", "state": "v", "key": "k", "schema": 0, "value": {"hex": "00"}}'
try '{"operator_uid": "a", "state": "v", "key": "k", "schema": 2, "value": {"hex": "00"}}'
run ls x

# Avro, a field of which is gone, and what is of neither schema.
r0='{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"},{\"name\":\"tag\",\"type\":\"string\"}]}'
r1='{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\",\"type\":\"double\"}]}'
HEAD='{"cairn": "snapshot", "version": 1}
{"cairn": "operator", "uid": "op", "key_type": "string"}
{"cairn": "state", "operator_uid": "op", "name": "av", "kind": "value", "value_type": "avro", "schemas": [{"tag": 0, "text": "'$r0'"}, {"tag": 1, "text": "'$r1'"}]}'
try '{"operator_uid": "op", "state": "av", "key": "k", "value": {"n": 3, "tag": "x"}}'
try '{"operator_uid": "op", "state": "av", "key": "k", "schema": 0, "value": {"n": 3}}'
run ls x
try '{"operator_uid": "op", "state": "av", "key": "k", "schema": 0, "value": {"n": 3, "tag": "x"}}
{"cairn": "end", "entries": 1}'
run cairn cat x

# What is easily mistaken: no value for one that is null, -0 for 0, too deep for what it is.
list='{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"n\",\"type\":[\"null\",\"L\"]}]}'
nested=$(python3 -c 'print("{\"n\": {\"L\": " * 60 + "{\"n\": null}" + "}}" * 60)')
cat >odd.jsonl <<END
{"cairn": "snapshot", "version": 1}
{"cairn": "operator", "uid": "a", "key_type": "double"}
{"cairn": "state", "operator_uid": "a", "name": "maybe", "kind": "value", "value_type": "avro", "schemas": [{"text": "[\"null\", \"long\"]"}]}
{"operator_uid": "a", "state": "maybe", "key": 0, "value": null}
{"operator_uid": "a", "state": "maybe", "key": -0.0, "value": {"long": 1}}
{"cairn": "state", "operator_uid": "a", "name": "list", "kind": "value", "value_type": "avro", "schemas": [{"text": "$list"}]}
{"operator_uid": "a", "state": "list", "key": 0.1, "value": $nested}
{"cairn": "end"}
END
run cairn import odd.jsonl --to odd
run cairn export odd --state maybe
run cairn export odd --to again.jsonl
run cairn import again.jsonl --to odd-again
run cairn diff --entries odd odd-again
