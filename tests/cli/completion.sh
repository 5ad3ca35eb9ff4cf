# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2016
# What the shells complete: everything that the help names, jobs of stores and those that run, quoted where a shell
# needs it; typed in real shells. No store keeps anybody waiting, and nothing is said of errors.
make_store store shop
make_store store tiny
cp -r store/tiny "store/strange \$name & 'more'"
mkdir empty

# Every verb, and every option of each.
cairn help | sed -n 's/^  \([a-z-]*\) .*/\1/p' | sort -u >verbs
cairn __complete '' | cut -f 1 | grep -v '^-' | sort -u >completed
run diff verbs completed
grep -v help verbs | while read -r verb; do
    cairn help "$verb" | sed -nE 's/^  (-.,)? +(--[a-z-]+).*/\2/p' | sort >options
    cairn __complete "$verb" -- | cut -f 1 | grep '^--[a-z]' | sort >completed
    cmp options completed && echo "$verb"
done | tr '\n' ' '
echo
run cairn __complete ls -
run cairn __complete help s
run cairn __complete nonsense ''
run cairn __complete ls --json nonsense --nonsense ''

# Values, words and paths.
for words in 'export --format' 'convert --format' 'stop --type' 'check --backend' 'run --claim-mode' 'run --backoff' \
    'run --restart' 'convert --to' 'export --to' 'run --store' 'check --operators' 'ls --job' import jobs restore \
    'cat store' 'diff store' 'diff store 3' 'cat store -j tiny' 'cat store/shop' 'run -- sh'; do
    # shellcheck disable=SC2086
    echo "$words: $(cairn __complete $words '' | cut -f 1 | tr '\n' ' ')"
done
run cairn __complete ls store -j t
run cairn __complete ls store --job ''
run cairn __complete ls empty --job ''
run cairn __complete ls absent --job ''
run cairn __complete ls s3:nothing --job ''

# Nobody listens, or nobody answers: it does not take long, and says nothing.
cat >mute.py <<'END'
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
time.sleep(30)
END
python3 mute.py >port &
mute=$!
until [ -s port ]; do sleep 0.01; done
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
for port in 1 "$(cat port)"; do
    begun=$(date +%s)
    cairn __complete ls "s3://bucket/x?endpoint=http://127.0.0.1:$port" --job ''
    echo "exit $?"
    [ $(($(date +%s) - begun)) -le 4 ] && echo 'in time'
done
kill $mute

# Typed.
type_in()
{
    python3 "$TYPE" "$1" "$COMPLETION/$2" 'cairn jo<TAB> store' 'cairn ls --js<TAB> store' \
        'cairn ls store -j sh<TAB>' 'cairn ls store --job str<TAB>' 'cairn ls "store" -j str<TAB>' \
        'cairn ls stor<TAB>tiny' 'cairn cat sto<TAB>sh<TAB> lat<TAB>' 'cairn run --claim-mode leg<TAB>' \
        'cairn ls absent -j x<TAB>' 'cairn export store/shop --format js<TAB>'
}
type_in bash cairn.bash >bash.said 2>&1
cat bash.said
if command -v zsh >/dev/null; then
    type_in zsh _cairn >zsh.said 2>&1
    diff bash.said zsh.said
fi
true
