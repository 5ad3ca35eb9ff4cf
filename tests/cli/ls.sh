# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# The log of a job: what is retained, what was aborted and why, and with --all what is only remembered.
make_store store shop
run cairn ls store
run cairn ls --all store
json '[(r["id"], r["kind"], r["state"], r["trigger_time_ms"]) for r in d["records"]]' ls store --all
json 'list(d["records"][-1])' ls store
json '[r["reason"] for r in d["records"] if r["kind"] == "aborted"]' ls store
# A record that cannot be read is shown as such, and the others are.
flip store/shop/MANIFEST-chk4 60
run cairn ls store
make_store second shop
make_store newer second/shop/MANIFEST-chk6
run cairn ls second
json '[(r["id"], r["state"]) for r in d["records"]]' ls second
# A job that never got as far as a checkpoint: each attempt may have another reason.
make_store third failing
run cairn ls third
json '[(r["id"], r["state"]) for r in d["records"]]' ls third
