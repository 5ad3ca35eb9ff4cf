/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_TOOLS_CLI_RUN_H
#define CAIRN_TOOLS_CLI_RUN_H

#include "tools/cli/cli.h"
#include <sys/types.h>

/* What `cairn run` is made of. */

/* --- restart.c: whether to start again, and when --- */

#define CLI_RESTART_ANY UINT64_MAX
struct cli_restart {
    uint64_t limit; /* restarts in a row; 0: none, CLI_RESTART_ANY: as many as it takes */
    bool exponential;
    uint64_t delay_ms, max_delay_ms; /* the latter with exponential only */
    uint64_t reset_after_ms;         /* a run that lasted so long is a good one: count anew */
    uint64_t count;                  /* restarts in a row so far */
};
/* --restart, --delay, --max-delay, --backoff and --reset-after. */
int cli_restart_parse(const struct cli_args *args, struct cli_restart *ret, cairn_error **reterr);
/* A run of that length has failed. True: start it again after *ret_delay_ms. `random` is any
 * number: it spreads exponential delays by a tenth. */
bool cli_restart_next(struct cli_restart *restart, uint64_t run_ms, uint32_t random,
                      uint64_t *ret_delay_ms);
/* "500ms", "10s", "5min", "1h", "0", as in settings. */
int cli_duration_parse(const char *option, const char *text, uint64_t *ret_ms,
                       cairn_error **reterr);

/* --- recovery.c: from what to start again, if the first start is from a snapshot --- */

struct cli_recovery;
/* Look at the snapshot, remember what jobs the store has, and hand the snapshot over to the first
 * start, by the environment. claim_mode: the setting's word, which stays. store: NULL if there will
 * be no other start. */
int cli_recovery_begin(const char *snapshot, const char *claim_mode, const char *store,
                       struct cli_recovery **ret, cairn_error **reterr);
/* Before another start: the process of the last one was `child` (0: none). Sets the environment,
 * and says which way it goes. A negative code: that cannot be told now, so there must be no start.
 */
int cli_recovery_choose(struct cli_recovery *recovery, pid_t child, cairn_error **reterr);
void cli_recovery_free(struct cli_recovery *recovery);

/* --- verb_run.c --- */

/* The service may change its directory. A URI stays as it is. malloc'ed. */
char *cli_path_absolute(const char *path);

/* --- supervise.c: processes and signals --- */

/* Run the command, which NULL ends, and start it again as `restart` says, from what `recovery`
 * (NULL: nothing is to be handed over) chooses. Returns the exit status: the service's own, or 128
 * and the signal that ended it or the waiting; or a negative code. */
int cli_supervise(char *const *command, struct cli_restart *restart, struct cli_recovery *recovery,
                  cairn_error **reterr);

#endif
