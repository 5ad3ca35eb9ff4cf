/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_RESTORE_PLAN_H
#define CRN_ENGINE_RESTORE_PLAN_H

#include "manifest/manifest.h"

/* Which stored subtasks have key groups of a range, and how they get into one database. Pure. */

struct crn_restore_part {
    const struct crn_subtask *subtask;
    uint32_t key_group_first, key_group_last; /* the subtask's that are wanted; inclusive */
    bool is_canonical;                        /* else native files of the wanted backend */
};

struct crn_restore_plan {
    struct crn_restore_part
        *parts; /* by ascending key groups; those without keyed state are left out */
    size_t count;
    bool is_same; /* one native part, and its files are just what is wanted */
};

/* Key groups first..last (inclusive) of an operator, for a backend whose files are of `file_kind`.
 * CAIRN_EUNSUPPORTED: a subtask that is needed has native files of another backend. */
int crn_restore_plan_make(const struct crn_operator *op, const char *file_kind, uint32_t first,
                          uint32_t last, struct crn_restore_plan *ret, cairn_error **reterr);
void crn_restore_plan_done(struct crn_restore_plan *plan);

#endif
