/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The command line. All options of all verbs are in one table; a verb says which of them it takes,
 * and both the parser and the help text follow from that. Words and options may stand in any order.
 */

#include "tools/cli/cli.h"
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum value_type { FLAG, TEXT, TEXTS, NUMBER64, NUMBER32, MILLISECONDS };

static const struct option_spec {
    uint64_t bit;
    const char *name;
    char letter; /* 0: none */
    enum value_type type;
    size_t offset; /* in struct cli_args */
    const char *value, *help;
} specs[] = {
    {CLI_JOB, "job", 'j', TEXT, offsetof(struct cli_args, job), "NAME",
     "which job, if the store has several"},
    {CLI_ALL, "all", 'a', FLAG, offsetof(struct cli_args, all), NULL, "leave nothing out"},
    {CLI_FILES, "files", 'f', FLAG, offsetof(struct cli_args, files), NULL,
     "list every file, with level and key range"},
    {CLI_FULL, "full", 0, FLAG, offsetof(struct cli_args, full), NULL,
     "read everything and compare checksums"},
    {CLI_OPERATOR, "operator", 'o', TEXT, offsetof(struct cli_args, operator_uid), "UID",
     "only this operator"},
    {CLI_STATE, "state", 's', TEXT, offsetof(struct cli_args, state), "NAME", "only this state"},
    {CLI_KEY, "key", 'k', TEXT, offsetof(struct cli_args, key), "KEY",
     "only this key, written as the key's type; 0x... for bytes"},
    {CLI_LIMIT, "limit", 'n', NUMBER64, offsetof(struct cli_args, limit), "N",
     "stop after N entries"},
    {CLI_DRY_RUN, "dry-run", 0, FLAG, offsetof(struct cli_args, dry_run), NULL,
     "only say what would be removed"},
    {CLI_KEEP_IN_FLIGHT, "keep-in-flight", 0, FLAG, offsetof(struct cli_args, keep_in_flight), NULL,
     "leave alone what a running checkpoint may need"},
    {CLI_TO, "to", 0, TEXT, offsetof(struct cli_args, to), "DIR",
     "where to; must be absent or empty"},
    {CLI_LINK, "link", 0, FLAG, offsetof(struct cli_args, link), NULL,
     "hard links where possible: never change those files"},
    {CLI_THREADS, "threads", 0, NUMBER32, offsetof(struct cli_args, threads), "N",
     "how many to use; default 4"},
    {CLI_YES, "yes", 'y', FLAG, offsetof(struct cli_args, yes), NULL,
     "do it: without this nothing is removed"},
    {CLI_FORCE, "force", 0, FLAG, offsetof(struct cli_args, force), NULL,
     "also a savepoint that a job has claimed"},
    {CLI_ENTRIES, "entries", 'e', FLAG, offsetof(struct cli_args, entries), NULL,
     "compare entries, not files"},
    {CLI_OPERATORS, "operators", 0, TEXT, offsetof(struct cli_args, operators), "FILE",
     "JSON as of inspect --json, a job's or savepoint's directory, or a running job"},
    {CLI_BACKEND, "backend", 0, TEXT, offsetof(struct cli_args, backend), "NAME",
     "the service's state backend: rocksdb (default) or heap"},
    {CLI_FORMAT, "format", 0, TEXT, offsetof(struct cli_args, format), "FORMAT", NULL},
    {CLI_PARTIAL, "partial", 0, FLAG, offsetof(struct cli_args, partial), NULL,
     "also a file that is not whole: take what is there"},
    {CLI_RENAME, "rename", 0, TEXTS, offsetof(struct cli_args, rename), "UID=NEW",
     "give an operator another uid"},
    {CLI_DROP_OPERATOR, "drop-operator", 0, TEXTS, offsetof(struct cli_args, drop_operator), "UID",
     "leave an operator out"},
    {CLI_DROP_STATE, "drop-state", 0, TEXTS, offsetof(struct cli_args, drop_state), "UID/NAME",
     "leave a state of an operator out"},
    {CLI_MAX_PARALLELISM, "max-parallelism", 0, TEXTS, offsetof(struct cli_args, max_parallelism),
     "UID=N", "give an operator another number of key groups"},
    {CLI_TYPE, "type", 't', TEXT, offsetof(struct cli_args, type), "TYPE",
     "canonical (default) or native"},
    {CLI_DETACHED, "detached", 'd', FLAG, offsetof(struct cli_args, detached), NULL,
     "print the trigger's id and do not wait"},
    {CLI_STATUS, "status", 0, TEXT, offsetof(struct cli_args, status), "TRIGGER",
     "ask how a trigger stands"},
    {CLI_DRAIN, "drain", 0, FLAG, offsetof(struct cli_args, drain), NULL,
     "let the job send on what it is still gathering: it is not to be continued"},
    {CLI_SAVEPOINT, "savepoint", 's', FLAG, offsetof(struct cli_args, savepoint), NULL,
     "take a savepoint first; without one the job goes on"},
    {CLI_ONCE, "once", '1', FLAG, offsetof(struct cli_args, once), NULL, "print once and end"},
    {CLI_INTERVAL, "interval", 'i', MILLISECONDS, offsetof(struct cli_args, interval_ms), "SECONDS",
     "time between two looks; default 1"},
    {CLI_TIMEOUT, "timeout", 0, MILLISECONDS, offsetof(struct cli_args, timeout_ms), "SECONDS",
     "how long to wait for its end; default: for ever"},
    {CLI_RUN_DIR, "run-dir", 0, TEXT, offsetof(struct cli_args, run_dir), "DIR",
     "where the jobs' sockets are; default as for the service"},
    {CLI_TOKEN, "token-file", 0, TEXT, offsetof(struct cli_args, token), "FILE",
     "holds the token for a job on TCP; else $CAIRN_CONTROL_TOKEN"},
    {CLI_RUN, "store", 0, TEXT, offsetof(struct cli_args, store), "URI",
     "where the service's snapshots live"},
    {CLI_RUN, "snapshot", 's', TEXT, offsetof(struct cli_args, snapshot), "PATH",
     "start from this one, while the job has no checkpoint of its own"},
    {CLI_RUN, "claim-mode", 0, TEXT, offsetof(struct cli_args, claim_mode), "MODE",
     "whose that is then: no-claim (default), claim or legacy"},
    {CLI_RUN, "allow-non-restored", 'n', FLAG, offsetof(struct cli_args, allow_non_restored), NULL,
     "drop stored operators that the service has no longer"},
    {CLI_RUN, "restart", 0, TEXT, offsetof(struct cli_args, restart), "N",
     "restarts in a row: a number, any (default) or none"},
    {CLI_RUN, "backoff", 0, TEXT, offsetof(struct cli_args, backoff), "HOW",
     "fixed, or exponential (default): half as long again each time"},
    {CLI_RUN, "delay", 0, TEXT, offsetof(struct cli_args, delay), "DURATION",
     "time to a restart, with exponential to the first; default 1s"},
    {CLI_RUN, "max-delay", 0, TEXT, offsetof(struct cli_args, max_delay), "DURATION",
     "most that exponential grows to; default 1min"},
    {CLI_RUN, "reset-after", 0, TEXT, offsetof(struct cli_args, reset_after), "DURATION",
     "a run that lasted so long begins the row anew; default 1h"},
    {CLI_JSON, "json", 0, FLAG, offsetof(struct cli_args, json), NULL, "one JSON document"},
};

