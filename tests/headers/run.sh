#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh SOURCE_ROOT: each public header compiles alone, twice over, as strict C99 and as C++, with
# every compiler that is here; and the options' initialisers work in both languages. TAP on stdout.
set -u
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strict='-pedantic-errors -Wall -Wextra -Wundef -Wshadow -Wconversion -Werror'
n=0

# result NAME COMMAND...: one test case; what the command says becomes its diagnostics.
result()
{
    name=$1
    shift
    n=$((n + 1))
    if "$@" >"$work/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$work/log"
    fi
}

for header in cairn savepoint schema inspect writer store; do
    printf '#include "cairn/%s.h"\n#include "cairn/%s.h"\n' $header $header >"$work/$header.c"
done
for compiler in gcc clang g++ clang++; do
    command -v $compiler >/dev/null || continue
    case $compiler in
    *++) language='-x c++ -std=c++11' ;;
    *) language='-x c -std=c99 -Wstrict-prototypes' ;;
    esac
    for header in cairn savepoint schema inspect writer store; do
        # shellcheck disable=SC2086 # lists of options
        result "$header.h alone, $compiler" $compiler $language $strict -fsyntax-only -I"$root/include" \
            "$work/$header.c"
    done
    # shellcheck disable=SC2086
    result "initialisers compile, $compiler" $compiler $language $strict -I"$root/include" \
        -o "$work/options" "$root/tests/headers/options.c"
    result "initialisers tell sizes, $compiler" "$work/options"
    rm -f "$work/options"
done
echo "1..$n"
