#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds Cairn and runs its tests. The last line is always "N passed, N failed": the cases of all test
# programs, counted from meson's own record. Exit status 0 only if something ran and nothing failed.
set -euo pipefail

usage()
{
    cat <<'END'
usage: tools/test.sh [--sanitize address|thread] [--suite NAME]... [--long] [--with-s3]
                     [--build DIR]

  --sanitize address  with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
  --sanitize thread   with ThreadSanitizer; suite unit only
  --suite NAME        only this suite (unit, cli, lint, install, crash, ...); may be repeated
  --long              the long suites (crash, fault, model, bench) in place of the ordinary ones
  --with-s3           install real S3 servers and run the suites that start them, s3 and s3-fault,
                      in place of the others
  --build DIR         build directory; else build, build-address, build-clang, ...

CC chooses the compiler, as usual.
END
}

root=$(cd "$(dirname "$0")/.." && pwd)
long_suites=(crash fault model bench)
sanitize=
long=false
with_s3=false
build=
suites=()
while [ $# -gt 0 ]; do
    case $1 in
    --sanitize=*) sanitize=${1#*=} ;;
    --sanitize) sanitize=${2:?--sanitize needs a value} && shift ;;
    --suite=*) suites+=("${1#*=}") ;;
    --suite) suites+=("${2:?--suite needs a value}") && shift ;;
    --build=*) build=${1#*=} ;;
    --build) build=${2:?--build needs a value} && shift ;;
    --long) long=true ;;
    --with-s3) with_s3=true ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done

setup_args=()
case $sanitize in
'') ;;
address) setup_args=("-Db_sanitize=address,undefined") ;;
thread) setup_args=(-Db_sanitize=thread) ;;
*) usage >&2 && exit 2 ;;
esac
compiler=$(basename "${CC:-}")
# The sanitizers' run-time libraries leave symbols open until the program is linked.
[ -z "$sanitize" ] || setup_args+=(-Db_lundef=false)
: "${build:=$root/build${compiler:+-$compiler}${sanitize:+-$sanitize}}"

# Which tests. Lint looks at the sources, so once, in the plain build, is enough.
select=()
if [ ${#suites[@]} -gt 0 ]; then
    for suite in "${suites[@]}"; do select+=(--suite "$suite"); done
elif $with_s3; then
    select=(--suite s3 --suite s3-fault)
elif [ "$sanitize" = thread ]; then
    select=(--suite unit)
elif $long; then
    for suite in "${long_suites[@]}"; do select+=(--suite "$suite"); done
else
    for suite in "${long_suites[@]}" s3 s3-fault; do select+=(--no-suite "$suite"); done
    [ -z "$sanitize" ] || select+=(--no-suite lint)
fi

give_up()
{
    echo "test: $1" >&2
    echo "0 passed, 1 failed"
    exit 1
}

setup_options=()
if $with_s3; then
    setup_options=(--with-s3)
    export CAIRN_REQUIRE_S3=1
fi
"$root/tools/setup.sh" "${setup_options[@]}" || give_up "the packages could not be installed"
cd "$root"
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "${setup_args[@]}" || give_up "the build could not be configured"
fi
ninja -C "$build" -j "$(nproc)" || give_up "the build failed"

export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=0:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:history_size=7:ignore_noninstrumented_modules=1:suppressions=$root/tools/lint/tsan.supp}
runner=()
slower=1
if [ -n "$sanitize" ]; then
    slower=4
    export CK_TIMEOUT_MULTIPLIER=4
fi
# ThreadSanitizer cannot place its shadow memory under some settings of address randomisation.
if [ "$sanitize" = thread ] && setarch "$(uname -m)" -R true 2>/dev/null; then
    runner=(setarch "$(uname -m)" -R)
fi
log=$build/meson-logs/testlog.json
rm -f "$log"
status=0
"${runner[@]}" meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier "$slower" \
    "${select[@]}" || status=$?
python3 tools/lint/count_results.py "$log" || status=1
exit "$status"
