#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library exports what its headers declare and what include/cairn/cairn.sym lists: nothing more,
nothing less. So a new export is a line in a reviewed file.

Usage: check_symbols.py LIBCAIRN.SO ROOT
"""
import os
import re
import subprocess
import sys

DECLARATION = re.compile(r"^CAIRN_API\b[^;{]*?\b(cairn_\w+)\s*\(", re.MULTILINE)


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", library],
                         check=True, capture_output=True, text=True).stdout
    return {line.split()[0].split("@")[0] for line in out.splitlines() if line.strip()}


def declared(root):
    names = set()
    for header in ("cairn.h", "inspect.h", "store.h", "writer.h", "schema.h", "savepoint.h",
                   "gate.h", "s3.h", "settings.h", "sink.h", "cluster.h"):
        with open(os.path.join(root, "include/cairn", header), encoding="utf-8") as text:
            code = re.sub(r"/\*.*?\*/", "", text.read(), flags=re.DOTALL)
            names |= set(DECLARATION.findall(code))
    return names


def listed(root):
    with open(os.path.join(root, "include/cairn/cairn.sym"), encoding="utf-8") as text:
        lines = [l.strip() for l in text if l.strip() and not l.startswith("#")]
    return lines, set(lines)


def main():
    library, root = sys.argv[1:3]
    lines, symbols = listed(root)
    exports, names = exported(library), declared(root)
    problems = []
    if lines != sorted(symbols):
        problems.append("include/cairn/cairn.sym: not sorted, or a name twice")
    for name in sorted(exports | names | symbols):
        missing = [what for what, group in (("exported by the library", exports),
                                            ("declared in a public header", names),
                                            ("listed in include/cairn/cairn.sym", symbols))
                   if name not in group]
        if missing:
            problems.append(f"{name}: not {', not '.join(missing)}")
    print("\n".join(problems) if problems else f"{len(exports)} symbols, all of them public")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
