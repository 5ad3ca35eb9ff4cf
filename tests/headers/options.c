/* SPDX-License-Identifier: Apache-2.0 */

/* Every options and report struct can be initialised with its macro and says its own size, in C99
 * and in C++. Compiled by run.sh, which also runs it. */

#include "cairn/cairn.h"
#include "cairn/inspect.h"
#include "cairn/store.h"
#include "cairn/writer.h"

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
    CHECK(cairn_savepoint_options, CAIRN_SAVEPOINT_OPTIONS_INIT);
    CHECK(cairn_savepoint_info, CAIRN_SAVEPOINT_INFO_INIT);
    CHECK(cairn_gate_options, CAIRN_GATE_OPTIONS_INIT);
    CHECK(cairn_gate_stats, CAIRN_GATE_STATS_INIT);
    CHECK(cairn_file_sink_options, CAIRN_FILE_SINK_OPTIONS_INIT);
    CHECK(cairn_custom_functions, CAIRN_CUSTOM_FUNCTIONS_INIT);
    CHECK(cairn_cat_options, CAIRN_CAT_OPTIONS_INIT);
    CHECK(cairn_usage, CAIRN_USAGE_INIT);
    CHECK(cairn_verify_options, CAIRN_VERIFY_OPTIONS_INIT);
    CHECK(cairn_verify_report, CAIRN_VERIFY_REPORT_INIT);
    CHECK(cairn_gc_options, CAIRN_GC_OPTIONS_INIT);
    CHECK(cairn_gc_report, CAIRN_GC_REPORT_INIT);
    CHECK(cairn_restore_options, CAIRN_RESTORE_OPTIONS_INIT);
    CHECK(cairn_restore_report, CAIRN_RESTORE_REPORT_INIT);
    CHECK(cairn_store_test_options, CAIRN_STORE_TEST_OPTIONS_INIT);
    CHECK(cairn_store_test_report, CAIRN_STORE_TEST_REPORT_INIT);
    CHECK(cairn_entry_diff_options, CAIRN_ENTRY_DIFF_OPTIONS_INIT);
    CHECK(cairn_check_options, CAIRN_CHECK_OPTIONS_INIT);
    CHECK(cairn_dispose_options, CAIRN_DISPOSE_OPTIONS_INIT);
    CHECK(cairn_dispose_report, CAIRN_DISPOSE_REPORT_INIT);
    CHECK(cairn_writer_options, CAIRN_WRITER_OPTIONS_INIT);
    CHECK(cairn_writer_operator, CAIRN_WRITER_OPERATOR_INIT);
    CHECK(cairn_commit_options, CAIRN_COMMIT_OPTIONS_INIT);
    return wrong;
}
