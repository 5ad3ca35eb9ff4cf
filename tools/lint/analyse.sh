#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# analyse.sh BUILD: cppcheck over every file of ours in BUILD/compile_commands.json. Last line
# "N passed, N failed", in files.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: analyse.sh BUILD}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The database without tests and generated code, and without what is compiled twice.
python3 - "$build/compile_commands.json" "$PWD" >"$work/commands.json" <<'END'
import json, os, sys
seen, kept = set(), []
for entry in json.load(open(sys.argv[1])):
    path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
    folder = os.path.relpath(path, sys.argv[2]).split("/")[0]
    if folder in ("base", "manifest", "backends", "engine", "tools", "examples") and path not in seen:
        seen.add(path)
        kept.append({**entry, "file": path})
json.dump(kept, sys.stdout)
END

# Left out is what cppcheck cannot know: that a cleanup attribute releases (LeakSanitizer watches that),
# that a function fills its output before it returns 0 (the compilers watch that), that readdir() of
# one directory by one thread is safe, that mmap() takes -1 for no file.
cppcheck --project="$work/commands.json" -j "$(nproc)" --quiet --inline-suppr \
    --enable=warning,portability --std=c11 --library=posix \
    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=preprocessorErrorDirective \
    --suppress=memleak --suppress=resourceLeak --suppress=uninitvar --suppress=legacyUninitvar \
    --suppress=readdirCalled --suppress=invalidFunctionArg --suppress=arrayIndexThenCheck \
    --template='{file}:{line}: {severity}: {message} [{id}]' 2>"$work/findings" || true
sort -u "$work/findings" | tee "$work/unique"
files=$(grep -o '"file"' "$work/commands.json" | wc -l)
bad=$({ grep -o '^[^:]*' "$work/unique" || true; } | sort -u | wc -l)
echo "$((files - bad)) passed, $bad failed"
[ "$bad" -eq 0 ]