#define MAX_NUMBER32 1024 /* of threads */
#define HELP 1000         /* getopt's value for --help; others are an index in specs, plus one */

static bool is_verb(const struct cli_verb *verb, const char *name)
{
    return strcmp(verb->name, name) == 0;
}

static const char *find_help(const struct cli_verb *verb, const struct option_spec *spec)
{
    /* --all means something else to each verb that has it. */
    if (spec->bit == CLI_ALL)
        return is_verb(verb, "ls") ? "also what is known from history only"
                                   : "also the files that both have";
    if (spec->bit == CLI_JOB && (verb->options & CLI_RUN_DIR))
        return "which job: its name, unix:/path or http://host:port";
    if (spec->bit == CLI_FULL && is_verb(verb, "checkpoint"))
        return "upload every file anew";
    if (is_verb(verb, "store-test") && spec->bit == CLI_THREADS)
        return "how many writers race; default 16";
    if (is_verb(verb, "store-test") && spec->bit == CLI_LIMIT)
        return "how many rounds they race; default 50";
    if (spec->bit == CLI_LIMIT && is_verb(verb, "status"))
        return "show N of the latest checkpoints; default 8";
    if (spec->bit == CLI_DETACHED && !is_verb(verb, "savepoint"))
        return "do not wait for its end";
    if (spec->bit == CLI_FORMAT)
        return is_verb(verb, "export") ? "jsonl (default) or csv" : "canonical (default) or native";
    if (spec->bit == CLI_TO && !is_verb(verb, "restore"))
        return is_verb(verb, "export") ? "a new file, in place of standard output"
                                       : "the savepoint's directory, which is made";
    if (spec->bit == CLI_LIMIT && is_verb(verb, "diff"))
        return "with -e: print N entries at most; all are counted";
    if ((spec->bit == CLI_OPERATOR || spec->bit == CLI_STATE) && is_verb(verb, "diff"))
        return spec->bit == CLI_OPERATOR ? "with -e: only this operator"
                                         : "with -e: only this state";
    return spec->help;
}

