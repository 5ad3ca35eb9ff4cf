# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Wrong use is told apart from everything else (exit status 2), names the help to read, and prints nothing
# on the standard output. P11: hostile words are escaped.
make_store store tiny
run cairn
run cairn frobnicate
run cairn --frobnicate
run cairn help frobnicate
run cairn ls
run cairn ls store extra
run cairn ls ''
run cairn ls --files store
run cairn ls -x store
run cairn ls --job
run cairn inspect store first
run cairn inspect store 0
run cairn inspect store -1
run cairn inspect store 18446744073709551616
run cairn diff store 2
run cairn verify store --threads 0
run cairn verify store --threads many
run cairn restore store
run cairn jobs store/tiny
run cairn ls store/tiny --job other
run cairn cat store --key seven
run cairn "$(printf 'red\033[31m')"
run cairn --version
run cairn --help
run cairn help restore
run cairn ls --help
run cairn help help
run cairn help edit
run cairn help export
run cairn help import
run cairn help diff
run cairn help run
run cairn help list
run cairn help savepoint
run cairn top --json
run cairn help settings
