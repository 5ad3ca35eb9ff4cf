/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table of options gives the parser, the check of what belongs to which
 * benchmark, and --help. Every number has bounds here, so that nothing behind has to ask.
 */
#include "tools/bench/bench.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum option_kind {
    KIND_U64,
    KIND_U32,
    KIND_PERCENT,
    KIND_DISTRIBUTION,
    KIND_MEMTABLES,
    KIND_STEPS,
    KIND_TEXT
};

struct option_row {
    const char *name;
    const char *argument;
    unsigned commands; /* enum bench_command, or'ed */
    enum option_kind kind;
    size_t offset;
    uint64_t min, max;
    const char *help;
};

#define AT(field) offsetof(struct bench_options, field)
#define STATEFUL (BENCH_CHECKPOINT | BENCH_STALL | BENCH_STATE | BENCH_SAVEPOINT | BENCH_RESCALE)
#define OBJECTS (BENCH_TRANSFER | BENCH_COMMIT)
#define ALL (STATEFUL | OBJECTS | BENCH_ALIGN)
static const struct option_row rows[] = {
    {"store", "URI", OBJECTS, KIND_TEXT, AT(store), 0, 0,
     "an object store, or any other, in which places of their own are made (memory:)"},
    {"keys", "N", STATEFUL | BENCH_TRANSFER, KIND_U64, AT(keys), 100, 1000000000,
     "keys in the database (1000000)"},
    {"value-size", "B", ALL & ~BENCH_COMMIT, KIND_U32, AT(value_size_bytes), 24, 1 << 20,
     "bytes of a value, half of them random; align: of a record (150)"},
    {"update-percent", "P", BENCH_CHECKPOINT, KIND_PERCENT, AT(update_percent), 0, 0,
     "updates between two checkpoints, in percent of the keys (1)"},
    {"distribution", "D", BENCH_CHECKPOINT, KIND_DISTRIBUTION, AT(zipf), 0, 0,
     "of the updated keys: uniform or zipf (uniform)"},
    {"rounds", "R", ALL & ~BENCH_STALL, KIND_U32, AT(rounds), 1, 10000, "measured rounds (8)"},
    {"threads", "T", (STATEFUL & ~BENCH_STATE) | OBJECTS, KIND_U32, AT(threads), 1, 256,
     "transfer threads of every method (the processors, at most 4; over object stores 8)"},
    {"subtasks", "N", BENCH_COMMIT, KIND_U32, AT(subtasks), 1, 10000, "subtasks of the job (1000)"},
    {"files", "N", BENCH_COMMIT, KIND_U32, AT(files), 1, 100,
     "new files of each subtask in each checkpoint (10)"},
    {"workers", "N", BENCH_COMMIT, KIND_U32, AT(workers), 0, BENCH_TASKS_MAX,
     "worker processes, with --backend heap and a store that they share (0: one process)"},
    {"backend", "B", BENCH_COMMIT, KIND_TEXT, AT(backend), 0, 0,
     "of the state: rocksdb, or heap, which keeps no files open (rocksdb)"},
    {"memtable-mb", "M[,M...]", STATEFUL | BENCH_TRANSFER, KIND_MEMTABLES, AT(memtable_mb), 1, 4096,
     "memtable size; stall takes a list (64; stall: 64,256)"},
    {"rate", "N", BENCH_CHECKPOINT | BENCH_STALL | BENCH_SAVEPOINT, KIND_U64, AT(rate), 1,
     100000000, "puts per second while a snapshot is taken (100000)"},
    {"steps", "P:Q[,P:Q...]", BENCH_RESCALE, KIND_STEPS, AT(steps), 1, BENCH_TASKS_MAX,
     "changes of parallelism (1:2,2:3,4:1)"},
    {"checkpoints", "N", BENCH_STALL, KIND_U32, AT(checkpoints), 1, 100000,
     "checkpoints per memtable size (50)"},
    {"records", "N", BENCH_ALIGN, KIND_U64, AT(records), 1, 1000000000000,
     "records of a round in each mode, rounded up to whole checkpoints (10000000)"},
    {"dir", "DIR", ALL, KIND_TEXT, AT(dir), 0, 0,
     "where a temporary directory is made ($TMPDIR or /tmp)"},
    {"store-dir", "DIR", BENCH_CHECKPOINT | BENCH_STALL, KIND_TEXT, AT(store_dir), 0, 0,
     "the same for the stores (as --dir)"},
    {"csv", "FILE", ALL, KIND_TEXT, AT(csv), 0, 0, "write every sample to FILE"},
    {"plots", "DIR", STATEFUL | BENCH_TRANSFER, KIND_TEXT, AT(plots), 0, 0,
     "draw SVG plots into DIR by gnuplot; without --csv the samples go there too"},
    {"seed", "S", STATEFUL | OBJECTS, KIND_U64, AT(seed), 0, UINT64_MAX,
     "of keys, values and updates (1)"},
};

