# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2016
# `cairn run -s SNAPSHOT`: what each start goes on from. The service's state is one number, which it says when it
# begins; turns.sh makes it do something else at each start. The snapshot has 100, and the job, where it has
# checkpoints of its own from before, 7.

# orders ACTION...: the job "orders", on its own.
orders()
{
    CAIRN_STORE=store CAIRN_CHECKPOINT_RETAINED=3 "$SERVICE" orders "$@"
}
# A script that does the n-th of its arguments when it is started for the n-th time.
cat >turns.sh <<'END'
#!/bin/sh
n=$(($(cat turn 2>/dev/null || echo 0) + 1))
echo "$n" >turn
[ "$n" -le $# ] || exit 99
eval "eval \"\${$n}\""
END
chmod +x turns.sh
s='exec "$SERVICE" orders'
# supervised OPTION... -- TURN...
supervised()
{
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    rm -f turn
    echo "\$ cairn run$options -- ./turns.sh $(for turn; do echo "'$turn'"; done | tr '\n' ' ')"
    status=0
    # shellcheck disable=SC2086,SC2046
    "$CAIRN" run --backoff fixed --delay 1ms --restart 9 $options -- ./turns.sh "$@" >log 2>&1 || status=$?
    sed -E "s/process [0-9]+/process <pid>/; s/after [0-9.]+ (us|ms|s)\b/after <t>/; s/ in [0-9.]+ (us|ms|s)$/ in <t>/
        /runs as process/d; /^Killed$/d; s/ of 9 in/ in/" log
    echo "# exit $status"
}
# A new store; with "7": the job has checkpoints of its own.
anew()
{
    rm -rf store local-* snapshot source .closed
    CAIRN_STORE=source "$SERVICE" source +100 checkpoint >/dev/null
    cairn convert --to snapshot source >/dev/null
    [ "${1:-}" != 7 ] || orders +3 checkpoint +4 checkpoint >/dev/null
}

# --- crashes before and after the first checkpoint ---
anew
supervised --store store -s snapshot -- "$s +1 kill" "$s +1 kill" "$s +1 checkpoint +1 kill" "$s +1 3" "$s +1 checkpoint 4" "$s 0"
# The same, though the job has older checkpoints of its own.
anew 7
supervised --store store -s snapshot -- "$s +1 kill" "$s +1 checkpoint +1 kill" "$s 0"
# And the same command again: from the snapshot again.
supervised --store store -s snapshot -- "$s +1 kill" "$s 0"
# Dead before it has begun; the store is in the settings file.
anew 7
echo 'store: store' >settings.yaml
export CAIRN_SETTINGS=settings.yaml
supervised -s snapshot -- 'exit 5' "$s begin kill" "$s 0"
unset CAIRN_SETTINGS
# A script stands between us and the service.
s='"$SERVICE" orders'
anew 7
supervised --store store -s snapshot -- "$s kill; exit 9" "$s +1 checkpoint kill; exit 9" "$s 0"
s='exec "$SERVICE" orders'

# --- whose the snapshot is then ---
for mode in claim legacy; do
    anew 7
    supervised --store store -s snapshot --claim-mode $mode -- "$s begin kill" "$s +1 kill" "$s checkpoint"
    if [ -e snapshot ]; then echo "# the snapshot is there"; else echo "# the snapshot is gone"; fi
done
# What it was copied to is long gone when the service crashes, and a script is in between.
for mode in claim legacy; do
    anew 7
    CAIRN_CHECKPOINT_RETAINED=1 supervised --store store -s snapshot --claim-mode $mode -- \
        "$(echo "$s" | sed s/exec//) $(for _ in $(seq 70); do echo +1 checkpoint; done | tr '\n' ' ') kill; exit 9" \
        "$s 0" | sed '/^\$/d'
done
supervised --store store -s absent --claim-mode claim -- "$s 0"
# Back to an older checkpoint of the job's own.
anew 7
supervised --store store -s store/orders/MANIFEST-chk2 -- "$s kill" "$s kill" "$s +1 checkpoint kill" "$s 0"

# --- others in the same store ---
# Other jobs begin, and have new checkpoints: one by itself, one from the same snapshot.
anew 7
other='CAIRN_RESTORE_URI=$1 "$SERVICE" $2 +1 checkpoint >/dev/null'
echo "$other" >other.sh
CAIRN_STORE=store "$SERVICE" plain +1 checkpoint >/dev/null
supervised --store store -s snapshot -- 'env -u CAIRN_RESTORE_URI -u CAIRN_RESTORE_CLAIM_MODE "$SERVICE" plain +1 checkpoint; exit 1' "$s 0"
anew 7
supervised --store store -s snapshot -- 'sh other.sh "$PWD/snapshot" other; '"$s kill" "$s 0"
# An earlier process of the job commits a last checkpoint before it is fenced off: that is none since.
anew 7
: >said
CAIRN_STORE=store CAIRN_LOCAL_DIR=local-earlier CAIRN_CONTROL_LISTEN=unix "$SERVICE" orders serve >said 2>&1 &
earlier=$!
until grep -q serves said; do
    kill -0 $earlier || { cat said; exit 99; }
    sleep 0.02
done
supervised --store store -s snapshot -- '"$CAIRN" checkpoint orders >/dev/null && exit 1' "$s 0"
kill -KILL $earlier
wait $earlier 2>/dev/null

# --- what cannot be told ---
anew 7
hide='mv store hidden; echo x >store'
show='rm store; mv hidden store'
if [ -n "${S3_SERVE:-}" ]; then
    hide='touch .closed' # see fake_directory.c
    show='rm .closed'
fi
supervised --store store --restart 2 -s snapshot -- "$hide; exit 6" 'echo never'
# It is asked again: how often is for the clock to say.
anew 7
supervised --store store --delay 100ms --restart 99 -s snapshot -- "$hide; (sleep 0.3; $show) & exit 6" "$s 0" |
    sed -E '/not started yet/d; s/restart 1 of .*/restart/'
# Not once it is settled.
anew 7
supervised --store store -s snapshot -- "$s +1 checkpoint 1" "$hide; exit 1" "$show; $s 0"
# Damage to what came since.
anew
supervised --store store --restart 2 -s snapshot -- \
    "$(echo "$s" | sed s/exec//)"' +1 checkpoint; for f in store/orders/MANIFEST-*; do echo x >$f; done; exit 6'

# --- what else says what to start from ---
anew 7
CAIRN_RESTORE_URI=/nowhere CAIRN_RESTORE_EMPTY=true CAIRN_RESTORE_ONLY_IF_NEW=true supervised --store store -s snapshot -- "$s 0"
echo 'restore: {uri: /srv/savepoint}' >settings.yaml
CAIRN_SETTINGS=settings.yaml supervised --store store -s snapshot -- "$s 0"
supervised -s snapshot -- "$s 0"
supervised -s snapshot --store store/orders -- "$s 0"
supervised -s snapshot --restart none -- 'CAIRN_STORE=store; export CAIRN_STORE; '"$s 0"
# From the settings it is for a job without checkpoints of its own.
CAIRN_RESTORE_URI=$PWD/snapshot supervised --store store -- "$s kill" "$s 0"

# --- an end by order is none to start again after ---
anew
export CAIRN_CONTROL_LISTEN=unix
for order in stop cancel 'cancel -s'; do
    : >said
    "$CAIRN" run --store store -s snapshot -- "$SERVICE" orders +1 checkpoint serve >said 2>log &
    until grep -q serves said; do
        kill -0 $! || { cat said log; exit 99; }
        sleep 0.02
    done
    # shellcheck disable=SC2086,SC2046
    cairn $order $([ "$order" = cancel ] || echo saved) >/dev/null || exit 99
    status=0
    wait $! || status=$?
    echo "# $order"
    cat said
    grep -c 'runs as process' log
    echo "# exit $status"
done
