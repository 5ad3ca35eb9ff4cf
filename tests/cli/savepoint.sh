# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# A savepoint's directory is read by the same verbs as a job's. P9: under any name, from any place.
make_store store saved
run cairn ls store
run cairn jobs store.saved
run cairn inspect store.saved/savepoint-saved-3
run cairn inspect --files store.saved/savepoint-saved-4/MANIFEST-chk4
json 'd["record"]["kind"], d["record"]["format"], d["record"]["location"],
      [s["schemas"][0]["name"] for s in d["operators"][0]["states"] if "schemas" in s]' \
    inspect store.saved/savepoint-saved-3
run cairn cat store.saved/savepoint-saved-3
run cairn cat store.saved/savepoint-saved-4 --key p1
run cairn cat store.saved/savepoint-saved-3 --key p2 --state parcel
run cairn verify --full store.saved
run cairn du store.saved/savepoint-saved-3
run cairn gc store.saved/savepoint-saved-3
mkdir elsewhere
mv store.saved/savepoint-saved-3 'elsewhere/a good one'
run cairn cat 'elsewhere/a good one' --state parcel
run cairn cat 'elsewhere/a good one' latest --key p2
for file in elsewhere/*/chk-3/*groups*; do
    flip "$file" 130
done
run cairn cat 'elsewhere/a good one'
run cairn verify 'elsewhere/a good one' --full
