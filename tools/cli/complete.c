/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn __complete WORD...: what the last WORD of a command line may become, for the shells'
 * completion (tools/completion/). The words are those behind "cairn", the last one as far as it was
 * typed. One line per candidate, "word<TAB>what it is"; a line ":files" or ":directories" asks the
 * shell for paths.
 *
 * All of it follows from the tables of verbs and options. Whoever has pressed a key must not be
 * kept waiting nor be told of errors: nothing goes to stderr, and after TIMEOUT_S it ends with what
 * it has, as a store may be slow.
 */

#include "tools/cli/service.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_S 2

struct line {
    const struct cli_verb *verb;
    const char *current;                  /* the word to be completed */
    const char *option;                   /* whose value it is; NULL: it is none */
    const char *words[CLI_MAX_WORDS + 2]; /* those before that are neither options nor values */
    size_t word_count;
    struct cli_args args; /* what the stores and services are looked up with */
};

static void on_alarm(int signal)
{
    (void)signal;
    _exit(0);
}

/* Tabs and line ends would be taken for ours: such a candidate is none. */
static void offer(const struct line *line, const char *word, const char *what)
{
    if (strncmp(word, line->current, strlen(line->current)) == 0 &&
        cli_text_is_plain(word, strlen(word)))
        printf("%s\t%s\n", word, what);
    (void)fflush(stdout);
}

static void offer_all(const struct line *line, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        offer(line, words[i], "");
}

/* --- the words that stand before --- */

static bool find_option(const struct cli_verb *verb, const char *word, struct cli_option *ret)
{
    for (size_t i = 0; cli_args_option(verb, i, ret); i++) {
        if (strncmp(word, "--", 2) == 0
                ? strcmp(word + 2, ret->name) == 0
                : word[0] == '-' && ret->letter && word[1] == ret->letter && word[2] == '\0')
            return true;
    }
    return false;
}

static void note_value(struct line *line, const char *option, const char *value)
{
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {{"job", offsetof(struct cli_args, job)},
                  {"run-dir", offsetof(struct cli_args, run_dir)},
                  {"token-file", offsetof(struct cli_args, token)},
                  {"store", offsetof(struct cli_args, store)}};
    for (size_t i = 0; i < CLI_COUNT(fields); i++)
        if (strcmp(fields[i].name, option) == 0)
            *(const char **)((char *)&line->args + fields[i].offset) = value;
}

/* false: what follows is another program's. */
static bool read_words(struct line *line, char **words, size_t count)
{
    struct cli_option option;
    for (size_t i = 0; i < count; i++) {
        if (line->verb->takes_command && strcmp(words[i], "--") == 0)
            return false;
        bool is_option = find_option(line->verb, words[i], &option);
        if (is_option && option.value && i + 1 == count)
            line->option = option.name;
        else if (is_option && option.value)
            note_value(line, option.name, words[++i]);
        else if (!is_option && words[i][0] != '-' && line->word_count < CLI_COUNT(line->words))
            line->words[line->word_count++] = words[i];
    }
    return true;
}

/* --- what is in stores, and what runs --- */

static void cleanup_store(cairn_store **store)
{
    cairn_store_close(*store);
}

/* before: what stands in front of the names in the candidates, e.g. "s3://bucket/". */
static void offer_jobs_of(const struct line *line, const char *store_path, const char *before)
{
    CLI_CLEANUP(cleanup_store) cairn_store *store = NULL;
    CLI_AUTO_FREE char *job = NULL;
    char **names = NULL;
    size_t count = 0;
    if (!store_path || cairn_store_open_existing(store_path, &store, &job, NULL, NULL) < 0 || job ||
        cairn_store_jobs(store, &names, &count, NULL) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        CLI_AUTO_FREE char *coded =
            *before ? cli_place_encode(names[i]) : cli_printf("%s", names[i]);
        CLI_AUTO_FREE char *word = cli_printf("%s%s", before, coded);
        offer(line, word, "job");
    }
    cairn_names_free(names, count);
}

static void offer_ids(const struct line *line)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_LOG cairn_log *log = NULL;
    struct cli_args args = line->args;
    args.words[0] = line->words[0];
    offer(line, "latest", "the newest one");
    if (cli_target_open(&args, &target, NULL) < 0 ||
        cairn_log_open(target.store, target.job, &log, NULL) < 0)
        return;
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        CLI_AUTO_FREE char *id = cli_printf("%" PRIu64, record->id);
        if (record->state == CAIRN_STATE_COMPLETE)
            offer(line, id, cli_time(record->commit_time_ms).text);
    }
}

static void offer_running(const struct line *line)
{
    CLI_CLEANUP(cli_services_done) struct cli_services services = {0};
    if (cli_services_list(&line->args, &services, NULL) < 0)
        return;
    for (size_t i = 0; i < services.count; i++)
        if (i == 0 || strcmp(services.items[i].job, services.items[i - 1].job) != 0)
            offer(line, services.items[i].job, "running job");
}

static void offer_query(const struct line *line)
{
    static const char *const names[] = {
        "endpoint=",   "region=",          "profile=",       "ca_file=",
        "path_style=", "payload=",         "single_writer=", "max_connections=",
        "part_bytes=", "multipart_bytes=", "retry_ms=",      "request_timeout_ms="};
    const char *end = strrchr(line->current, '&');
    end = end ? end : strchr(line->current, '?');
    for (size_t i = 0; i < CLI_COUNT(names); i++) {
        CLI_AUTO_FREE char *word =
            cli_printf("%.*s%s", (int)(end + 1 - line->current), line->current, names[i]);
        offer(line, word, "");
    }
}