static const struct {
    const char *name;
    enum bench_command command;
    const char *help;
} commands[] = {
    {"checkpoint", BENCH_CHECKPOINT,
     "bytes, time, CPU and writer stall of checkpoints, beside their peers (default)"},
    {"stall", BENCH_STALL, "longest writer stall with and without a checkpoint"},
    {"state", BENCH_STATE, "put, get and scan through Cairn and on bare RocksDB"},
    {"savepoint", BENCH_SAVEPOINT,
     "writing and restoring savepoints, beside bare scans and bulk loads"},
    {"transfer", BENCH_TRANSFER,
     "a checkpoint to an object store and back, beside rclone at the same server"},
    {"commit", BENCH_COMMIT, "from the last upload of many subtasks to the commit"},
    {"align", BENCH_ALIGN, "records through a gate of two channels, and poll"},
    {"rescale", BENCH_RESCALE, "restoring at another parallelism, beside putting every entry anew"},
};

/* Which commands an option belongs to, by whichever list is the shorter one. */
static void print_commands(unsigned belongs)
{
    size_t count = 0;
    for (size_t c = 0; c < BENCH_COUNT(commands); c++)
        count += (belongs & commands[c].command) != 0;
    bool is_most = 2 * count > BENCH_COUNT(commands);
    if (belongs == ALL)
        return;
    printf("  %-24s %s:", "", is_most ? "not" : "only");
    for (size_t c = 0; c < BENCH_COUNT(commands); c++)
        if (((belongs & commands[c].command) != 0) != is_most)
            printf(" %s", commands[c].name);
    puts("");
}

static void print_help(void)
{
    puts("usage: cairn-bench [COMMAND] [OPTIONS]\n\nCommands:");
    for (size_t i = 0; i < BENCH_COUNT(commands); i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].help);
    puts("\nOptions (default):");
    for (size_t i = 0; i < BENCH_COUNT(rows); i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "--%s %s", rows[i].name, rows[i].argument);
        printf("  %-24s %s\n", left, rows[i].help);
        print_commands(rows[i].commands);
    }
    puts("  --help                   this text\n\n"
         "Needs free space of about 12 times the state. docs/benchmarks.md says how it measures.");
}

static int parse_number(const struct option_row *row, const char *text, uint64_t *ret,
                        const char **ret_end, cairn_error **reterr)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno || value < row->min || value > row->max)
        return bench_fail(reterr, CAIRN_EINVAL,
                          "--%s '%s': expected a whole number from %llu to %llu", row->name, text,
                          (unsigned long long)row->min, (unsigned long long)row->max);
    *ret = value;
    *ret_end = end;
    return 0;
}

static int parse_memtable(const struct option_row *row, const char *text, size_t i,
                          struct bench_options *options, const char **ret_end, cairn_error **reterr)
{
    uint64_t value = 0;
    BENCH_TRY(parse_number(row, text, &value, ret_end, reterr));
    options->memtable_mb[i] = (uint32_t)value;
    options->memtable_count = i + 1;
    return 0;
}

static int parse_step(const struct option_row *row, const char *text, size_t i,
                      struct bench_options *options, const char **ret_end, cairn_error **reterr)
{
    uint64_t from = 0, to = 0;
    BENCH_TRY(parse_number(row, text, &from, ret_end, reterr));
    if (**ret_end != ':')
        return bench_fail(reterr, CAIRN_EINVAL, "--%s '%s': expected two numbers with ':' between",
                          row->name, text);
    BENCH_TRY(parse_number(row, *ret_end + 1, &to, ret_end, reterr));
    options->steps[i] = (struct bench_step){.from = (uint32_t)from, .to = (uint32_t)to};
    options->step_count = i + 1;
    return 0;
}

static int parse_list(const struct option_row *row, const char *text, struct bench_options *options,
                      cairn_error **reterr)
{
    size_t most = row->kind == KIND_STEPS ? BENCH_STEPS_MAX : BENCH_MEMTABLES_MAX;
    for (size_t i = 0; i < most; i++) {
        const char *end = text;
        BENCH_TRY((row->kind == KIND_STEPS ? parse_step : parse_memtable)(row, text, i, options,
                                                                          &end, reterr));
        if (*end == '\0')
            return 0;
        if (*end != ',')
            return bench_fail(reterr, CAIRN_EINVAL, "--%s: unexpected '%s'", row->name, end);
        text = end + 1;
    }
    return bench_fail(reterr, CAIRN_EINVAL, "--%s: at most %zu items", row->name, most);
}

