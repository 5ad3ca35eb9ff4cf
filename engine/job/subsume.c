/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subsumption: after checkpoint N is committed with its log_start, everything below log_start goes.
 * Of a savepoint that is the log's pointer to it, never its directory, which is the user's.
 *
 * Attempts may be in flight meanwhile, and reference what their base stores. The invariant: the log
 * never begins above the base of an attempt in flight, whatever num_retained is. So an object of a
 * complete checkpoint that can still come to be referenced is referenced by a record that stands,
 * and nobody who deletes by the log touches it: not this, not a collector in another process, not
 * whoever opens the job after a crash (P5). publish.c chooses the begin together with the record,
 * and flights.c keeps anybody new from building on what is below it; so a base outlives its
 * successor by as long as such an attempt takes, and goes with the first checkpoint that is
 * completed after that (P6). Objects that an attempt has uploaded itself are known to nobody else
 * until it is confirmed: two attempts may both bring the same table, under different names.
 *
 * Manifests first, then the objects that only those referenced (P5): a crash in between leaves
 * objects that no manifest references, never the reverse. What cannot be removed now stays in
 * job->garbage and is tried again after the next completed checkpoint (P6); a crash hands it to the
 * collector at open.
 *
 * Driver thread; job->lock only to look at what is in flight.
 */
#include "engine/job/job.h"

#include <assert.h>
#include <string.h>

#define REMOVE_BATCH 512u

/* Losing a key for want of memory only delays its removal until the next open. */
void crn_garbage_add(struct cairn_job *job, const char *key)
{
    if (job->garbage_count == job->garbage_capacity) {
        size_t capacity = job->garbage_capacity == 0 ? 64 : job->garbage_capacity * 2;
        char **garbage = realloc(job->garbage, capacity * sizeof *garbage);
        if (garbage == NULL)
            return;
        job->garbage = garbage;
        job->garbage_capacity = capacity;
    }
    char *copy = crn_str_dup_n(key, strlen(key));
    if (copy != NULL)
        job->garbage[job->garbage_count++] = copy;
}

static bool is_manifest(const char *key)
{
    return crn_key_parse(key).type == CRN_KEY_MANIFEST;
}

/* Keys [first, first + n) of one kind in one call. */
static int remove_batch(struct cairn_job *job, size_t first, size_t n, cairn_error **reterr)
{
    char *keys[REMOVE_BATCH] = {0};
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = crn_joblog_key(job->name, job->garbage[first + i], &keys[i], reterr);
    if (r == 0)
        r = job->store->ops->remove(job->store, (const char *const *)keys, n, reterr);
    for (size_t i = 0; i < n; i++)
        free(keys[i]);
    return r;
}

/* One batch from `first`; gives its size. A batch holds either manifests or objects. */
static size_t next_batch(const struct cairn_job *job, size_t first)
{
    size_t n = 1;
    bool manifests = is_manifest(job->garbage[first]);
    while (first + n < job->garbage_count && n < REMOVE_BATCH &&
           is_manifest(job->garbage[first + n]) == manifests)
        n++;
    return n;
}

/* What cannot be removed stays for the next time, and does not keep the rest from going: everything
 * here is dead. Only a store that does not answer is left alone. */
void crn_garbage_remove(struct cairn_job *job)
{
    CRN_AUTO_ERROR cairn_error *first_error = NULL;
    size_t kept = 0;
    bool gone = false;
    for (size_t i = 0, n; i < job->garbage_count; i += n) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        n = next_batch(job, i);
        int r = gone ? CAIRN_EUNAVAIL : remove_batch(job, i, n, &error);
        gone |= cairn_error_class_of(r) == CAIRN_CLASS_RETRY;
        for (size_t k = i; k < i + n; k++)
            if (r < 0)
                job->garbage[kept++] = job->garbage[k];
            else
                free(job->garbage[k]);
        if (r < 0 && first_error == NULL)
            first_error = CRN_TAKE(error);
    }
    job->garbage_count = kept;
    if (kept > 0)
        crn_log_write(
            &job->log, CAIRN_LOG_WARNING, "subsume",
            "job '%s': up to %zu objects could not be removed, tried again after the next "
            "checkpoint: %s",
            job->name, kept, cairn_error_message(first_error));
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Objects that the first `dropped` entries reference and the rest do not. */
static int add_dead_objects(struct cairn_job *job, size_t dropped)
{
    const struct crn_joblog *log = &job->joblog;
    CRN_AUTO_FREE const struct crn_record **records = calloc(log->count, sizeof *records);
    CRN_AUTO_FREE const char **old = NULL;
    CRN_AUTO_FREE const char **live = NULL;
    size_t old_count, live_count, n = 0;
    if (records == NULL)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < dropped; i++)
        if (log->entries[i].record != NULL)
            records[n++] = log->entries[i].record;
    CRN_TRY(crn_log_live_objects(records, n, &old, &old_count));
    n = 0;
    for (size_t i = dropped; i < log->count; i++)
        if (log->entries[i].record != NULL)
            records[n++] = log->entries[i].record;
    CRN_TRY(crn_log_live_objects(records, n, &live, &live_count));
    for (size_t i = 0; i < old_count; i++)
        if (bsearch(&old[i], live, live_count, sizeof *live, compare_keys) == NULL)
            crn_garbage_add(job, old[i]);
    return 0;
}

static void forget_entries(struct cairn_job *job, size_t dropped)
{
    struct crn_joblog *log = &job->joblog;
    for (size_t i = 0; i < dropped; i++) {
        if (log->entries[i].record == job->restored)
            job->restored = NULL;
        crn_record_free(log->entries[i].record);
        cairn_error_free(log->entries[i].error);
    }
    memmove(log->entries, log->entries + dropped, (log->count - dropped) * sizeof *log->entries);
    log->count -= dropped;
}

static void assert_invariant(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    uint64_t base = crn_flight_lowest_base_locked(job, NULL);
    assert(base == 0 || base >= job->joblog.log_start);
    (void)base;
    crn_mutex_unlock(&job->lock);
}

uint64_t crn_subsume(struct cairn_job *job)
{
    const struct crn_joblog *log = &job->joblog;
    assert_invariant(job);
    uint64_t subsumed = 0;
    size_t dropped = 0;
    bool unreadable = false;
    for (; dropped < log->count && log->entries[dropped].id < log->log_start; dropped++) {
        const struct crn_joblog_entry *entry = &log->entries[dropped];
        char key[CRN_KEY_MAX];
        crn_key_manifest(key, entry->id);
        crn_garbage_add(job, key);
        if (entry->record == NULL)
            unreadable = true;
        else if (crn_record_is_restorable(entry->record))
            subsumed = entry->id;
    }
    if (dropped > 0) {
        /* What an unreadable manifest referenced is not known here: the collector finds it. So does
         * it when there is no memory for the sets. */
        if (add_dead_objects(job, dropped) < 0 || unreadable)
            job->gc_wanted = true;
        forget_entries(job, dropped);
    }
    return subsumed;
}
