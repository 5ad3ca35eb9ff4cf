/* SPDX-License-Identifier: Apache-2.0 */

/* What PATH means: a store, the directory of a job or savepoint in it, or a manifest there. A store
 * with one job needs no --job: savepoints beside it have to be named. In one with several, verbs
 * that can be about all jobs are; the others list them and ask. */

#include "tools/cli/cli.h"
#include <stdlib.h>
#include <string.h>

#define LISTED 10 /* jobs named in the question which one is meant */

int cli_raise_no_job(const char *path, cairn_error **reterr)
{
    cli_hint("a store is the directory that holds the jobs' directories");
    return cli_raise(reterr, CAIRN_ENOTFOUND, "no job in store '%s'", path);
}

static int raise_several(const char *path, const char *what, char **names, size_t count,
                         cairn_error **reterr)
{
    CLI_AUTO_FREE char *list = cli_printf("%s", names[0]);
    for (size_t i = 1; i < count && i < LISTED; i++) {
        CLI_AUTO_FREE char *shorter = list;
        list = cli_printf("%s, %s", shorter, names[i]);
    }
    return cli_raise(reterr, CAIRN_EINVAL, "store '%s' has %zu %s: choose with --job one of %s%s",
                     path, count, what, list, count > LISTED ? ", ..." : "");
}

/* A log that cannot be read may be a job's. */
static bool is_savepoint(cairn_store *store, const char *name)
{
    CLI_AUTO_LOG cairn_log *log = NULL;
    return cairn_log_open(store, name, &log, NULL) == 0 && cairn_log_is_savepoint(log);
}

/* Jobs first, savepoints behind them. Returns how many jobs there are. */
static size_t put_jobs_first(cairn_store *store, char **names, size_t count)
{
    size_t jobs = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_savepoint(store, names[i]))
            continue;
        char *name = names[i];
        memmove(&names[jobs + 1], &names[jobs], (i - jobs) * sizeof(*names));
        names[jobs++] = name;
    }
    return jobs;
}

/* The store's only job, or only savepoint if it has no job, or the one whose name stands in front
 * of the object (which may be NULL). */
static int choose_job(const char *path, cairn_store *store, const char *object, char **ret_job,
                      cairn_error **reterr)
{
    char **names;
    size_t count;
    const char *chosen = NULL;
    int r = cairn_store_jobs(store, &names, &count, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]);
        if (object && strncmp(object, names[i], n) == 0 && object[n] == '/')
            chosen = names[i];
    }
    size_t jobs = chosen || count < 2 ? 0 : put_jobs_first(store, names, count);
    if (!chosen && (jobs == 1 || count == 1))
        chosen = names[0];
    if (chosen)
        *ret_job = cli_printf("%s", chosen);
    else
        r = count == 0 ? cli_raise_no_job(path, reterr)
                       : raise_several(path, jobs > 0 ? "jobs" : "savepoints", names,
                                       jobs > 0 ? jobs : count, reterr);
    cairn_names_free(names, count);
    return r;
}

