# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# A savepoint goes for good, and only a savepoint does.
make_store store saved
SP=store.saved/savepoint-saved-3
run cairn dispose $SP
run_sorted cairn dispose --dry-run $SP
run ls store.saved
run_sorted cairn dispose --yes $SP
run ls store.saved
run cairn dispose --yes $SP
echo mine >store.saved/savepoint-saved-4/note.txt
json 'd["removed"]["count"], d["foreign_count"]' dispose --yes store.saved/savepoint-saved-4
run ls store.saved/savepoint-saved-4
run cairn dispose --yes store/saved
run cairn dispose --yes store
mkdir stranger
run cairn dispose --yes stranger
run cairn ls store
run cairn verify --full store
