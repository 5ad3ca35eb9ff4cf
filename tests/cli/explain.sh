# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Who needs an object; its name as error messages have it.
make_store store shop
clicks=$(object_of clicks 6)
seen=$(object_of seen 6)
run cairn explain store "$clicks"
run cairn explain store "shop/$clicks"
run cairn explain store MANIFEST-chk4
json 'd["status"], d["exists"], d["operator_uid"], d["references"], d["file"]["checkpoint_id"]' \
    explain store "$clicks"
rm "store/shop/$seen"
run cairn explain store "$seen"
cp store/shop/MANIFEST-chk5 store/shop/shared/e1-c4-900.sst
run cairn explain store shared/e1-c4-900.sst
cp store/shop/MANIFEST-chk5 store/shop/shared/e9-c7-1.sst
run cairn explain store shared/e9-c7-1.sst
echo note >store/shop/README
run cairn explain store README
json 'd' explain store README
run cairn explain store shared/e1-c2-12345.sst
run cairn explain store ../tiny
# What a damaged log leaves to say.
rm store/shop/MANIFEST-chk4
run cairn explain store MANIFEST-chk4
run cairn explain store "$clicks"
