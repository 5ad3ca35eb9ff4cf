/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which stored subtasks a restore needs. The ranges of an operator's subtasks are disjoint and
 * cover all key groups (rules O5 and T1), so those that meet a range are neighbours, and what is
 * wanted of them covers the range exactly once.
 *
 * Pure: no I/O. Proved by tests/test_restore_plan.c for every small p, p' and max_parallelism.
 */
#include "engine/restore/plan.h"

#include "backends/state/state.h"

#include <string.h>

void crn_restore_plan_done(struct crn_restore_plan *plan)
{
    free(plan->parts);
    *plan = (struct crn_restore_plan){0};
}

static bool has_keyed_state(const struct crn_subtask *subtask)
{
    for (size_t i = 0; i < subtask->file_count; i++)
        if (crn_file_is_keyed(&subtask->files[i]))
            return true;
    return false;
}

/* Which operator it is, the caller says. */
static int fail_backend(const struct crn_subtask *subtask, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                        "subtask %u is stored in native files of the state backend '%s', which no "
                        "other reads: start from a canonical savepoint, which `cairn convert` "
                        "makes of this snapshot",
                        subtask->info.index, subtask->info.backend);
}

int crn_restore_plan_make(const struct crn_operator *op, const char *file_kind, uint32_t first,
                          uint32_t last, struct crn_restore_plan *ret, cairn_error **reterr)
{
    struct crn_restore_plan plan = {.parts = calloc(op->subtask_count + 1, sizeof *plan.parts)};
    if (plan.parts == NULL)
        return crn_err_nomem(reterr);
    for (size_t s = 0; s < op->subtask_count; s++) {
        const struct crn_subtask *subtask = &op->subtasks[s];
        const cairn_subtask_info *info = &subtask->info;
        if (info->key_group_last < first || info->key_group_first > last ||
            !has_keyed_state(subtask))
            continue;
        bool is_canonical = strcmp(info->backend, CRN_FILE_KIND_CANONICAL) == 0;
        if (!is_canonical && strcmp(info->backend, file_kind) != 0) {
            crn_restore_plan_done(&plan);
            return fail_backend(subtask, reterr);
        }
        plan.parts[plan.count++] = (struct crn_restore_part){
            .subtask = subtask,
            .key_group_first = info->key_group_first > first ? info->key_group_first : first,
            .key_group_last = info->key_group_last < last ? info->key_group_last : last,
            .is_canonical = is_canonical,
        };
    }
    plan.is_same = plan.count == 1 && !plan.parts[0].is_canonical &&
                   plan.parts[0].subtask->info.key_group_first == first &&
                   plan.parts[0].subtask->info.key_group_last == last;
    *ret = plan;
    return 0;
}
