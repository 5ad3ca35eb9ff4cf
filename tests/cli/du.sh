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
