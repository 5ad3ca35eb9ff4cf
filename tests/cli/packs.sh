# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# A checkpoint with packs, of which only the manifest is there: where its files are, and what it cost.
mkdir -p store/orders
cp "$GOLDEN/../golden/good-packs" store/orders/MANIFEST-chk17
run cairn ls store
run cairn inspect store 17 --files
run cairn explain store shared/e2-c9-7.pack
json '[(f["name"], f.get("object_offset"), f.get("object_size")) for f in d["operators"][1]["subtasks"][0]["files"]]' inspect store 17 --files
json '(d["problem"], d["slice_count"], d["slice_bytes"], d["file"]["object_size"])' explain store shared/e2-c9-7.pack
json '[(r["id"], r["requests"], r["sent_bytes"]) for r in d["records"]]' ls store
