#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""screen.py ROWS COLUMNS COMMAND...: run a command in a terminal of that size, give it a moment, and press q.

Prints the last frame that it drew, without colours. A line that is wider than the terminal, or one more than it
has rows, would have wrapped or scrolled: that, and a command that q does not end with status 0, is said instead.
"""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

rows, columns = int(sys.argv[1]), int(sys.argv[2])
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
seen, pressed, deadline = b"", False, time.time() + 30
while time.time() < deadline:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            more = os.read(terminal, 65536)
        except OSError:
            break  # it has ended
        if not more:
            break
        seen += more
    if not pressed and seen.count(b"\033[J") >= 2:
        os.write(terminal, b"q")
        pressed = True
status = os.waitpid(pid, 0)[1]
frames = seen.decode().split("\033[H")
frame = re.sub(r"\033\[[?0-9;]*[A-Za-z]", "", frames[-1].split("\033[J")[0])
lines = frame.split("\r\n")[:-1] if "\r\n" in frame else frame.split("\n")[:-1]
lines = [line.rstrip("\r") for line in lines]
for line in lines:
    print(line)
if len(lines) >= rows:
    print(f"{len(lines)} lines on a screen of {rows}")
if any(len(line) > columns for line in lines):
    print(f"a line of {max(map(len, lines))} columns on a screen of {columns}")
if status != 0:
    print(f"q does not end it: wait status {status}")
