# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# What takes the space: live, dead, unresolved, foreign, missing.
make_store store shop
run cairn du store
rm "store/shop/$(object_of clicks 6)"
cp store/shop/MANIFEST-chk5 store/shop/shared/e1-c4-900.sst
cp store/shop/MANIFEST-chk5 store/shop/shared/e1-c7-9.sst
echo note >store/shop/README
run cairn du store
json 'd["usage"]["dead"]["count"], d["usage"]["unresolved"]["count"], d["usage"]["foreign"],
      d["usage"]["missing_count"], len(d["checkpoints"])' du store
# A manifest that cannot be read keeps nothing back but what only it knows.
flip store/shop/MANIFEST-chk4 60
run cairn du store
json 'd["usage"]["dead"]["count"], d["usage"]["unknown"]["count"], d["usage"]["live"]["count"],
      len(d["checkpoints"])' du store
# What the processes of a job tell one another is there while it runs, and no checkpoint's.
make_store talks shop
mkdir -p talks/shop/cluster/e1
echo trigger >talks/shop/cluster/e1/post-3
echo alive >talks/shop/cluster/e1/mail-00112233445566778899aabbccddeeff-2
echo note >talks/shop/cluster/README
run cairn du talks
json 'd["usage"]["cluster"], d["usage"]["foreign"]["count"]' du talks
run cairn explain talks cluster/e1/post-3
json 'd["status"], d["references"]' explain talks cluster/e1/mail-00112233445566778899aabbccddeeff-2
run cairn gc talks
run cairn verify talks
run cairn jobs talks
