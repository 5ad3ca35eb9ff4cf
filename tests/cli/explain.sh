# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Who needs an object; its name as error messages have it.
make_store store shop
cp -r store lost
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
cp store/shop/MANIFEST-chk5 store/shop/shared/e1-c7-9.sst
run cairn explain store shared/e1-c7-9.sst
echo note >store/shop/README
run cairn explain store README
json 'd' explain store README
run cairn explain store shared/e1-c2-12345.sst
run cairn explain store ../tiny
# As a file, from wherever; the job is named by it.
make_store two tiny
cp -r lost/shop two
run cairn explain two "two/shop/$clicks"
run cairn explain "file://$PWD/two/shop" "$PWD/two/shop/$clicks"
in_files run cairn explain "file://$PWD/two/shop" "$PWD/two/shop/../shop/$clicks"
rm "two/shop/$clicks"
run cairn explain two "two/shop/$clicks"
run cairn explain two "shop/$clicks"
run cairn explain two "$clicks"
# What is wrong with it.
truncate -s 100 "store/shop/$clicks"
run cairn explain store "$clicks"
json 'd["problem"], d["status"], d["references"]' explain store "$clicks" | sed 's/is 100 bytes.*: damaged/is 100 bytes, <...>: damaged/'
flip store/shop/MANIFEST-chk5 60
run cairn explain store MANIFEST-chk5
# What a damaged log leaves to say.
rm store/shop/MANIFEST-chk4
run cairn explain store shop/MANIFEST-chk4
json 'd["problem"], d["exists"], d["status"]' explain store MANIFEST-chk4
run cairn explain store shared/e1-c2-12345.sst
rm lost/shop/MANIFEST-chk[56]
run cairn explain lost shop/MANIFEST-chk5
run cairn explain store "$clicks"
# What makes a savepoint is no job's.
make_store kept saved
run cairn explain kept.saved/savepoint-saved-4 MANIFEST-chk4
