/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where a job's log must end, as its objects tell.
 *
 * Every record says of how many ids above it there may be objects: of attempts that are in flight,
 * or were cut short. So if the objects were listed before the log was read, one beyond those ids
 * proves that records at the top are lost, and what is left is an older state than was committed.
 * So does one of a higher epoch than the log knows: its writer began with a fence. One within the
 * ids proves nothing; but if the log misses its begin as well, which nobody but a newer record
 * moves, this is that record's. What a fenced writer left above the fence proves nothing either. A
 * job writes its first record before its first object, so objects without any record are a lost
 * log.
 *
 * Whoever opens, reads or collects a job judges it here, so that all say the same. No locks; any
 * thread; nothing is changed.
 */

#include "engine/log/claimed.h"
#include "engine/log/joblog.h"
#include "backends/storage/storage.h"
#include <inttypes.h>
#include <string.h>

void crn_joblog_note_object(struct crn_joblog_objects *objects, const char *key)
{
    struct crn_key_info info = crn_key_parse(key);
    objects->is_leaving |= info.type == CRN_KEY_MARK;
    if (info.type != CRN_KEY_OBJECT)
        return;
    if (objects->count == 0 || info.id < objects->first_id)
        objects->first_id = info.id;
    if (info.id > objects->last_id)
        objects->last_id = info.id;
    if (info.epoch > objects->epoch) {
        objects->epoch = info.epoch;
        objects->epoch_last_id = 0;
    }
    if (info.epoch == objects->epoch && info.id > objects->epoch_last_id)
        objects->epoch_last_id = info.id;
    objects->has_shared |= info.shared;
    objects->count++;
}

static int note_listed(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)stat;
    crn_joblog_note_object(context, key);
    return 0;
}

int crn_joblog_look(cairn_store *store, const char *job, struct crn_joblog_objects *ret,
                    cairn_error **reterr)
{
    *ret = (struct crn_joblog_objects){0};
    return crn_joblog_list(store, job, "", note_listed, ret, reterr);
}

/* No savepoint alone left these behind. */
static bool are_a_jobs(const struct crn_joblog_objects *objects)
{
    return objects->has_shared || objects->first_id < objects->last_id;
}

int crn_joblog_find_lost(cairn_store *store, const char *job, bool *ret_found, cairn_error **reterr)
{
    static const char *const places[] = {"shared/", "chk-", CRN_MARK_CLAIMED, CRN_MARK_DISPOSING};
    struct crn_joblog_objects objects = {0};
    for (size_t i = 0; i < CRN_COUNT(places); i++)
        CRN_TRY(crn_joblog_list(store, job, places[i], note_listed, &objects, reterr));
    *ret_found = are_a_jobs(&objects) && !objects.is_leaving;
    return 0;
}

int crn_joblog_fail_lost(const char *job, const struct crn_joblog_objects *objects,
                         cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    char name[CRN_KEY_MAX];
    crn_key_manifest(name, objects->last_id);
    CRN_TRY(crn_joblog_key(job, name, &key, reterr));
    if (!are_a_jobs(objects))
        return crn_err_fail(reterr, CAIRN_EMISSING, key,
                            "'%s' has chk-%" PRIu64 " but no MANIFEST-chk%" PRIu64
                            ": an unfinished savepoint, or its manifest is lost",
                            job, objects->last_id, objects->last_id);
    return crn_err_fail(reterr, CAIRN_EMISSING, key,
                        "'%s' has objects up to id %" PRIu64
                        " but no manifest: they are lost, '%s' is the newest; put them back from "
                        "a copy (a service that sets start_empty gives them up)",
                        job, objects->last_id, key);
}

int crn_joblog_fail_absent(cairn_store *store, const char *job,
                           const struct crn_joblog_objects *objects, cairn_error **reterr)
{
    if (objects->count > 0 && !objects->is_leaving)
        return crn_joblog_fail_lost(job, objects, reterr);
    return crn_claimed_fail_absent(store, job, reterr);
}

bool crn_joblog_misses_its_begin(const struct crn_joblog *log)
{
    return log->count > 0 && cairn_error_code(log->entries[0].error) == CAIRN_EMISSING;
}

bool crn_joblog_has_unresolved(const struct crn_joblog *log,
                               const struct crn_joblog_objects *objects)
{
    return objects->epoch >= log->epoch && objects->epoch_last_id > log->head_id;
}

bool crn_joblog_has_lost_top(const struct crn_joblog *log, const struct crn_joblog_objects *objects)
{
    if (!crn_joblog_has_unresolved(log, objects))
        return false;
    const uint64_t reach = log->ids_ahead > 0 ? log->ids_ahead : 1;
    /* A head that cannot be read may be the fence of that epoch. */
    bool knows_epoch = log->count > 0 && log->entries[log->count - 1].record != NULL;
    return (knows_epoch && objects->epoch > log->epoch) ||
           objects->epoch_last_id - log->head_id > reach;
}

/* Only the records that are lost moved the log's begin, and so made the hole there. */
static void drop_low_hole(struct crn_joblog *log)
{
    cairn_error_free(log->entries[0].error);
    log->count--;
    memmove(log->entries, log->entries + 1, log->count * sizeof *log->entries);
    log->log_start = log->entries[0].id;
}

int crn_joblog_judge_top(struct crn_joblog *log, const struct crn_joblog_objects *objects,
                         cairn_error **reterr)
{
    const uint64_t head = log->head_id;
    char name[CRN_KEY_MAX];
    CRN_AUTO_FREE char *key = NULL;
    const bool is_lost =
        crn_joblog_has_lost_top(log, objects) ||
        (crn_joblog_misses_its_begin(log) && crn_joblog_has_unresolved(log, objects));
    if (head == 0 || !is_lost)
        return 0;
    crn_key_manifest(name, head + 1);
    CRN_TRY(crn_joblog_key(log->job, name, &key, reterr));
    struct crn_joblog_entry *entries =
        realloc(log->entries, (log->count + 1) * sizeof *log->entries);
    if (entries == NULL)
        return crn_err_nomem(reterr);
    log->entries = entries;
    if (crn_joblog_misses_its_begin(log))
        drop_low_hole(log);
    struct crn_joblog_entry *entry = &log->entries[log->count++];
    *entry = (struct crn_joblog_entry){.id = head + 1};
    /* The error is the entry's value. */
    (void)crn_err_fail(&entry->error, CAIRN_EMISSING, key,
                       "job '%s': there are objects of id %" PRIu64
                       " but no manifest above id %" PRIu64
                       ": the newest manifests are lost, '%s' is the first",
                       log->job, objects->epoch_last_id, head, key);
    log->lost_top = true;
    return 0;
}

int crn_joblog_read_judged(cairn_store *store, const char *job, struct crn_joblog *ret,
                           cairn_error **reterr)
{
    return crn_joblog_visit_judged(store, job, NULL, ret, reterr);
}

int crn_joblog_visit_judged(cairn_store *store, const char *job,
                            const struct crn_joblog_visitor *visitor, struct crn_joblog *ret,
                            cairn_error **reterr)
{
    CRN_CLEANUP(crn_joblog_done) struct crn_joblog log = {0};
    struct crn_joblog_objects objects;
    CRN_TRY(crn_joblog_look(store, job, &objects, reterr));
    CRN_TRY(crn_joblog_visit(store, job, visitor, &log, reterr));
    if (log.count == 0)
        return crn_joblog_fail_absent(store, job, &objects, reterr);
    CRN_TRY(crn_joblog_judge_top(&log, &objects, reterr));
    *ret = log;
    log = (struct crn_joblog){0};
    return 0;
}