/* "--to DIR". malloc'ed. */
static char *long_form(const struct cli_verb *verb, const struct option_spec *spec)
{
    const char *value = spec->bit == CLI_TO && is_verb(verb, "export") ? "FILE" : spec->value;
    return cli_printf("--%s%s%s", spec->name, value ? " " : "", value ? value : "");
}

void cli_args_print_options(const struct cli_verb *verb, FILE *to)
{
    size_t width = strlen("--help");
    for (size_t i = 0; i < CLI_COUNT(specs); i++) {
        CLI_AUTO_FREE char *name = long_form(verb, &specs[i]);
        if ((verb->options & specs[i].bit) && strlen(name) > width)
            width = strlen(name);
    }
    for (size_t i = 0; i < CLI_COUNT(specs); i++) {
        if (!(verb->options & specs[i].bit))
            continue;
        char letter[4] = {'-', specs[i].letter, ',', '\0'};
        CLI_AUTO_FREE char *name = long_form(verb, &specs[i]);
        fprintf(to, "  %-3s %-*s  %s\n", specs[i].letter ? letter : "", (int)width, name,
                find_help(verb, &specs[i]));
    }
    fprintf(to, "  %-3s %-*s  %s\n", "-h,", (int)width, "--help", "this text");
}

bool cli_args_option(const struct cli_verb *verb, size_t i, struct cli_option *ret)
{
    for (size_t at = 0; at < CLI_COUNT(specs); at++) {
        const struct option_spec *spec = &specs[at];
        if (!(verb->options & spec->bit) || i-- > 0)
            continue;
        *ret = (struct cli_option){spec->name, spec->letter, spec->value, find_help(verb, spec)};
        return true;
    }
    return false;
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > max)
        return CAIRN_EINVAL;
    *ret = value;
    return 0;
}

/* Seconds, with a fraction if need be. */
static int set_milliseconds(const struct option_spec *spec, const char *value, uint64_t *ret,
                            cairn_error **reterr)
{
    char *end;
    errno = 0;
    double seconds = strtod(value, &end);
    if (value[0] < '0' || value[0] > '9' || *end || errno || !(seconds >= 0.05 && seconds <= 1e9))
        return cli_raise(reterr, CAIRN_EINVAL,
                         "--%s '%s' is not a number of seconds from 0.05 to 1000000000", spec->name,
                         value);
    *ret = (uint64_t)(seconds * 1000);
    return 0;
}

static int set_option(const struct option_spec *spec, const char *value, struct cli_args *args,
                      cairn_error **reterr)
{
    char *field = (char *)args + spec->offset;
    uint64_t number = 0;
    uint64_t max = spec->type == NUMBER32 ? MAX_NUMBER32 : UINT64_MAX;
    switch (spec->type) {
    case MILLISECONDS:
        return set_milliseconds(spec, value, (uint64_t *)field, reterr);
    case FLAG:
        *(bool *)field = true;
        return 0;
    case TEXT:
        *(const char **)field = value;
        return 0;
    case TEXTS: {
        struct cli_texts *texts = (struct cli_texts *)field;
        if (texts->count == CLI_MAX_TEXTS)
            return cli_raise(reterr, CAIRN_EINVAL, "--%s may be given %d times at most", spec->name,
                             CLI_MAX_TEXTS);
        texts->items[texts->count++] = value;
        return 0;
    }
    case NUMBER64:
    case NUMBER32:
        if (parse_number(value, max, &number) < 0 || number == 0)
            return cli_raise(reterr, CAIRN_EINVAL, "--%s '%s' is not a number from 1 to %" PRIu64,
                             spec->name, value, max);
        if (spec->type == NUMBER32)
            *(uint32_t *)field = (uint32_t)number;
        else
            *(uint64_t *)field = number;
        return 0;
    }
    return 0;
}

/* What getopt_long() needs, for the options that this verb takes. */
struct getopt_tables {
    struct option longs[CLI_COUNT(specs) + 2];
    char shorts[2 * CLI_COUNT(specs) + 4];
};

