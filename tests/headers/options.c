/* SPDX-License-Identifier: Apache-2.0 */

/* Every options and report struct can be initialised with its macro and says its own size, in C99
 * and in C++. Compiled by run.sh, which also runs it. */

#include "cairn/cairn.h"
#include "cairn/inspect.h"
#include "cairn/store.h"

#define CHECK(type, initialiser)                                                                   \
    do {                                                                                           \
        type s = initialiser;                                                                      \
        if (s.struct_size != sizeof(s))                                                            \
            wrong++;                                                                               \
    } while (0)

int main(void)
{
    int wrong = 0;
    CHECK(cairn_job_options, CAIRN_JOB_OPTIONS_INIT);
    CHECK(cairn_checkpoint_info, CAIRN_CHECKPOINT_INFO_INIT);
    CHECK(cairn_trigger_options, CAIRN_TRIGGER_OPTIONS_INIT);
    CHECK(cairn_task_options, CAIRN_TASK_OPTIONS_INIT);
    CHECK(cairn_task_stats, CAIRN_TASK_STATS_INIT);
    CHECK(cairn_state_options, CAIRN_STATE_OPTIONS_INIT);
    CHECK(cairn_cat_options, CAIRN_CAT_OPTIONS_INIT);
    CHECK(cairn_usage, CAIRN_USAGE_INIT);
    CHECK(cairn_verify_options, CAIRN_VERIFY_OPTIONS_INIT);
    CHECK(cairn_verify_report, CAIRN_VERIFY_REPORT_INIT);
    CHECK(cairn_gc_options, CAIRN_GC_OPTIONS_INIT);
    CHECK(cairn_gc_report, CAIRN_GC_REPORT_INIT);
    CHECK(cairn_restore_options, CAIRN_RESTORE_OPTIONS_INIT);
    CHECK(cairn_restore_report, CAIRN_RESTORE_REPORT_INIT);
    return wrong;
}
