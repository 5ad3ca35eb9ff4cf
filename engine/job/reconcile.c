/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reconciliation of the store at open (P6): a crash may have left objects that no retained manifest
 * references. (What it left in local_dir is the matter of local_dir.c.)
 *
 * It is the collector of gc.c, right after the fence. The fence resolved the id that an earlier
 * incarnation may have had in flight, so its objects are dead, and none of ours exist yet (P5).
 */
#include "engine/job/job.h"

#include "cairn/inspect.h"
#include "engine/status/fields.h"

int crn_job_collect(struct cairn_job *job, bool keep_unresolved, cairn_error **reterr)
{
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    options.keep_unresolved = keep_unresolved;
    CRN_TRY(cairn_gc(job->store, job->name, &options, &report, reterr));
    if (report.removed_count > 0 || report.temporary_count > 0)
        crn_tell(&job->log, CAIRN_LOG_INFO, "gc", CRN_FACTS(.told = CRN_TOLD_LEFTOVERS_REMOVED),
                 "job '%s': removed leftovers: %llu objects (%llu bytes), %llu temporary ones",
                 job->name, (unsigned long long)report.removed_count,
                 (unsigned long long)report.removed_bytes,
                 (unsigned long long)report.temporary_count);
    return 0;
}
