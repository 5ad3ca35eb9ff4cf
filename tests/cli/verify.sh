# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# P8: every kind of damage is found, names the object and all checkpoints that need it, and is exit status
# 4. A quick look compares sizes, --full every byte.
make_store store shop
run cairn verify store
run cairn verify store --full
run cairn verify store 4 --full --threads 1
run cairn verify store latest
run cairn verify store 2
cp -r store flipped
flip "flipped/shop/$(object_of clicks 6)" 500
run cairn verify flipped
run cairn verify flipped --full
run cairn verify flipped 6 --full
json 'd["full"], d["checkpoints"], [(p["id"], p["ids"], p["error"]) for p in d["problems"]], d["whole"],
      d["newest_whole"], d["bytes_covered"] > d["bytes_checked"]' verify flipped
json 'd["full"], d["checkpoints"], [(p["id"], p["ids"], p["error"]) for p in d["problems"]], d["whole"],
      d["newest_whole"]' verify flipped --full
cp -r store short
truncate -s 100 "short/shop/$(object_of recent 6)"
run cairn verify short
cp -r store missing
seen=$(object_of seen 6)
rm "missing/shop/$seen"
run cairn verify missing
run cairn verify missing 4
json 'd["whole"], d["newest_whole"], d["problems"][0]["ids"]' verify missing
cp -r store manifest
flip manifest/shop/MANIFEST-chk4 90
run cairn verify manifest
run cairn verify manifest 3
cp -r store gap
rm gap/shop/MANIFEST-chk4
run cairn verify gap
cp -r store newer
make_store newer newer/shop/MANIFEST-chk6
run cairn verify newer
run cairn verify newer 6
# All jobs of a store; one without a checkpoint is not whole.
make_store jobs tiny
cp -r store/shop jobs
run cairn verify jobs
make_store jobs fresh
run cairn verify jobs/fresh
run cairn verify jobs
rm "jobs/shop/$seen"
run cairn verify jobs
run cairn verify jobs latest
json '[(j["job"], j["whole"], len(j["problems"])) for j in d["jobs"]]' verify jobs
