#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILD_DIR SOURCE_ROOT: installs Cairn to a directory of its own and uses it as a stranger would,
# from there: by pkg-config, as a shared and as a static library, from C and C++; then the installed tool.
# Programs: use.c here, and the smallest example. TAP on stdout.
set -u
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

# result NAME COMMAND...: one test case; what the command says becomes its diagnostics.
result()
{
    local name=$1
    shift
    n=$((n + 1))
    if "$@" >"$work/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$work/log"
    fi
}

cd "$work" || exit 1
result "meson install" env DESTDIR="$work/root" meson install -C "$build" --no-rebuild --quiet
pc=$(find "$work/root" -name cairn.pc)
result "there is a cairn.pc" test -n "$pc"
prefix=$(dirname "$(dirname "$(dirname "$pc")")")
case $prefix in */lib) prefix=$(dirname "$prefix") ;; esac # lib/<machine>/pkgconfig
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=$libdir/pkgconfig
config()
{
    pkg-config --define-variable=prefix="$prefix" "$@" cairn
}
result "pkg-config knows it" config --exists
read -r -a cflags <<<"$(config --cflags)"
read -r -a shared <<<"$(config --libs)"
read -r -a static <<<"$(config --static --libs)"
# Ours statically, the rest as pkg-config has it.
static=("${static[@]/#-lcairn/$libdir/libcairn.a}")
strict=(-Wall -Wextra -Werror)

for program in "$source/tests/install/use.c" "$source/examples/quickstart.c"; do
    name=$(basename "$program" .c)
    result "$name, shared" cc "${strict[@]}" -o "$name-shared" "$program" "${cflags[@]}" "${shared[@]}"
    result "$name, static" cc "${strict[@]}" -o "$name-static" "$program" "${cflags[@]}" "${static[@]}"
done
result "use, C++" c++ -x c++ "${strict[@]}" -o use-cpp "$source/tests/install/use.c" "${cflags[@]}" \
    -x none "${shared[@]}"

export LD_LIBRARY_PATH=$libdir
for kind in shared cpp; do
    result "use-$kind runs" "./use-$kind" "store-$kind" "local-$kind"
done
result "quickstart-shared runs" ./quickstart-shared quick-shared
unset LD_LIBRARY_PATH
result "use-static does not need libcairn.so" bash -c '! ldd use-static | grep -q libcairn'
result "use-static runs without the shared library" ./use-static store-static local-static
result "quickstart-static runs" ./quickstart-static quick-static
result "the tool finds its library and looks at what they stored" "$prefix/bin/cairn" verify --full store-static
result "completion for bash is where bash looks" \
    bash -c ". '$prefix/share/bash-completion/completions/cairn' && complete -p cairn"
result "completion for zsh is there" test -s "$prefix/share/zsh/site-functions/_cairn"
result "the manual is there" test -s "$prefix/share/man/man1/cairn.1"
result "nothing was written outside the prefix" \
    test -z "$(find "$work/root" -type f ! -path "$prefix/*")"
result "every public header" test "$(find "$prefix/include" -type f | wc -l)" -eq "$(find "$source/include" -name "*.h" | wc -l)"
echo "1..$n"
