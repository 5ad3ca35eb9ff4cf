#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual of the tool has every verb, every option and every error that the sources have.

Usage: check_manual.py ROOT
"""
import os
import re
import sys

CLASSES = {"INTERNAL": "1", "CALLER": "2", "STATE": "3", "DATA": "4", "RETRY": "5", "LOCAL": "6"}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as text:
        return text.read()


def main():
    root = sys.argv[1]
    manual = read(root, "docs/man/cairn.1")
    header = read(root, "include/cairn/cairn.h")
    verbs = re.findall(r'^    {"([\w-]+)", "', read(root, "tools/cli/verbs.c"), re.MULTILINE)
    options = re.findall(r'^    {CLI_\w+, "([\w-]+)"', read(root, "tools/cli/args.c"), re.MULTILINE)
    errors = {(name, CLASSES[cls], text) for name, cls, text in
              re.findall(r'X\((\w+), \d+, (\w+), "([^"]+)"\)', header)}
    listed = set(re.findall(r"^\.It CAIRN_(\w+) Ta (\d) Ta (.+)$", manual, re.MULTILINE))

    problems = [f"verb {v} is not in the manual" for v in verbs
                if not re.search(rf"^\.It Cm {v}\b", manual, re.MULTILINE)]
    problems += [f"option --{o} is not in the manual" for o in options
                 if not re.search(rf"^\.It.*Fl.*(?<![\w-])-{re.escape(o)}(?![\w-])", manual,
                                  re.MULTILINE)]
    problems += [f"error CAIRN_{e[0]} is not as in cairn.h" for e in sorted(errors ^ listed)]
    if not verbs or not options or not errors:
        problems.append("the sources could not be read")
    print("\n".join(problems) if problems else
          f"{len(verbs)} verbs, {len(options)} options, {len(errors)} errors")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
