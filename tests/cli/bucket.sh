# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2016
# Stores in a bucket by their URIs: every verb, names with strange characters, what is printed pasted back into a
# shell, single_writer=unsafe told everywhere (P7), and what cannot work. Of a server of our own, or of a real one.

# The URI of a place, with more options.
at()
{
    printf '%s' "$S3_PLACE/$1?$S3_QUERY${2:-}"
}
S=$(at store) SP=$(at store.saved/savepoint-saved-3)
make_store "$S" saved
run cairn jobs "$S"
run cairn ls "$S"
run cairn jobs "$(at store.saved)"
run cairn inspect "$(at store/saved/)"
json 'd["record"]["id"]' inspect "$(at store/saved/MANIFEST-chk2)"
json 'd["usage"]["live"]["count"]' du "$S"
json 'd["first"], d["second"]' diff "$S" 2 5
run cairn diff -e "$S" 2 5
run cairn diff -e "$SP" "$(at store.saved/savepoint-saved-4)"
run cairn verify --full "$S" --job saved
object=$(cairn inspect --files --json "$SP" | sed -n 's/.*"object": "\(chk-3[^"]*\)".*/\1/p' | head -n 1)
json 'd["status"]' explain "$SP" "$object"
json 'd["status"]' explain "$SP" "$(at "store.saved/savepoint-saved-3/$object")"
json 'd["status"]' explain "$(at store.saved)" "$S3_PLACE/store.saved/savepoint-saved-3/$object"
run cairn cat "$SP" --state parcel
run cairn gc "$S"
run cairn restore "$SP" --to databases
cairn inspect --json "$SP" >operators.json
run cairn check "$S" --operators operators.json
run cairn check "$S" --operators "$SP"
run cairn export "$SP" --to entries.jsonl
run cairn import entries.jsonl --to "$(at 'made/a%20good%25%20one')"
json '[(j["job"], j["kind"]) for j in d["jobs"]]' jobs "$(at made)"
run cairn cat "$(at 'made/a%20good%25%20one')" --key p2 --state parcel
run cairn verify "$(at 'made/a%20good%25%20one')"
run cairn import entries.jsonl --to "$(at 'made/a%20good%25%20one')"
run cairn edit "$SP" --rename parcels=letters --to "$(at made/edited)"
run cairn convert "$SP" --format native --to native
run cairn convert native --to "$(at made/canonical/)"
run cairn diff -e "$SP" "$(at made/canonical)"
run cairn dispose "$(at made/canonical)" --dry-run >dry-run
tail -n 1 dry-run
run cairn dispose "$(at made/canonical)" --yes >removed
tail -n 1 removed
run cairn ls "$(at made/canonical)"
json 'd["broken"]' store-test "$(at trial)" --threads 4 --limit 2

# What is printed can be pasted.
location=$(cairn ls "$S" | sed -n "s/.*canonical.*\('s3:.*'\).*/\1/p")
echo "$location"
eval "json 'd[\"record\"][\"id\"]' inspect $location"
hint=$(cairn inspect "$S" 3 2>&1 | sed -n 's/.*`cairn \(.*\)`.*/\1/p')
echo "$hint"
eval "run cairn $hint"

# Names of jobs and snapshots are completed; places in a bucket where the environment says the rest.
run cairn __complete ls "$S" --job ''
run cairn __complete inspect "$SP" ''
run cairn __complete ls "$S&re"
endpoint=${S3_QUERY#endpoint=}
export AWS_ENDPOINT_URL_S3="$endpoint"
run cairn __complete inspect "$S3_PLACE/made/"
python3 "$TYPE" bash "$COMPLETION/cairn.bash" "cairn inspect $S3_PLACE/store.saved/sav<TAB>3" \
    "cairn cat $S3_PLACE/made/a<TAB>" "cairn ls '$S' --job s<TAB>"
if command -v zsh >/dev/null; then
    python3 "$TYPE" zsh "$COMPLETION/_cairn" "cairn cat $S3_PLACE/made/a<TAB>" >said
    grep -v 'a%20good%25%20one]' said
fi
unset AWS_ENDPOINT_URL_S3

# Nothing but its user keeps two writers of a job apart there, and it is said so.
U=$(at store '&single_writer=unsafe')
echo '{"operators": []}' >none.json
for verb in jobs ls inspect du verify cat 'gc --dry-run' export 'check --operators none.json' 'diff -e' \
    'convert --to copied' 'restore --to restored' 'explain MANIFEST-chk2'; do
    more=
    [ "$verb" != 'diff -e' ] || more='2 5'
    [ "$verb" != 'explain MANIFEST-chk2' ] || { verb=explain more=MANIFEST-chk2; }
    # shellcheck disable=SC2086 # words
    "$CAIRN" $verb "$U" $more >/dev/null 2>said
    echo "$verb: $(grep -c '^cairn: warning: this store is used without create-if-absent' said)"
done
run cairn jobs "$U"
json 'd["store_caveat"]' ls "$U"
json 'd["store_caveat"], len(d["entries"])' cat "$U" --state parcel
json 'd["store_caveat"], d["added"]' diff -e "$U" 2 5
run cairn import entries.jsonl --to "$(at unsafe/imported '&single_writer=unsafe')"
run cairn dispose "$(at unsafe/imported '&single_writer=unsafe')" --yes >removed
# A job there has it in its log and in its status, and so has whoever asks for something.
export CLI_SERVICE_STORE="$U" CAIRN_RUN_DIR="$PWD/run"
"$SERVICE" "$PWD/data" orders >ready 2>&1 &
until grep -q ready ready; do
    kill -0 $! || exit 99
    sleep 0.05
done
json '[j["store_caveat"] for j in d["jobs"]]' list
run cairn __complete status o
json 'd["job"]["store_caveat"] == d["store_caveat"]' status
for verb in list status checkpoint 'top --once --interval 0.1' 'savepoint saved' cancel; do
    # shellcheck disable=SC2086
    "$CAIRN" $verb >/dev/null 2>said
    echo "$verb: $? $(grep -c '^cairn: warning: this store is used without create-if-absent' said)"
done
wait $!
grep -v '^ready\|^ended' ready

# What does not work, and what to do.
run cairn ls s3:store
run cairn ls "$(at store '&color=blue')"
run cairn ls "$(at 'sto%re')"
run cairn ls "s3://absent/store?$S3_QUERY"
run cairn convert "$SP" --to "s3://absent/made?$S3_QUERY"
run cairn ls "$(at nothing)"
run cairn ls "$(at store)" --job nobody
run env AWS_ACCESS_KEY_ID=wrong "$CAIRN" ls "$S"
run env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY HOME="$PWD" "$CAIRN" ls "$S"
run cairn ls 's3://cairn/store?endpoint=http://127.0.0.1:1&retry_ms=1'
run cairn ls 's3://cairn/store?endpoint=ftp://127.0.0.1'
run cairn convert "$SP" --to s3://cairn
run cairn restore "$SP" --to "$(at restored)"
