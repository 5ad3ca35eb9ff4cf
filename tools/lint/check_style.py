#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules that the formatter does not know: licence line, essay, sizes, comment form, no leftovers.

Usage: check_style.py [ROOT]
"""
import os
import re
import sys

FOLDERS = ["base", "backends", "engine", "examples", "include", "manifest", "tests", "tools"]
LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */"
MAX_FILE, MAX_FUNCTION = 600, 70
# Text of literals and comments is taken out before code is judged, character by character.
TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX)\b")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def long_functions(code):
    """A function's body stands between a '{' and a '}' in the first column."""
    start = None
    for number, line in enumerate(code.splitlines(), 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > MAX_FUNCTION:
                yield start, number - start - 1
            start = None


def check(path, text):
    lines = text.splitlines()
    is_source, is_test = path.endswith(".c"), path.startswith("tests/")
    if not lines or lines[0] != LICENCE:
        yield 1, "the first line must be the licence"
    if is_source and not re.search(r"/\*", "\n".join(lines[1:30])):
        yield 1, "a source file begins with what it is for"
    if is_source and not is_test and len(lines) > MAX_FILE:
        yield len(lines), f"{len(lines)} lines; a file has at most {MAX_FILE}"
    for match in TOKEN.finditer(text):
        if match.group(0).startswith("//"):
            yield text.count("\n", 0, match.start()) + 1, "// comment: use /* */"
    for match in LEFTOVER.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, f"{match.group(0)} left over"
    if is_source:
        for number, size in long_functions(TOKEN.sub(blank, text)):
            yield number, f"a function of {size} lines; at most {MAX_FUNCTION}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    problems, count = [], 0
    for top in FOLDERS:
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(n for n in names if n.endswith((".c", ".h"))):
                path = os.path.relpath(os.path.join(folder, name), root)
                count += 1
                with open(os.path.join(folder, name), encoding="utf-8") as text:
                    problems += [f"{path}:{n}: {what}" for n, what in check(path, text.read())]
    print("\n".join(problems) if problems else f"{count} files keep to the style")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
