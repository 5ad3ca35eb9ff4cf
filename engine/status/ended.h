/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_ENDED_H
#define CRN_ENGINE_STATUS_ENDED_H

#include "engine/status/status.h"
#include "manifest/manifest.h"

/* Making struct crn_ended, which is immutable from then on. */

/* A deep copy in one piece, with one reference; its texts and tasks may be anywhere. NULL: no
 * memory. */
const struct crn_ended *crn_ended_copy(const struct crn_ended *from);
const struct crn_ended *crn_ended_ref(const struct crn_ended *ended);
void crn_ended_unref(const struct crn_ended *ended); /* NULL is fine */

/* The figures of one task, and adding them to those of the whole. */
void crn_ended_task_of(const char *uid, const struct crn_subtask *subtask, uint64_t id,
                       struct crn_ended_task *ret);
void crn_ended_add(struct crn_ended *ended, const struct crn_ended_task *task);

/* What a log's record tells, but its tasks. Texts are borrowed. */
void crn_ended_of_info(const cairn_record_info *info, struct crn_ended *ret);
/* The tasks of a record, in an array to be freed (texts are borrowed), and their figures added to
 * `ended`, whose `tasks` becomes the array. 0 or CAIRN_ENOMEM; then only the figures are there. */
int crn_ended_take_tasks(struct crn_ended *ended, const struct crn_record *record,
                         struct crn_ended_task **ret_tasks);

/* The newest that ended, by descending id. Begins as zeros but for tasks_max. */
struct crn_past {
    const struct crn_ended *entries[CRN_STATUS_ENDED_MAX];
    size_t count;
    size_t tasks_max; /* that all entries but the newest have together; more are dropped */
};
/* Takes the reference. One with the same id is replaced. */
void crn_past_add(struct crn_past *past, const struct crn_ended *ended);
void crn_past_done(struct crn_past *past);

/* "incremental", "full", "canonical", "native", or "" of what is no snapshot. */
const char *crn_ended_type_word(const struct crn_ended *ended);

#endif
