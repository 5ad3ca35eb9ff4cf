# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# P6: what no checkpoint needs goes; P5: nothing else does, and nothing at all while a manifest cannot be
# read.
make_store store shop
run cairn gc store
cp store/shop/MANIFEST-chk5 store/shop/shared/e1-c4-900.sst
cp store/shop/MANIFEST-chk5 store/shop/shared/e1-c7-901.sst
echo note >store/shop/README
run_sorted cairn gc store --dry-run
json 'd["dry_run"], d["removed"]["count"], sorted(o["object"] for o in d["objects"])' gc store --dry-run
run_sorted cairn gc store --keep-in-flight
run_sorted cairn gc store
run cairn gc store
run cairn verify store --full
run cat store/shop/README
json '[(r["id"], r["state"]) for r in d["records"]]' ls store
cp -r store damaged
cp store/shop/MANIFEST-chk5 damaged/shop/shared/e1-c4-902.sst
flip damaged/shop/MANIFEST-chk4 90
run cairn gc damaged
run test -e damaged/shop/shared/e1-c4-902.sst
# Without a single manifest it is still no store without jobs, and nothing is known to be dead.
make_store gone shop
rm gone/shop/MANIFEST-chk*
run cairn gc gone --job shop
run cairn gc gone/shop
run cairn ls gone --job shop
run cairn verify gone/shop
run cairn inspect gone/shop
