# SPDX-License-Identifier: Apache-2.0
"""type.py SHELL SCRIPT LINE...: types each line, with a tab for every '<TAB>', into an interactive shell that has
loaded a completion script, and prints the arguments with which the command was then run, or nothing else than what
the shell itself has printed by mistake. `cairn` is $CAIRN for completion, and prints its arguments otherwise."""
import os, pty, re, select, sys, time

shell, script, lines = sys.argv[1], sys.argv[2], sys.argv[3:]
home = os.path.abspath("typing")
os.makedirs(home + "/bin", exist_ok=True)
with open(home + "/bin/cairn", "w", encoding="utf-8") as f:
    f.write('#!/bin/sh\n[ "$1" != __complete ] || exec "$CAIRN" "$@"\n'
            'printf "ARGS:"; for a; do printf " [%s]" "$a"; done; printf "\\n"\n')
os.chmod(home + "/bin/cairn", 0o755)
start = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}[shell]
# The echo of these must not look like the prompt.
setup = {
    "bash": f"PS1='REA''DY> '; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; . '{script}'",
    "zsh": f"PS1='REA''DY> '; unsetopt zle_bracketed_paste prompt_cr beep; unset zle_bracketed_paste; "
           f"fpath=('{os.path.dirname(script)}' $fpath); autoload -Uz compinit; compinit -u -d '{home}/dump'",
}[shell]
env = dict(os.environ, PATH=home + "/bin:" + os.environ["PATH"], TERM="dumb", HOME=home, HISTFILE="/dev/null")
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(start[0], start, env)
text = ""


def read_until(what, seconds=15.0, quiet=None):
    """Until the text ends with what; or, with quiet, until nothing came for so long."""
    global text
    end = time.monotonic() + seconds
    last = time.monotonic()
    while time.monotonic() < end:
        if quiet is None and re.search(what + r"$", text):
            return
        if quiet is not None and time.monotonic() - last > quiet:
            return
        if select.select([fd], [], [], 0.05)[0]:
            try:
                text += os.read(fd, 65536).decode("utf-8", "replace")
            except OSError:
                return
            last = time.monotonic()
    if quiet is None:
        print(f"{shell}: nothing like {what!r} came: {text[-300:]!r}")
        sys.exit(99)


def read_answer():
    """What comes of a tab: something, and then nothing more; or nothing at all."""
    global text
    if select.select([fd], [], [], 5.0)[0]:
        text += os.read(fd, 65536).decode("utf-8", "replace")
        read_until("", quiet=0.5)


read_until(r"[$#%>] ", quiet=2.0)
os.write(fd, (setup + "\n").encode())
read_until("READY> ", seconds=30.0)
for line in lines:
    for part in re.split("(<TAB>)", line):
        os.write(fd, b"\t" if part == "<TAB>" else part.encode())
        text = ""
        read_until("", quiet=0.2) if part != "<TAB>" else read_answer()
    text = ""
    os.write(fd, b"\n")
    read_until("READY> ")
    found = re.search(r"ARGS:(.*)", text)
    # Whether '/' stays behind a directory is each shell's own.
    print(line, "->", found.group(1).strip().replace("/]", "]") if found else repr(text))
os.write(fd, b"exit\n")
