/* SPDX-License-Identifier: Apache-2.0 */

/* What PATH means: a store, or the directory of a job in it. A store with one job needs no --job;
 * one with several lists them and asks. */

#include "tools/cli/cli.h"
#include <stdlib.h>
#include <string.h>

#define LISTED 10 /* jobs named in the question which one is meant */

/* The store's only job. */
static int choose_job(const char *path, cairn_store *store, char **ret_job, cairn_error **reterr)
{
    char **names;
    size_t count;
    int r = cairn_store_jobs(store, &names, &count, reterr);
    if (r < 0)
        return r;
    if (count == 1) {
        *ret_job = cli_printf("%s", names[0]);
    } else if (count == 0) {
        cli_hint("a store is the directory that holds the jobs' directories");
        r = cli_raise(reterr, CAIRN_ENOTFOUND, "no job in store '%s'", path);
    } else {
        CLI_AUTO_FREE char *list = cli_printf("%s", names[0]);
        for (size_t i = 1; i < count && i < LISTED; i++) {
            CLI_AUTO_FREE char *shorter = list;
            list = cli_printf("%s, %s", shorter, names[i]);
        }
        r = cli_raise(reterr, CAIRN_EINVAL,
                      "store '%s' has %zu jobs: choose with --job one of %s%s", path, count, list,
                      count > LISTED ? ", ..." : "");
    }
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

int cli_target_open(const struct cli_args *args, struct cli_target *ret, cairn_error **reterr)
{
    const char *path = args->words[0];
    int r = cairn_store_open_existing(path, &ret->store, &ret->job, reterr);
    if (r == CAIRN_ENOTFOUND || r == CAIRN_EINVAL)
        cli_hint("give the directory of a store, or of a job in it");
    if (r < 0)
        return r;
    if (!args->job)
        return ret->job ? 0 : choose_job(path, ret->store, &ret->job, reterr);
    if (!ret->job) {
        ret->job = cli_printf("%s", args->job);
        return has_job(ret->store, ret->job, reterr);
    }
    if (strcmp(ret->job, args->job) != 0)
        return cli_raise(reterr, CAIRN_EINVAL, "'%s' is the directory of job '%s', not of '%s'",
                         path, ret->job, args->job);
    return 0;
}

void cli_target_close(struct cli_target *target)
{
    free(target->job);
    cairn_store_close(target->store);
}