/* Every verb says the same of a job that is not there. */
static int has_job(cairn_store *store, const char *job, cairn_error **reterr)
{
    char **names;
    size_t count;
    bool found = false;
    int r = cairn_store_jobs(store, &names, &count, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        found |= strcmp(names[i], job) == 0;
    cairn_names_free(names, count);
    if (found)
        return 0;
    cli_hint("`cairn jobs` lists the jobs of a store");
    return cli_raise(reterr, CAIRN_ENOTFOUND, "there is no job '%s' in this store", job);
}

static int open_path(const char *path, struct cli_target *ret, cairn_error **reterr)
{
    cli_wait_begin();
    int r = cairn_store_open_existing(path, &ret->store, &ret->job, &ret->id, reterr);
    cli_wait_end();
    if (r == 0)
        cli_caveat_store(ret->store);
    /* A bucket that is not there is no matter of what is in it. */
    bool is_lost = r == CAIRN_ENOTFOUND && reterr &&
                   strstr(cairn_error_message(*reterr), "such bucket") != NULL;
    if ((r == CAIRN_EINVAL || is_lost) && cli_place_is_bucket(path))
        cli_hint("a store in a bucket is s3://bucket/prefix?endpoint=...: docs/operations.md, \"A "
                 "store in a bucket\"");
    else if (r == CAIRN_ENOTFOUND || r == CAIRN_EINVAL)
        cli_hint("give the directory of a store, or of a job in it");
    return r;
}

/* Check the job that --job or PATH names. */
static int name_job(const struct cli_args *args, struct cli_target *target, cairn_error **reterr)
{
    if (!args->job)
        return 0;
    if (!target->job) {
        target->job = cli_printf("%s", args->job);
        return has_job(target->store, target->job, reterr);
    }
    if (strcmp(target->job, args->job) != 0)
        return cli_raise(reterr, CAIRN_EINVAL, "'%s' is the directory of job '%s', not of '%s'",
                         args->words[0], target->job, args->job);
    return 0;
}

int cli_target_open(const struct cli_args *args, struct cli_target *ret, cairn_error **reterr)
{
    return cli_target_open_for(args, NULL, ret, reterr);
}

int cli_target_open_for(const struct cli_args *args, const char *object, struct cli_target *ret,
                        cairn_error **reterr)
{
    int r = open_path(args->words[0], ret, reterr);
    if (r == 0)
        r = name_job(args, ret, reterr);
    if (r == 0 && !ret->job)
        r = choose_job(args->words[0], ret->store, object, &ret->job, reterr);
    return r;
}

int cli_target_id(const struct cli_target *target, const char *word, uint64_t *ret_id,
                  cairn_error **reterr)
{
    uint64_t id = target->id;
    int r = word ? cli_args_id(word, &id, reterr) : 0;
    if (r == 0 && target->id && id != target->id) {
        cli_hint("give the directory, and which checkpoint in it is meant");
        return cli_raise(reterr, CAIRN_EINVAL, "the path names checkpoint %" PRIu64 ", not '%s'",
                         target->id, word);
    }
    if (r == 0)
        *ret_id = id;
    return r;
}

int cli_snapshot_open(const struct cli_args *args, struct cli_target *ret_target,
                      cairn_snapshot **ret_snapshot, cairn_error **reterr)
{
    uint64_t id = 0;
    /* What was mistyped is told before a store is looked at. */
    int r = args->words[1] ? cli_args_id(args->words[1], &id, reterr) : 0;
    if (r == 0)
        r = cli_target_open(args, ret_target, reterr);
    if (r == 0)
        r = cli_target_id(ret_target, args->words[1], &id, reterr);
    return r < 0
               ? r
               : cairn_snapshot_open(ret_target->store, ret_target->job, id, ret_snapshot, reterr);
}

void cli_target_close(struct cli_target *target)
{
    free(target->job);
    cairn_store_close(target->store);
}

void cli_print_job(const char *job, bool first)
{
    CLI_AUTO_FREE char *name = cli_text_quote(job, strlen(job));
    printf("%s%sjob %s%s\n", first ? "" : "\n", cli_style_on(CLI_BOLD), name,
           cli_style_off(CLI_BOLD));
}

void cli_print_claim(const cairn_log *log, const char *label)
{
    if (!cairn_log_claimed_by(log))
        return;
    CLI_AUTO_FREE char *who = cli_text_safe(cairn_log_claimed_by(log));
    printf("%s%sby %s, which removes it%s\n", label, cli_style_on(CLI_WARN), who,
           cli_style_off(CLI_WARN));
}

int cli_each_job(const struct cli_args *args, cli_job_fn fn, void *context, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    char **names;
    size_t count;
    int r = open_path(args->words[0], &target, reterr);
    if (r == 0)
        r = name_job(args, &target, reterr);
    if (r == 0 && target.job)
        return fn(context, &target, false, reterr);
    if (r == 0)
        r = cairn_store_jobs(target.store, &names, &count, reterr);
    if (r < 0)
        return r;
    if (count == 0)
        r = cli_raise_no_job(args->words[0], reterr);
    for (size_t i = 0; i < count && r == 0; i++) {
        struct cli_target one = {.store = target.store, .job = names[i]};
        r = fn(context, &one, count > 1, reterr);
    }
    cairn_names_free(names, count);
    return r;
}
