/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's part of a savepoint that its coordinator takes: where its objects go.
 *
 * The coordinator has chosen name and place, keeps the intent, and writes the manifest. A worker
 * only puts its objects, and withdraws them if the savepoint fails; what it leaves when it dies,
 * the intent leads to (P6).
 *
 * The thread of a worker's follower, without locks.
 */
#include "engine/savepoint/savepoint.h"

#include <string.h>

static struct cairn_savepoint_handle *new_handle(const struct crn_trigger *trigger)
{
    struct cairn_savepoint_handle *handle = crn_savepoint_handle_new();
    if (handle == NULL)
        return NULL;
    handle->format = handle->info.format = (cairn_savepoint_format)trigger->format;
    handle->stop = trigger->stop;
    handle->drain = trigger->drain;
    return handle;
}

static int open_target(struct cairn_job *job, const struct crn_trigger *trigger,
                       struct crn_savepoint_target *target, cairn_error **reterr)
{
    if (trigger->target == NULL) {
        target->store = job->store;
        target->is_beside = true;
        return 0;
    }
    CRN_TRY(crn_str_printf(&target->root, reterr, "%s", trigger->target));
    CRN_TRY(cairn_store_open(trigger->target, &target->store, reterr));
    target->owns_store = true;
    return 0;
}

int crn_savepoint_join(struct cairn_job *job, const struct crn_trigger *trigger,
                       struct crn_savepoint_run **ret, cairn_error **reterr)
{
    struct crn_savepoint_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return crn_err_nomem(reterr);
    run->handle = new_handle(trigger);
    int r = run->handle == NULL ? crn_err_nomem(reterr) : 0;
    if (r == 0)
        r = open_target(job, trigger, &run->handle->target, reterr);
    if (r == 0)
        r = crn_str_printf(&run->name, reterr, "%s", trigger->directory);
    if (r == 0)
        r = crn_savepoint_location(&run->handle->target, run->name, &run->location, reterr);
    if (r < 0) {
        crn_err_prefix(reterr, "savepoint %llu cannot go where the coordinator says",
                       (unsigned long long)trigger->id);
        crn_savepoint_run_free(run);
        return r;
    }
    *ret = run;
    return 0;
}
