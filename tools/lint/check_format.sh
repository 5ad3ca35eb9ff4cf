#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_format.sh ROOT: every source file stands as clang-format would have it. Headers are laid out by
# hand: their tables and comments are meant to be read.
set -eu
cd "$1"
find base backends engine examples manifest tests tools -name '*.c' -print0 |
    xargs -0 clang-format --dry-run -Werror --ferror-limit=3