static int parse_value(const struct option_row *row, const char *text,
                       struct bench_options *options, cairn_error **reterr)
{
    void *field = (char *)options + row->offset;
    uint64_t number = 0;
    const char *end = "";
    switch (row->kind) {
    case KIND_TEXT:
        *(const char **)field = text;
        return 0;
    case KIND_MEMTABLES:
    case KIND_STEPS:
        return parse_list(row, text, options, reterr);
    case KIND_DISTRIBUTION:
        if (strcmp(text, "uniform") != 0 && strcmp(text, "zipf") != 0)
            return bench_fail(reterr, CAIRN_EINVAL, "--%s '%s': expected uniform or zipf",
                              row->name, text);
        *(bool *)field = strcmp(text, "zipf") == 0;
        return 0;
    case KIND_PERCENT: {
        char *stop = NULL;
        double percent = strtod(text, &stop);
        if (stop == text || *stop || !isfinite(percent) || percent <= 0 || percent > 100)
            return bench_fail(reterr, CAIRN_EINVAL, "--%s '%s': expected more than 0, up to 100",
                              row->name, text);
        *(double *)field = percent;
        return 0;
    }
    case KIND_U64:
    case KIND_U32:
        BENCH_TRY(parse_number(row, text, &number, &end, reterr));
        if (*end)
            return bench_fail(reterr, CAIRN_EINVAL, "--%s '%s': not a number", row->name, text);
        break;
    }
    if (row->kind == KIND_U64)
        *(uint64_t *)field = number;
    else
        *(uint32_t *)field = (uint32_t)number;
    return 0;
}

static void set_defaults(struct bench_options *options)
{
    const char *temporary = getenv("TMPDIR");
    *options = (struct bench_options){
        .command = BENCH_CHECKPOINT,
        .keys = 1000000,
        .value_size_bytes = 150,
        .update_percent = 1,
        .rounds = 8,
        .rate = 100000,
        .checkpoints = 50,
        .records = 10000000,
        .store = "memory:",
        .subtasks = 1000,
        .files = 10,
        .backend = "rocksdb",
        .steps = {{1, 2}, {2, 3}, {4, 1}},
        .step_count = 3,
        .seed = 1,
        .dir = temporary && *temporary ? temporary : "/tmp",
    };
}

/* What depends on the command, unless it was given. */
static void set_command_defaults(struct bench_options *options)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (options->threads == 0 && (options->command & OBJECTS))
        options->threads = 8; /* as many transfers as its peer is given */
    else if (options->threads == 0)
        options->threads = processors < 1 ? 1 : processors > 4 ? 4 : (uint32_t)processors;
    if (options->memtable_count > 0)
        return;
    options->memtable_mb[options->memtable_count++] = 64;
    if (options->command == BENCH_STALL)
        options->memtable_mb[options->memtable_count++] = 256;
}

static int parse_option(const char *argument, const char *next, struct bench_options *options,
                        int *ret_used, cairn_error **reterr)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    for (size_t i = 0; i < BENCH_COUNT(rows); i++) {
        if (strlen(rows[i].name) != length || strncmp(rows[i].name, argument, length) != 0)
            continue;
        if (!(rows[i].commands & (unsigned)options->command))
            return bench_fail(reterr, CAIRN_EINVAL,
                              "--%s does not belong to this command; see cairn-bench --help",
                              rows[i].name);
        if (!equals && !next)
            return bench_fail(reterr, CAIRN_EINVAL, "--%s needs a value", rows[i].name);
        *ret_used = equals ? 1 : 2;
        return parse_value(&rows[i], equals ? equals + 1 : next, options, reterr);
    }
    return bench_fail(reterr, CAIRN_EINVAL, "unknown option '--%s'; see cairn-bench --help",
                      argument);
}

int bench_options_parse(int argc, char **argv, struct bench_options *ret, cairn_error **reterr)
{
    set_defaults(ret);
    int i = 1;
    if (i < argc && argv[i][0] != '-') {
        size_t c = 0;
        while (c < BENCH_COUNT(commands) && strcmp(argv[i], commands[c].name) != 0)
            c++;
        if (c == BENCH_COUNT(commands))
            return bench_fail(reterr, CAIRN_EINVAL, "unknown command '%s'; see cairn-bench --help",
                              argv[i]);
        ret->command = commands[c].command;
        i++;
    }
    for (int used = 1; i < argc; i += used) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 1;
        }
        if (strncmp(argv[i], "--", 2) != 0)
            return bench_fail(reterr, CAIRN_EINVAL,
                              "unexpected argument '%s'; see cairn-bench --help", argv[i]);
        BENCH_TRY(parse_option(argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, ret, &used, reterr));
    }
    set_command_defaults(ret);
    if (ret->memtable_count > 1 && ret->command != BENCH_STALL)
        return bench_fail(reterr, CAIRN_EINVAL, "--memtable-mb: only 'stall' takes a list");
    return 0;
}
