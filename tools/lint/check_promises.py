#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each promise P1..P11 is cited by at least one test, and nothing cites a promise that does not exist.

Usage: check_promises.py [ROOT]
"""
import os
import re
import sys

PROMISES = range(1, 12)
CITED = re.compile(r"\bP([0-9]{1,2})\b")
COMMENT = re.compile(r"/\*.*?\*/|^\s*#[^\n]*", re.DOTALL | re.MULTILINE)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    where = {}
    for folder, _, names in os.walk(os.path.join(root, "tests")):
        for name in sorted(n for n in names if n.endswith((".c", ".sh"))):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as text:
                for comment in COMMENT.findall(text.read()):
                    for number in CITED.findall(comment):
                        where.setdefault(int(number), set()).add(os.path.relpath(path, root))
    problems = [f"P{n}: no test cites it" for n in PROMISES if n not in where]
    problems += [f"P{n}: no such promise, cited in {', '.join(sorted(where[n]))}"
                 for n in sorted(where) if n not in PROMISES]
    for n in PROMISES:
        print(f"P{n:<3} {', '.join(sorted(where.get(n, [])))}")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
