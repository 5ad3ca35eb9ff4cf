#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# on_s3.sh PROGRAM [ARGUMENT]...: runs the tool, make_store or a service with the stores in $IN, the directory of
# a transcript, named as a bucket that serve.c makes of it: what is written for directories is tried in a bucket.
# In the environment: IN, and S3_QUERY, what follows the '?'.
set -eu

# The URI of a path, in $uri. What is below $IN already, or no path, stays as it is.
uri_of()
{
    uri=$1
    case $1 in
    '' | s3:* | memory:* | gopher:* | *'?'* | /) return ;;
    file://*) uri=${1#file://} ;;
    esac
    case $uri in
    "$IN"/*) uri=${uri#"$IN"/} ;;
    /*)
        uri=$1
        return
        ;;
    esac
    case $uri in
    *[%\ ]*) uri=$(printf '%s' "$uri" | sed 's/%/%25/g; s/ /%20/g') ;;
    esac
    uri="s3://cairn/$uri?$S3_QUERY"
}

for name in CAIRN_STORE CAIRN_RESTORE_URI CAIRN_SAVEPOINT_URI; do
    eval "value=\${$name:-}"
    # shellcheck disable=SC2154 # eval sets it
    uri_of "$value"
    [ -z "$value" ] || export "$name=$uri"
done

program=$1
shift
case ${program##*/}:${1:-} in
make_store:newer) exec "$program" "$@" ;;
make_store:*)
    export MAKE_STORE_UNPACKED=1 # files by files, as in a directory
    uri_of "$1"
    shift
    exec "$program" "$uri" "$@"
    ;;
cli_service:*)
    [ -z "${CLI_SERVICE_STORE:-}" ] || exec "$program" "$@"
    uri_of "$1/store"
    CLI_SERVICE_STORE=$uri
    uri_of "$1/savepoints"
    export CLI_SERVICE_STORE CLI_SERVICE_SAVEPOINTS="$uri"
    exec "$program" "$@"
    ;;
cairn:*) ;;
*) exec "$program" "$@" ;;
esac

# Each argument goes to the end of the list, changed or not.
verb=${1:-}
left=$# words=0 first='' value_of=''
entries=false
for word; do
    case $word in
    -e | --entries) entries=true ;;
    --) break ;;
    esac
done
while [ "$left" -gt 0 ]; do
    word=$1
    shift
    left=$((left - 1))
    uri=$word
    if [ "$value_of" = command ]; then
        :
    elif [ -n "$value_of" ]; then
        case $verb:$value_of in
        edit:--to | convert:--to | import:--to | run:--store | run:--snapshot | run:-s) uri_of "$word" ;;
        check:--operators) [ ! -d "$word" ] || uri_of "$word" ;;
        esac
        value_of=
    else
        case $word in
        --) value_of='command' ;;
        --job | -j | --operator | -o | --state | --key | -k | --limit | -n | --to | --threads | --operators | \
            --type | -t | --status | --timeout | --interval | -i | --run-dir | --token-file | --backend | --format | --rename | --drop-operator | --drop-state | --max-parallelism | --store | \
            --snapshot | --claim-mode | --restart | --delay | --max-delay | --backoff | --reset-after) value_of=$word ;;
        -s) [ "$verb" = cancel ] || value_of=$word ;;
        -*) ;;
        *)
            words=$((words + 1))
            case $verb:$words in
            jobs:2 | ls:2 | inspect:2 | du:2 | diff:2 | verify:2 | explain:2 | cat:2 | gc:2 | restore:2 | check:2 | \
                export:2 | edit:2 | convert:2 | dispose:2 | store-test:2)
                first=$word
                uri_of "$word"
                ;;
            savepoint:2 | stop:2 | cancel:2) [ "$word" = orders ] || uri_of "$word" ;; # a job's name
            diff:3) if $entries && [ -d "$word" ]; then uri_of "$word"; fi ;;
            explain:3) case $word in "${first%/}"/* | "$IN"/*) uri_of "$word" ;; esac ;;
            esac
            ;;
        esac
    fi
    set -- "$@" "$uri"
done
exec "$program" "$@"
