# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Colours are for terminals only, and not for those who do not want them.
if ! script --quiet --return --command true /dev/null >/dev/null 2>&1; then
    echo "skipped: no pseudo-terminals here" >&2
    exit 77
fi
make_store store shop
in_terminal()
{
    script --quiet --return --command "$*" /dev/null | tr -d '\r' | cat -v
}
run in_terminal "$CAIRN" ls store
run in_terminal env NO_COLOR=1 "$CAIRN" ls store
run in_terminal env TERM=dumb "$CAIRN" ls store
run in_terminal env NO_COLOR= "$CAIRN" verify store
