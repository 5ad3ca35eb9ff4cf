# bash completion for cairn                                        -*- shell-script -*-
# SPDX-License-Identifier: Apache-2.0
#
# The tool itself says what a word may become (`cairn __complete`); here its words are taken out of the command
# line and put back into it, quoted. Works with and without the bash-completion package.

# The words up to the cursor, in _cairn_words. What bash has split at ':' and '=' is put together again; quotes and
# backslashes are taken away.
_cairn_read_words()
{
    local i word blanks rest=${COMP_LINE:0:COMP_POINT}
    _cairn_words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        blanks=${rest%%[! $'\t']*}
        rest=${rest#"$blanks"}
        word=${COMP_WORDS[i]}
        [ "$i" -lt "$COMP_CWORD" ] || word=${word:0:${#rest}} # up to the cursor
        rest=${rest#"$word"}
        if [[ $i -eq 0 || -n $blanks ]]; then
            _cairn_words+=("$word")
        else
            _cairn_words[${#_cairn_words[@]} - 1]+=$word
        fi
    done
    for i in "${!_cairn_words[@]}"; do
        word=${_cairn_words[i]}
        case $word in
        \"*) word=${word#\"} word=${word%\"} ;;
        \'*) word=${word#\'} word=${word%\'} ;;
        *) word=${word//\\/} ;;
        esac
        _cairn_words[i]=$word
    done
}

_cairn()
{
    local _cairn_words cur raw before line word kind='' IFS=$'\n'
    local -a candidates=()
    COMPREPLY=()
    _cairn_read_words
    raw=${COMP_WORDS[COMP_CWORD]}
    cur=${_cairn_words[${#_cairn_words[@]} - 1]}
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        case $word in
        :files | :directories) kind=$word ;;
        *) candidates+=("$word") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${_cairn_words[@]:1}" 2>/dev/null)
    # bash replaces what stands behind the last ':' or '=' only.
    before=
    if [[ $cur == *[:=]* && $COMP_WORDBREAKS == *:* && $raw != [\"\']* ]]; then
        before=${cur%"${cur##*[:=]}"}
    fi
    for word in "${candidates[@]}"; do
        case $raw in
        [\"\']*) ;;
        -*) ;;
        *) [[ $word == *[!A-Za-z0-9_./:=@%+,-]* ]] && word=$(printf '%q' "$word") ;;
        esac
        COMPREPLY+=("${word#"$before"}")
    done
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *[/=] ]] || compopt -o nospace 2>/dev/null
    if [ -n "$kind" ]; then
        compopt -o filenames 2>/dev/null
        case $kind in
        :files) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur" 2>/dev/null) ;;
        *) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$cur" 2>/dev/null) ;;
        esac
    fi
}
complete -F _cairn cairn
