/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest earlier native savepoint of a job in a store, for savepoints that link their tables
 * from it.
 *
 * It is the user's: it may be damaged, half removed or somebody else's by now. So nothing depends
 * on it. A table is taken from it only if every witness of its identity agrees, RocksDB's own
 * checksum among them; whatever goes wrong, the bytes are sent instead.
 *
 * Driver thread, without locks.
 */
#include "engine/savepoint/savepoint.h"

#include "base/text.h"
#include "engine/savepoint/directory.h"

#include <string.h>

#define CANDIDATES_MAX 8u /* newest ones that are looked at */

struct candidates {
    const char *job;
    uint64_t below;
    struct candidate {
        uint64_t id;
        char *name;
    } items[CANDIDATES_MAX]; /* by id, descending */
    size_t count;
};

static void candidates_done(struct candidates *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].name);
}

/* "savepoint-<job>-<id>" or the same with a letter: the last number; 0: none. */
static uint64_t id_in(const char *name)
{
    size_t end = strlen(name);
    if (end > 2 && name[end - 2] == '-' && !(name[end - 1] >= '0' && name[end - 1] <= '9'))
        end -= 2;
    size_t begin = end;
    while (begin > 0 && name[begin - 1] >= '0' && name[begin - 1] <= '9')
        begin--;
    return begin < end ? strtoull(name + begin, NULL, 10) : 0;
}

/* Segments of the store that are directories of this job's savepoints. */
static int note_candidate(void *context, const char *segment, const cairn_object_stat *stat)
{
    struct candidates *c = context;
    size_t n = strlen(segment);
    if (stat != NULL || n == 0 || segment[n - 1] != '/')
        return 0;
    CRN_AUTO_FREE char *name = crn_str_dup_n(segment, n - 1);
    const uint64_t id = name != NULL ? id_in(name) : 0;
    if (id == 0 || id >= c->below || !crn_savepoint_name_is(name, c->job, id))
        return 0;
    size_t at = 0;
    while (at < c->count && c->items[at].id > id)
        at++;
    if (at == CANDIDATES_MAX)
        return 0;
    if (c->count == CANDIDATES_MAX)
        free(c->items[--c->count].name);
    memmove(&c->items[at + 1], &c->items[at], (c->count - at) * sizeof c->items[0]);
    c->items[at] = (struct candidate){id, CRN_TAKE(name)};
    c->count++;
    return 0;
}

static bool is_usable(const struct crn_record *record, const struct cairn_job *job, uint64_t id)
{
    return record->info.id == id && record->info.kind == CAIRN_RECORD_SAVEPOINT &&
           crn_record_is_restorable(record) && record->info.format == CAIRN_NATIVE &&
           strcmp(record->job, job->name) == 0;
}

void crn_savepoint_find_previous(cairn_store *store, const struct cairn_job *job, uint64_t id,
                                 struct crn_savepoint_previous *ret)
{
    CRN_CLEANUP(candidates_done) struct candidates found = {.job = job->name, .below = id};
    *ret = (struct crn_savepoint_previous){0};
    if (store->ops->list_segments(store, "", note_candidate, &found, NULL) < 0)
        return;
    for (size_t i = 0; i < found.count && ret->record == NULL; i++) {
        CRN_AUTO_RECORD struct crn_record *record = NULL;
        struct candidate *candidate = &found.items[i];
        if (crn_joblog_read_record(store, candidate->name, candidate->id, &record, NULL, NULL,
                                   NULL) < 0 ||
            !is_usable(record, job, candidate->id))
            continue;
        ret->record = CRN_TAKE(record);
        ret->name = CRN_TAKE(candidate->name);
    }
}

const struct crn_subtask *crn_savepoint_previous_subtask(const struct crn_savepoint_run *run,
                                                         const struct cairn_task *task)
{
    const struct crn_record *record = run->previous.record;
    for (size_t o = 0; record != NULL && o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        if (strcmp(op->info.uid, task->uid) == 0 && task->options.subtask < op->subtask_count)
            return &op->subtasks[task->options.subtask];
    }
    return NULL;
}
