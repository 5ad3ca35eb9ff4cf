#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom. Layers: base < {manifest, backends/storage, backends/state} < engine < tools.

Usage: check_includes.py [ROOT]
"""
import os
import re
import sys

# Longest prefix of a file's path -> prefixes that its "quoted" includes may have.
ALLOWED = {
    "include/": ["cairn/"],
    "base/": ["base/", "cairn/"],
    "manifest/": ["manifest/", "base/", "cairn/"],
    "backends/storage/": ["backends/storage/", "base/", "cairn/"],
    "backends/state/": ["backends/state/", "base/", "cairn/"],
    "engine/": ["engine/", "backends/", "manifest/", "base/", "cairn/"],
    "tools/": ["tools/", "cairn/"],
    "examples/": ["cairn/"],
    "examples/cluster/": ["examples/cluster/", "cairn/"],
    "examples/pipeline/": ["examples/pipeline/", "cairn/"],
    "tests/": [""],
    "tests/headers/": ["cairn/"],
    "tests/install/": ["cairn/"],
}
# System headers that only some files may include.
ONLY_IN = {
    "rocksdb/": [r"backends/state/rocksdb\w*\.[ch]", r"tools/bench/", r"tests/"],
    "json-c/": [r"engine/serializers/", r"tools/", r"tests/"],
    "yaml.h": [r"engine/settings/", r"tests/"],
    "hiredis/": [r"examples/redis-"],
    "microhttpd.h": [r"engine/control/"],
    "check.h": [r"tests/"],
    "protobuf-c/": [r"manifest/", r"tests/"],
    "lz4": [r"manifest/", r"backends/", r"engine/", r"tests/"],
}
# The manifest layer decides and never acts: no files, no clock, no threads.
IMPURE = {"manifest/": ["fcntl.h", "pthread.h", "stdatomic.h", "sys/", "time.h", "unistd.h"]}
# The public headers stand alone.
PUBLIC_SYSTEM = ["stddef.h", "stdint.h"]

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def layer_of(path):
    return max((p for p in ALLOWED if path.startswith(p)), key=len, default=None)


def check_quoted(root, path, name):
    if name.endswith(".pb-c.h"):  # generated: the one header that is not in the tree
        return None if path.startswith("manifest/") else f'may not include "{name}"'
    if ".." in name.split("/") or "/" not in name:
        return f'"{name}" must be a path from the root of the project'
    if not any(name.startswith(p) for p in ALLOWED[layer_of(path)]):
        return f'may not include "{name}"'
    places = [name, os.path.join("include", name)]
    if not any(os.path.exists(os.path.join(root, p)) for p in places):
        return f'"{name}" does not exist'
    return None


def check_system(path, name):
    for prefix, where in ONLY_IN.items():
        if name.startswith(prefix) and not any(re.match(w, path) for w in where):
            return f"may not include <{name}>"
    for layer, headers in IMPURE.items():
        if path.startswith(layer) and any(name.startswith(h) for h in headers):
            return f"is pure and may not include <{name}>"
    if path.startswith("include/") and name not in PUBLIC_SYSTEM:
        return f"a public header may not include <{name}>"
    return None


def check_file(root, path):
    problems = []
    with open(os.path.join(root, path), encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quote, name = match.groups()
            problem = check_quoted(root, path, name) if quote == '"' else check_system(path, name)
            if problem:
                problems.append(f"{path}:{number}: {problem}")
    return problems


def sources(root):
    for top in sorted({p.split("/")[0] for p in ALLOWED}):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    files = list(sources(root))
    problems = [p for path in files for p in check_file(root, path)]
    print("\n".join(problems) if problems else f"{len(files)} files include what they may")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
