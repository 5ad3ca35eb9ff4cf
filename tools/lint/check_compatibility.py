#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each cell of the table in docs/compatibility.md has a mark, and a test that its row's paragraph names.

Usage: check_compatibility.py ROOT

A cell's test is test_<column>_<row>, after the `code` words of the table. It must stand in the
section of the row, and be defined, and run by a case, in one of tests/test_*.c.
"""
import glob
import os
import re
import sys

PAGE = "docs/compatibility.md"
MARKS = "✓✗"


def table_of(page):
    """Names of the columns that have one, and rows as (name, cells)."""
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    names = [re.findall(r"`(\w+)`", cell) for cell in lines[0]] if lines else []
    columns = {i: found[0] for i, found in enumerate(names) if found}
    rows = [(re.findall(r"`(\w+)`", cells[0]), cells) for cells in lines[2:]]
    return columns, rows


def sections_of(page):
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def tests_of(root):
    """Names of the tests that are defined, and of those that are used behind their definition."""
    defined, used = set(), set()
    for path in glob.glob(os.path.join(root, "tests/test_*.c")):
        with open(path, encoding="utf-8") as source:
            text = source.read()
        here = set(re.findall(r"^START_TEST\((\w+)\)", text, re.MULTILINE))
        defined |= here
        used |= {name for name in here if len(re.findall(rf"\b{name}\b", text)) > 1}
    return defined, used


def main():
    root = sys.argv[1]
    with open(os.path.join(root, PAGE), encoding="utf-8") as source:
        page = source.read()
    columns, rows = table_of(page)
    sections = sections_of(page)
    defined, used = tests_of(root)
    problems, cells = [], 0
    for names, row in rows:
        if len(names) != 1:
            problems.append(f"a row has {len(names)} names: {row[0].strip()}")
            continue
        for i, column in columns.items():
            test = f"test_{column}_{names[0]}"
            cells += 1
            if i >= len(row) or not row[i].strip() or row[i].strip()[0] not in MARKS:
                problems.append(f"{names[0]}: column {column} has no mark")
            if not re.search(rf"`{test}`", sections.get(names[0], "")):
                problems.append(f"section {names[0]} does not name {test}")
    problems += [f"{test} does not exist" for test in sorted(set(re.findall(r"`(test_\w+)`", page)))
                 if test not in defined]
    problems += [f"{test} is not run" for test in sorted(set(re.findall(r"`(test_\w+)`", page)))
                 if test in defined - used]
    if not columns or not rows:
        problems.append("the table could not be read")
    print("\n".join(f"{PAGE}: {p}" for p in problems) if problems else
          f"{cells} cells, each with a test")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