/* A path is the shell's own matter; of a bucket we know what is in it, as far as the environment
 * has what the query would say. */
static void offer_places(const struct line *line, const char *directive)
{
    static const char scheme[] = "s3://";
    const char *word = line->current;
    if (strncmp(word, scheme, sizeof(scheme) - 1) != 0) {
        puts(directive);
        return;
    }
    if (strchr(word, '?')) {
        offer_query(line);
        return;
    }
    const char *slash = strrchr(word + sizeof(scheme) - 1, '/');
    if (!slash)
        return;
    CLI_AUTO_FREE char *store = cli_printf("%.*s", (int)(slash - word), word);
    CLI_AUTO_FREE char *before = cli_printf("%.*s", (int)(slash + 1 - word), word);
    offer_jobs_of(line, store, before);
}

/* --- what is possible here --- */

static bool asks_running(const struct line *line)
{
    return (line->verb->options & CLI_RUN_DIR) != 0;
}

static void offer_values(const struct line *line)
{
    static const struct {
        const char *option, *verb; /* verb NULL: any other */
        const char *const words[4];
    } values[] = {
        {"format", "export", {"jsonl", "csv"}},
        {"format", NULL, {"canonical", "native"}},
        {"type", NULL, {"canonical", "native"}},
        {"backend", NULL, {"rocksdb", "heap"}},
        {"claim-mode", NULL, {"no-claim", "claim", "legacy"}},
        {"backoff", NULL, {"exponential", "fixed"}},
        {"restart", NULL, {"any", "none"}},
    };
    static const char *const files[] = {"token-file", "operators"};
    static const char *const directories[] = {"run-dir", "store", "snapshot"};
    const char *option = line->option;
    for (size_t i = 0; i < CLI_COUNT(values); i++) {
        if (strcmp(values[i].option, option) == 0 &&
            (!values[i].verb || strcmp(values[i].verb, line->verb->name) == 0)) {
            offer_all(line, values[i].words);
            return;
        }
    }
    if (strcmp(option, "job") == 0 && asks_running(line))
        offer_running(line);
    else if (strcmp(option, "job") == 0)
        offer_jobs_of(line, line->words[0], "");
    else if (strcmp(option, "to") == 0)
        offer_places(line, strcmp(line->verb->name, "export") == 0 ? ":files" : ":directories");
    for (size_t i = 0; i < CLI_COUNT(files); i++)
        if (strcmp(files[i], option) == 0)
            offer_places(line, ":files");
    for (size_t i = 0; i < CLI_COUNT(directories); i++)
        if (strcmp(directories[i], option) == 0)
            offer_places(line, ":directories");
}

static void offer_options(const struct line *line)
{
    struct cli_option option;
    for (size_t i = 0; cli_args_option(line->verb, i, &option); i++) {
        CLI_AUTO_FREE char *word = cli_printf("--%s", option.name);
        const char letter[] = {'-', option.letter, '\0'};
        offer(line, word, option.help);
        if (option.letter)
            offer(line, letter, option.help);
    }
    offer(line, "--help", "what it does");
    if (line->verb->takes_command)
        offer(line, "--", "the command follows");
}

/* The usage line tells what the n-th word is: "PATH [ID]". */
static void offer_word(const struct line *line)
{
    const char *usage = line->verb->words;
    for (size_t i = 0; i < line->word_count && *usage; i++) {
        usage += strcspn(usage, " ");
        usage += strspn(usage, " ");
    }
    usage += strspn(usage, "[");
    const size_t n = strcspn(usage, " ]");
    const struct {
        const char *name;
        void (*offer)(const struct line *line);
    } kinds[] = {{"ID", offer_ids}, {"A", offer_ids}, {"B", offer_ids}, {"JOB", offer_running}};
    for (size_t i = 0; i < CLI_COUNT(kinds); i++)
        if (strlen(kinds[i].name) == n && strncmp(kinds[i].name, usage, n) == 0)
            kinds[i].offer(line);
    if (strncmp(usage, "FILE", 4) == 0)
        puts(":files");
    /* `diff --entries` takes a second path in place of ids. */
    if (strncmp(usage, "PATH", 4) == 0 || strncmp(usage, "STORE", 5) == 0 ||
        strncmp(usage, "URI", 3) == 0 || strncmp(usage, "TARGET", 6) == 0 ||
        (strcmp(line->verb->name, "diff") == 0 && line->word_count == 1))
        offer_places(line, ":files");
}

static void offer_verbs(const struct line *line, bool is_help)
{
    for (size_t i = 0; i < cli_verb_count; i++)
        offer(line, cli_verbs[i].name, cli_verbs[i].summary);
    offer(line, "help", "show the verbs, or all about one");
    if (is_help) {
        offer(line, "settings", "list the settings of services");
        return;
    }
    offer(line, "--help", "show the verbs");
    offer(line, "--version", "show the version");
}

int cli_complete(int count, char **words)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0)
        return 0;
    signal(SIGALRM, on_alarm);
    (void)alarm(TIMEOUT_S);
    struct line line = {.current = count > 0 ? words[count - 1] : ""};
    if (count < 2 || (count == 2 && strcmp(words[0], "help") == 0)) {
        offer_verbs(&line, count == 2);
        return 0;
    }
    line.verb = cli_verb_find(words[0]);
    if (!line.verb || !read_words(&line, words + 1, (size_t)count - 2))
        return 0;
    if (line.option)
        offer_values(&line);
    else if (line.current[0] == '-')
        offer_options(&line);
    else
        offer_word(&line);
    return 0;
}