static void fill_tables(const struct cli_verb *verb, struct getopt_tables *ret)
{
    size_t longs = 0, shorts = 0;
    ret->shorts[shorts++] = ':'; /* tell a missing value from an unknown option */
    for (size_t i = 0; i < CLI_COUNT(specs); i++) {
        if (!(verb->options & specs[i].bit))
            continue;
        int argument = specs[i].type == FLAG ? no_argument : required_argument;
        ret->longs[longs++] = (struct option){specs[i].name, argument, NULL, (int)i + 1};
        if (specs[i].letter) {
            ret->shorts[shorts++] = specs[i].letter;
            if (argument == required_argument)
                ret->shorts[shorts++] = ':';
        }
    }
    ret->longs[longs++] = (struct option){"help", no_argument, NULL, HELP};
    ret->longs[longs] = (struct option){0};
    ret->shorts[shorts++] = 'h';
    ret->shorts[shorts] = '\0';
}

/* Verbs may have the same letter for different options. */
static const struct option_spec *find_letter(const struct cli_verb *verb, int letter)
{
    for (size_t i = 0; i < CLI_COUNT(specs); i++) {
        if (specs[i].letter == letter && (verb->options & specs[i].bit))
            return &specs[i];
    }
    return NULL;
}

static int take_words(const struct cli_verb *verb, char **words, int count, struct cli_args *args,
                      cairn_error **reterr)
{
    if (count < verb->min_words)
        return cli_raise(reterr, CAIRN_EINVAL, "'%s' needs %s", verb->name, verb->words);
    if (count > verb->max_words)
        return cli_raise(reterr, CAIRN_EINVAL, "'%s' takes %s; '%s' is too much", verb->name,
                         verb->words, words[verb->max_words]);
    for (int i = 0; i < count; i++) {
        if (!*words[i])
            return cli_raise(reterr, CAIRN_EINVAL, "'%s' takes %s; one of them is empty",
                             verb->name, verb->words);
        args->words[i] = words[i];
    }
    args->word_count = count;
    return 0;
}

/* What is behind "--" is another program's. Returns how many arguments are ours. */
static int split_command(const struct cli_verb *verb, int argc, char **argv, struct cli_args *args)
{
    for (int i = 1; verb->takes_command && i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            args->command = argv + i + 1;
            args->command_count = argc - i - 1;
            return i;
        }
    }
    return argc;
}

int cli_args_parse(const struct cli_verb *verb, int argc, char **argv, struct cli_args *ret,
                   cairn_error **reterr)
{
    struct getopt_tables tables;
    struct cli_args args = {0};
    argc = split_command(verb, argc, argv, &args);
    fill_tables(verb, &tables);
    opterr = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1;) {
        const struct option_spec *spec = NULL;
        if (c == HELP || c == 'h') {
            args.help = true;
            *ret = args;
            return 0;
        }
        if (c == ':')
            return cli_raise(reterr, CAIRN_EINVAL, "'%s' needs a value", argv[optind - 1]);
        if (c == '?') {
            if (optopt > ' ' && optopt <= 'z')
                return cli_raise(reterr, CAIRN_EINVAL, "'%s' has no option '-%c'", verb->name,
                                 optopt);
            return cli_raise(reterr, CAIRN_EINVAL, "'%s' has no option '%s'", verb->name,
                             argv[optind - 1]);
        }
        spec = c <= (int)CLI_COUNT(specs) ? &specs[c - 1] : find_letter(verb, c);
        int r = spec ? set_option(spec, optarg, &args, reterr) : 0;
        if (r < 0)
            return r;
    }
    int r = take_words(verb, argv + optind, argc - optind, &args, reterr);
    if (r == 0)
        *ret = args;
    return r;
}

int cli_args_id(const char *word, uint64_t *ret_id, cairn_error **reterr)
{
    static const char *const prefixes[] = {"MANIFEST-chk", "chk-", "#"};
    const char *digits = word;
    if (strcmp(word, "latest") == 0) {
        *ret_id = 0;
        return 0;
    }
    for (size_t i = 0; i < CLI_COUNT(prefixes); i++) {
        if (strncmp(word, prefixes[i], strlen(prefixes[i])) == 0) {
            digits = word + strlen(prefixes[i]);
            break;
        }
    }
    uint64_t id;
    if (parse_number(digits, UINT64_MAX, &id) < 0 || id == 0)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'%s' is not a checkpoint: give its number, or latest", word);
    *ret_id = id;
    return 0;
}
