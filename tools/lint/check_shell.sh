#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_shell.sh ROOT: shellcheck over every script, by its extension or its first line.
set -eu
cd "$1"
{
    find .ci tools tests examples -name '*.sh'
    grep -rlE '^#!.*\b(ba)?sh$' .ci tools tests examples
} | sort -u | xargs shellcheck
