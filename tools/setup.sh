#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is needed to build, test, demonstrate and measure Cairn on a Debian 12 that has
# nothing but apt. Does nothing, quickly, when all of it is there.
#
#   --with-s3  the S3 servers that tests/support/s3 runs, too: Ceph's and Swift's, and networks for them
set -euo pipefail

packages=(
    # to build
    gcc libc6-dev meson ninja-build pkg-config python3
    librocksdb-dev liblz4-dev libxxhash-dev libisal-dev libprotobuf-c-dev protobuf-c-compiler
    libjson-c-dev libmicrohttpd-dev libyaml-dev libcurl4-openssl-dev
    libexpat1-dev libssl-dev
    # to test and to check
    check clang clang-format cppcheck curl g++ libavro-dev libhiredis-dev mandoc patch prometheus
    redis-server shellcheck zsh
    # to demonstrate and to measure
    ca-certificates git gnuplot-nox
)
case ${1:-} in
'') ;;
--with-s3) packages+=(ceph-common ceph-mon ceph-osd iproute2 openssl radosgw
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

# Some packages bring a server, of which only the program is wanted: it is neither started now nor at the
# next boot. Debian asks policy-rc.d before it starts one.
policy=/usr/sbin/policy-rc.d
made_policy=false
clean_up()
{
    rm -f "$log"
    ! $made_policy || "${as_root[@]}" rm -f "$policy"
}
trap clean_up EXIT
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    made_policy=true
    "${as_root[@]}" chmod 755 "$policy"
fi
if ! { "${as_root[@]}" apt-get update &&
       "${as_root[@]}" apt-get install --yes --no-install-recommends "${missing[@]}"; } \
       >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get could not install: ${missing[*]}" >&2
    exit 1
fi
if [ -d /run/systemd/system ]; then
    for package in "${missing[@]}"; do
        case $package in
        prometheus | redis-server | swift-* | ceph-* | radosgw) "${as_root[@]}" systemctl disable --quiet "$package" || true ;;
        esac
    done
fi
