# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# Colours are for terminals only, and not for those who do not want them.
make_store store shop
in_terminal()
{
    script --quiet --return --command "$*" /dev/null | tr -d '\r' | cat -v
}
run in_terminal "$CAIRN" ls store
run in_terminal env NO_COLOR=1 "$CAIRN" ls store
run in_terminal env TERM=dumb "$CAIRN" ls store
run in_terminal env NO_COLOR= "$CAIRN" verify store
