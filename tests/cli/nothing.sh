# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Where there is nothing, nothing is made: reading never creates a store.
run cairn jobs absent
run cairn ls absent
run cairn gc absent
mkdir empty
run cairn jobs empty
run cairn ls empty
run cairn ls empty --job shop
run cairn verify empty --job shop
run cairn cat empty --job shop
run cairn restore empty --job shop --to out
echo text >file
run cairn ls file
run cairn ls memory:
run cairn ls gopher://example
run ls -A empty .
