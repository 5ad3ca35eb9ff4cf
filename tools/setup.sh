#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is needed to build, test, demonstrate and measure Cairn on a Debian 12 that has
# nothing but apt. Does nothing, quickly, when all of it is there.
#
#   --with-s3  the S3 servers that tests/support/s3 runs, too: Ceph's and Swift's
set -euo pipefail

packages=(
    # to build
    gcc libc6-dev meson ninja-build pkg-config python3
    librocksdb-dev liblz4-dev libxxhash-dev libisal-dev libprotobuf-c-dev protobuf-c-compiler
    libjson-c-dev libmicrohttpd-dev libyaml-dev libcurl4-openssl-dev
    libexpat1-dev libssl-dev
    # to test and to check
    check clang clang-format cppcheck curl g++ libavro-dev libhiredis-dev mandoc prometheus
    redis-server shellcheck
    # to demonstrate and to measure
    ca-certificates git gnuplot-nox
)
case ${1:-} in
'') ;;
--with-s3) packages+=(ceph-common ceph-mon ceph-osd openssl radosgw
    swift-account swift-container swift-object swift-proxy) ;;
*) echo "usage: tools/setup.sh [--with-s3]" >&2 && exit 2 ;;
esac

if [ ! -e /etc/debian_version ] || ! command -v dpkg-query apt-get >/dev/null; then
    echo "setup: this is not Debian; install the equivalents of: ${packages[*]}" >&2
    exit 1
fi

# One question for all of them; packages that dpkg has never heard of are not in its answer.
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
    case $'\n'$installed$'\n' in
    *$'\n'"$package installed"$'\n'*) ;;
    *) missing+=("$package") ;;
    esac
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "setup: all ${#packages[@]} packages are installed"
    exit 0
fi

echo "setup: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: run this as root, or install sudo" >&2
        exit 1
    fi
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update &&
       "${as_root[@]}" apt-get install --yes --no-install-recommends "${missing[@]}"; } \
       >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get could not install: ${missing[*]}" >&2
    exit 1
fi
