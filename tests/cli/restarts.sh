# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2016
# `cairn run`: what a service gets, when it is started again and when not, who gets which signal, and what is left
# when this command is killed. The services are small shell scripts; examples/ has real ones.

# What this command says, without what varies; then what the service did.
supervised()
{
    echo "\$ cairn run $*"
    status=0
    "$CAIRN" run "$@" >out 2>log || status=$?
    show "$status"
}
show()
{
    sed -E 's/process [0-9]+/process <pid>/; s/after [0-9.]+ (us|ms|s)\b/after <t>/; s/ in [0-9.]+ (us|ms|s)$/ in <t>/' log
    cat out
    echo "# exit $1"
}
# in_background ARGUMENT...: leaves its process in $pid and waits for the service, which makes the file "ready".
in_background()
{
    rm -f ready
    echo "\$ cairn run $* &"
    "$CAIRN" run "$@" >out 2>log &
    pid=$!
    await ready
}
await()
{
    for _ in $(seq 2000); do
        [ -s "$1" ] && return
        sleep 0.01
    done
    echo "gave up waiting for $1: $(cat log)" >&2
    exit 99
}
ended()
{
    status=0
    wait "$pid" || status=$?
    show "$status"
}
# A script that does the n-th of its arguments when it is started for the n-th time.
turns()
{
    cat >turns.sh <<'END'
#!/bin/sh
n=$(($(cat turn 2>/dev/null || echo 0) + 1))
echo "$n" >turn
[ "$n" -le $# ] || exit 99
eval "eval \"\${$n}\""
END
    chmod +x turns.sh
    rm -f turn
}

# --- what is started, and how often ---
turns
supervised -- ./turns.sh 'exit 0'
turns
supervised --delay 10ms -- ./turns.sh 'exit 3' 'kill -SEGV $$' 'exit 0'
turns
supervised --backoff fixed --delay 0 --restart 2 -- ./turns.sh 'exit 1' 'exit 1' 'kill -KILL $$'
turns
supervised --restart none -- ./turns.sh 'exit 41'
turns
supervised --restart none -- ./turns.sh 'kill -TERM $$'
# A run that lasts long enough begins the row anew: with one restart in a row, two are made.
turns
supervised --restart 1 --backoff fixed --delay 1ms --reset-after 1s -- ./turns.sh 'sleep 1; exit 1' \
    'sleep 1; exit 1' 'exit 7' 'exit 8'
# The program is gone when it is to be started again.
cp turns.sh gone.sh
turns
supervised --backoff fixed --delay 1ms --restart 2 -- ./gone.sh 'rm gone.sh; exit 1'
# Options behind -- are the service's.
supervised --restart none -- sh -c 'echo "$0 $*"' --restart -s --help

# --- what a service gets ---
make_store store tiny
unset CAIRN_RUN_DIR
variables='env | grep ^CAIRN_ | sed "s|$PWD|HERE|" | sort'
export CAIRN_LOG_LEVEL=debug
supervised --store snapshots -s store/tiny -n -- sh -c "$variables"
supervised --store file:///nowhere/snapshots --snapshot store/tiny/MANIFEST-chk2 --claim-mode legacy -- sh -c "$variables"
CAIRN_RESTORE_URI=/srv/savepoint supervised -- sh -c "$variables"
supervised -- sh -c "$variables"
unset CAIRN_LOG_LEVEL

# --- what is refused before anything is started ---
run cairn run
run cairn run --
run cairn run ./service
run cairn run -- ''
run cairn run -- ./absent
run cairn run -- ./turns.sh/x
run cairn run -s store/tiny -- true
export CAIRN_STORE=store
run cairn run -s store/absent -- true
run cairn run -s store/absent --claim-mode claim -- true
run cairn run -s store -- true
run cairn run -s store/tiny/MANIFEST-chk99 -- true
run cairn run --claim-mode claim -- true
run cairn run -s store/tiny --claim-mode mine -- true
run cairn run --restart -1 -- true
run cairn run --restart 18446744073709551616 -- true
run cairn run --delay 10 -- true
run cairn run --delay 1000001h -- true
run cairn run --backoff linear -- true
run cairn run --backoff fixed --max-delay 1s -- true
run cairn run --max-delay 10ms -- true
run cairn run --delay 0 -- true
run cairn run --reset-after 0 -- true
run env CAIRN_LOG_LEVEL=loud "$CAIRN" run -- true
run env CAIRN_RESTORE_EMPTY=true "$CAIRN" run -- true
run env CAIRN_RESTORE_CHECKPOINT=3 "$CAIRN" run -- true
run env CAIRN_RESTORE_EMPTY=true "$CAIRN" run --restart none -- true 2>/dev/null
flip store/tiny/MANIFEST-chk2 40
run cairn run -s store/tiny/MANIFEST-chk2 -- true
unset CAIRN_STORE

# --- signals ---
loop='echo $$ >ready; while :; do sleep 0.01; done'
in_background -- sh -c "trap 'exit 5' TERM; $loop"
kill -TERM $pid
ended
in_background -- sh -c "$loop"
kill -TERM $pid
ended
# Of those that are no end the service hears, and goes on; its own end afterwards is a crash.
in_background --restart 1 --backoff fixed --delay 1h -- sh -c "
    trap 'echo >usr1' USR1; trap 'echo >usr2' USR2; trap 'echo >hup' HUP; trap 'exit 6' ALRM; $loop"
for name in USR1 USR2 HUP; do
    kill -$name $pid
    await "$(echo $name | tr '[:upper:]' '[:lower:]')"
done
kill -ALRM "$(cat ready)"
while ! grep -q restart log; do sleep 0.01; done
kill -TERM $pid # while nothing runs
ended
# A hang-up that the service dies of is no crash.
in_background -- sh -c "$loop"
kill -HUP $pid
ended
# What is ignored stays ignored.
(trap '' HUP; in_background -- sh -c "trap 'exit 0' TERM; $loop"; kill -HUP $pid; sleep 0.1; kill -TERM $pid; ended)
# Killed without a word: the service is told to end, and does not stay behind.
in_background -- sh -c "trap 'echo >told; exit' TERM; $loop"
kill -KILL $pid
await told
status=0
wait $pid || status=$?
echo "# killed: $status"

# A terminal's ^C reaches the service once, and it is nothing to be started again after.
cat >terminal.py <<'END'
import os, pty, re, sys, time
service = r'''
import os, signal, time
count = 0
def on_int(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, on_int)
print("ready", flush=True)
end = time.monotonic() + 10
while not count and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.2)
print("interrupts:", count, flush=True)
raise SystemExit(9)
'''
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["cairn", "run", "--", sys.executable, "-c", service])
text = b""
sent = False
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    text += data
    if b"ready" in text and not sent:
        sent = True
        os.write(fd, b"\x03")
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
for line in text.decode().replace("^C", "").splitlines():
    line = re.sub(r"process \d+", "process <pid>", re.sub(r"'[^']*python[^']*'", "'python'", line))
    print(re.sub(r"after [0-9.]+ \w+", "after <t>", line))
print("# exit", status)
END
echo '$ cairn run -- python   # and ^C'
python3 terminal.py "$CAIRN"
