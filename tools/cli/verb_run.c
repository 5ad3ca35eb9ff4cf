/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn run: start a service, with what it has to restore from in its environment, and start it
 * again when it fails.
 *
 * A snapshot is given together with restore.only-if-new, and so for the first start of a job only:
 * every later one, of this command or after a reboot, goes on from the job's own newest checkpoint.
 * What would count again at every restart is refused.
 */

#include "tools/cli/run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void cleanup_settings(cairn_settings **settings)
{
    cairn_settings_free(*settings);
}
#define AUTO_SETTINGS CLI_CLEANUP(cleanup_settings)

static void cleanup_store(cairn_store **store)
{
    cairn_store_close(*store);
}

/* --- the snapshot --- */

/* That it is there, is one, and can be read: better told now than by a service that fails again and
 * again. */
static int check_snapshot(const char *path, cairn_error **reterr)
{
    CLI_CLEANUP(cleanup_store) cairn_store *store = NULL;
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_AUTO_FREE char *job = NULL;
    uint64_t id = 0;
    int r = cairn_store_open_existing(path, &store, &job, &id, reterr);
    if (r < 0)
        return r;
    if (!job) {
        cli_hint("`cairn jobs` lists the jobs and savepoints of a store");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'%s' is no snapshot but a whole store: name the directory of a savepoint "
                         "or job in it",
                         path);
    }
    return cairn_snapshot_open(store, job, id, &snapshot, reterr);
}

/* A claimed snapshot has gone to the job at an earlier start, which is as it should be. */
static int check_start(const struct cli_args *args, cairn_error **reterr)
{
    bool claims = args->claim_mode && strcmp(args->claim_mode, "claim") == 0;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = check_snapshot(args->snapshot, &error);
    if (r == CAIRN_ENOTFOUND && claims) {
        CLI_AUTO_FREE char *path = cli_text_safe(args->snapshot);
        fprintf(stderr,
                "cairn: there is no snapshot at '%s' (any more): the service starts only if its "
                "job has claimed it before\n",
                path);
        return 0;
    }
    if (r == CAIRN_ENOTFOUND)
        cli_hint("name the directory of a savepoint or job, or leave -s out to go on from the "
                 "job's own newest checkpoint");
    return r < 0 ? cli_raise(reterr, r, "cannot start from '%s': %s", args->snapshot,
                             cairn_error_message(error))
                 : 0;
}

/* --- the environment --- */

/* The service may change its directory before it opens the job. A URI is absolute anyway. */
static char *make_absolute(const char *path)
{
    CLI_AUTO_FREE char *here = NULL;
    if (path[0] == '/' || strchr(path, ':') || !(here = getcwd(NULL, 0)))
        return cli_printf("%s", path);
    return cli_printf("%s/%s", strcmp(here, "/") == 0 ? "" : here, path);
}

static int set_variable(const char *name, const char *value, cairn_error **reterr)
{
    return setenv(name, value, 1) == 0 ? 0 : cli_raise(reterr, CAIRN_ENOMEM, "out of memory");
}

static int set_place(const char *name, const char *path, cairn_error **reterr)
{
    CLI_AUTO_FREE char *absolute = make_absolute(path);
    return set_variable(name, absolute, reterr);
}

static int set_environment(const struct cli_args *args, cairn_error **reterr)
{
    int r = 0;
    if (args->store)
        r = set_place("CAIRN_STORE", args->store, reterr);
    if (r == 0 && args->snapshot)
        r = set_place("CAIRN_RESTORE_URI", args->snapshot, reterr);
    if (r == 0 && args->snapshot)
        r = set_variable("CAIRN_RESTORE_CLAIM_MODE",
                         args->claim_mode ? args->claim_mode : "no-claim", reterr);
    if (r == 0 && args->allow_non_restored)
        r = set_variable("CAIRN_RESTORE_ALLOW_NON_RESTORED", "true", reterr);
    return r;
}

/* What the service will read; and what of it restarts would make wrong. */
static int check_settings(const struct cli_restart *restart, cairn_error **reterr)
{
    AUTO_SETTINGS cairn_settings *settings = NULL;
    int r = cairn_settings_load(NULL, &settings, reterr);
    if (r < 0)
        return r;
    const char *empty = cairn_settings_get(settings, "restore.empty");
    bool has_uri = cairn_settings_get(settings, "restore.uri") != NULL;
    const char *again = NULL;
    if (empty && strcmp(empty, "true") == 0)
        again = "restore.empty";
    else if (!has_uri && cairn_settings_get(settings, "restore.checkpoint"))
        again = "restore.checkpoint";
    if (again && restart->limit > 0) {
        cli_hint("start once with `--restart none`, then without that setting");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'%s' is set, and would count again at every restart", again);
    }
    return has_uri ? set_variable("CAIRN_RESTORE_ONLY_IF_NEW", "true", reterr) : 0;
}

static int check_words(const struct cli_args *args, cairn_error **reterr)
{
    if (args->command_count == 0)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'run' needs the service's command behind --, as in "
                         "`cairn run -- ./service`");
    if (!*args->command[0])
        return cli_raise(reterr, CAIRN_EINVAL, "the service's command is empty");
    if (args->claim_mode && !args->snapshot)
        return cli_raise(reterr, CAIRN_EINVAL, "--claim-mode goes with --snapshot");
    if (args->claim_mode && strcmp(args->claim_mode, "claim") != 0 &&
        strcmp(args->claim_mode, "no-claim") != 0 && strcmp(args->claim_mode, "legacy") != 0)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "--claim-mode '%s' is none of no-claim, claim and legacy",
                         args->claim_mode);
    return 0;
}

int cli_run(const struct cli_args *args, cairn_error **reterr)
{
    struct cli_restart restart;
    int r = check_words(args, reterr);
    if (r == 0)
        r = cli_restart_parse(args, &restart, reterr);
    if (r == 0)
        r = set_environment(args, reterr);
    if (r == 0)
        r = check_settings(&restart, reterr);
    if (r == 0 && args->snapshot)
        r = check_start(args, reterr);
    if (r < 0)
        return r;
    if (args->snapshot) {
        CLI_AUTO_FREE char *path = cli_text_safe(args->snapshot);
        fprintf(stderr,
                "cairn: starting from '%s' (%s), unless the job has a checkpoint of its own\n",
                path, args->claim_mode ? args->claim_mode : "no-claim");
    }
    return cli_supervise(args->command, &restart, reterr);
}
