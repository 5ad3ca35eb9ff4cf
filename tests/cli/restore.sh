# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# A checkpoint's databases as directories: whole or not at all. P9: a job's directory may be moved.
make_store store shop
run cairn restore store --to out
run ls out out/orders-0
run cairn restore store --to out
run cairn restore store 3 --to old --link --threads 2
links=$(find old -links +1 -name '*.sst' | wc -l)
in_files run test "$links" -gt 0
json 'd["job"], d["id"], d["directory"], d["files"]' restore store 4 --to third
in_files run cairn restore store --to store/shop/databases
in_files run cairn restore store/shop --to store/databases
run ls store
mkdir -p elsewhere && mv store/shop elsewhere/moved
run cairn restore elsewhere/moved --to fourth
run diff -r out fourth
run cairn restore elsewhere 2 --to fifth
find elsewhere/moved/shared -type f -name 'e1-c2-*' -delete
"$CAIRN" restore elsewhere --to fifth 2>/dev/null
run test $? -eq 4
run ls
# A URI is no directory of this machine.
run cairn restore elsewhere --to "file://$PWD/uri"
run cairn restore elsewhere --to 's3://bucket/databases?endpoint=http://127.0.0.1:1'
run cairn export elsewhere --to 's3://bucket/entries'
run ls file: s3:
# Beside a savepoint is not within it.
make_store kept saved
in_files run cairn restore kept.saved/savepoint-saved-4 --to kept.saved/savepoint-saved-4/databases
run cairn restore kept.saved/savepoint-saved-4 --to kept.saved/databases
run test -d kept.saved/databases
