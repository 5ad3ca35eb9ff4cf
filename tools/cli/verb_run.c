/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn run: start a service, with what it has to restore from in its environment, and start it
 * again when it fails.
 *
 * A snapshot on the command line is for now: the job goes on from it whatever it has (recovery.c
 * has the restarts). One in the settings stands there for ever, and so goes with
 * restore.only-if-new: it counts while the job has no checkpoint of its own. What would count again
 * at every restart is refused.
 */

#include "tools/cli/run.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void cleanup_settings(cairn_settings **settings)
{
    cairn_settings_free(*settings);
}
#define AUTO_SETTINGS CLI_CLEANUP(cleanup_settings)

/* --- the environment --- */

char *cli_path_absolute(const char *path)
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

static const struct {
    const char *setting, *variable;
} choices[] = {
    /* what to start from; other restore.* settings go with any choice */
    {"restore.uri", "CAIRN_RESTORE_URI"},
    {"restore.checkpoint", "CAIRN_RESTORE_CHECKPOINT"},
    {"restore.claim-mode", "CAIRN_RESTORE_CLAIM_MODE"},
    {"restore.only-if-new", "CAIRN_RESTORE_ONLY_IF_NEW"},
    {"restore.fallback", "CAIRN_RESTORE_FALLBACK"},
    {"restore.empty", "CAIRN_RESTORE_EMPTY"},
};

/* --snapshot is the only choice. */
static void drop_other_choices(void)
{
    for (size_t i = 0; i < CLI_COUNT(choices); i++) {
        const char *value = getenv(choices[i].variable);
        if (value && *value)
            fprintf(stderr, "cairn: %s is left out: --snapshot says what to start from\n",
                    choices[i].variable);
        unsetenv(choices[i].variable);
    }
}

static int set_environment(const struct cli_args *args, cairn_error **reterr)
{
    int r = 0;
    if (args->store) {
        CLI_AUTO_FREE char *store = cli_path_absolute(args->store);
        r = set_variable("CAIRN_STORE", store, reterr);
    }
    if (args->snapshot)
        drop_other_choices();
    if (r == 0 && args->allow_non_restored)
        r = set_variable("CAIRN_RESTORE_ALLOW_NON_RESTORED", "true", reterr);
    return r;
}

/* --- what the service will read --- */

/* With --snapshot. The environment cannot unset what the settings file has. */
static int check_file(const cairn_settings *settings, cairn_error **reterr)
{
    for (size_t i = 0; i < CLI_COUNT(choices); i++) {
        if (!cairn_settings_get(settings, choices[i].setting))
            continue;
        cli_hint("take it out of the settings file, or leave -s out");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'%s' is in the settings file, and --snapshot says what to start from",
                         choices[i].setting);
    }
    return 0;
}

/* Without --snapshot. What restarts would make wrong is refused. */
static int check_choice(const cairn_settings *settings, const struct cli_restart *restart,
                        cairn_error **reterr)
{
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

/* *ret_recovery is NULL if there is no snapshot to hand over. */
static int prepare(const struct cli_args *args, const struct cli_restart *restart,
                   struct cli_recovery **ret_recovery, cairn_error **reterr)
{
    AUTO_SETTINGS cairn_settings *settings = NULL;
    int r = set_environment(args, reterr);
    if (r == 0)
        r = cairn_settings_load(NULL, &settings, reterr);
    if (r < 0)
        return r;
    if (!args->snapshot)
        return check_choice(settings, restart, reterr);
    r = check_file(settings, reterr);
    if (r < 0)
        return r;
    const char *store = restart->limit > 0 ? cairn_settings_get(settings, "store") : NULL;
    if (!store && restart->limit > 0) {
        cli_hint("give --store URI or the setting 'store'; or --restart none");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "--snapshot needs the job's store: without it no restart could tell "
                         "whether there is a checkpoint to go on from");
    }
    return cli_recovery_begin(args->snapshot, args->claim_mode ? args->claim_mode : "no-claim",
                              store, ret_recovery, reterr);
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
    struct cli_recovery *recovery = NULL;
    struct cli_restart restart;
    int r = check_words(args, reterr);
    if (r == 0)
        r = cli_restart_parse(args, &restart, reterr);
    if (r == 0)
        r = prepare(args, &restart, &recovery, reterr);
    if (r == 0)
        r = cli_supervise(args->command, &restart, recovery, reterr);
    cli_recovery_free(recovery);
    return r;
}
