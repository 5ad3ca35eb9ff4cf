/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Committing to a job's log: the one moment at which a checkpoint begins to exist (P1), and the one
 * place where two writers meet (P7).
 *
 * The store's create-if-absent decides. What it answers may be lost on the way, and then neither
 * silence nor an object that is not there yet proves anything: the write may still be under way. So
 * the same bytes are created again until somebody's record is there, and the uuid in it tells whose
 * it is.
 *
 * Winning the id is not enough. A writer that slept may create an id that was used, subsumed and
 * removed long ago. So after winning, the log is listed: if anything stands above this id, the job
 * has moved on without this writer, and its record is a stray that readers ignore because it lies
 * below the log's begin. It is left alone: whether it is a stray is for garbage collection to
 * judge. But a collector that finds objects of several attempts in flight resolves their ids, too,
 * once this one is: aborted records of this writer's own epoch right above it are no other
 * writer's.
 *
 * A job that another one claims loses its whole directory, and a writer that slept through it would
 * begin a new log. So before the create the head must be there, as a log's head always is. One that
 * falls asleep right behind this look finds afterwards that the record before its own is gone. If
 * its record begins the log, a collector may have done that, which takes it for the head, but
 * leaves its objects alone; a claimer marks the directory, and removes all objects. If the log was
 * to reach further back, it was a claimer. Then the record is taken back, so that nothing is left
 * that looks like a job.
 *
 * Only a fence that begins the log anew, because its top is lost and given up, has no head before
 * it. It fences all the same: a writer of the lost log finds its own head gone, or this fence.
 *
 * No locks; any thread. @crash the record exists or not; whoever opens the job next reads which.
 */

#include "engine/log/joblog.h"
#include "backends/storage/storage.h"
#include "base/thread.h"
#include <inttypes.h>
#include <string.h>

#define COMMIT_ATTEMPTS 6u
#define COMMIT_PAUSE_US 10000u
/* Attempts of one writer that are in flight: no more ids can be resolved for it. */
#define MAINTENANCE_MAX 64u

struct commit {
    cairn_store *store;
    const struct crn_record *record;
    char *key;
    struct cairn_buffer bytes;
    struct crn_hash128 hash;
    bool in_doubt; /* some attempt may have been applied, or may still be */
};

static void commit_done(struct commit *commit)
{
    free(commit->key);
    crn_buf_done(&commit->bytes);
}

/* 10, 20, 40, ... ms, each made up to twice as long by chance, so that writers that collide part.
 */
static void pause_before_retry(unsigned attempt)
{
    uint64_t base = (uint64_t)COMMIT_PAUSE_US << attempt;
    crn_sleep_us(base + crn_random_u64() % base);
}

/* Who has the id? 1: this record; CAIRN_EEXIST and *ret_found: another one; else why it cannot be
 * told, CAIRN_ENOTFOUND if nothing is there now. */
static int read_back(const struct commit *commit, struct crn_record **ret_found,
                     cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer data = {0};
    CRN_AUTO_RECORD struct crn_record *found = NULL;
    const struct crn_record *mine = commit->record;

    CRN_TRY(crn_store_get_bytes(commit->store, commit->key, CRN_LIMIT_MANIFEST, &data, reterr));
    struct crn_hash128 hash = crn_hash128_of(data.data, data.size);
    if (memcmp(&hash, &commit->hash, sizeof hash) == 0)
        return 1;
    CRN_TRY(crn_record_decode(commit->key, data.data, data.size, &found, reterr));
    if (memcmp(found->info.uuid, mine->info.uuid, sizeof found->info.uuid) == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, commit->key,
                            "manifest '%s' has this commit's uuid but other bytes", commit->key);
    *ret_found = CRN_TAKE(found);
    return crn_err_fail(reterr, CAIRN_EEXIST, commit->key,
                        "id %" PRIu64 " of job '%s' was taken by another record", mine->info.id,
                        mine->job);
}

/* The record is there although its create did not say so: seen is not yet durable. 1 or
 * CAIRN_EUNKNOWN. */
static int make_durable(struct commit *commit, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (commit->store->ops->flush(commit->store, &error) == 0)
        return 1;
    commit->in_doubt = true;
    return crn_err_move(reterr, &error, CAIRN_EUNKNOWN);
}

/* What stands in the log beside the record. */
struct neighbours {
    uint64_t id; /* of the record */
    uint64_t highest;
    bool has_previous; /* the id before it */
};

static int note_neighbour(void *context, const char *key, const cairn_object_stat *stat)
{
    struct neighbours *found = context;
    (void)stat;
    struct crn_key_info info = crn_key_parse(key);
    if (info.type != CRN_KEY_MANIFEST)
        return 0;
    if (info.id > found->highest)
        found->highest = info.id;
    found->has_previous |= info.id == found->id - 1;
    return 0;
}

static int find_neighbours(const struct commit *commit, struct neighbours *ret,
                           cairn_error **reterr)
{
    *ret = (struct neighbours){.id = commit->record->info.id};
    return crn_joblog_list(commit->store, commit->record->job, CRN_JOBLOG_PREFIX, note_neighbour,
                           ret, reterr);
}

static int fail_overtaken(const struct commit *commit, uint64_t highest, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EFENCED, commit->key,
                        "job '%s' is at id %" PRIu64 " already: another writer has taken over",
                        commit->record->job, highest);
}

/* 1: all that stands above are ids in a row that maintenance has resolved under this writer. 0: not
 * so. Else the store's error. */
static int is_maintenance(const struct commit *commit, uint64_t highest, cairn_error **reterr)
{
    const struct crn_record *mine = commit->record;
    if (highest - mine->info.id > MAINTENANCE_MAX)
        return 0;
    for (uint64_t id = mine->info.id + 1; id <= highest; id++) {
        CRN_AUTO_RECORD struct crn_record *found = NULL;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = crn_joblog_read_record(commit->store, mine->job, id, &found, NULL, NULL, &error);
        if (r < 0 && cairn_error_class_of(r) == CAIRN_CLASS_RETRY)
            return crn_err_move(reterr, &error, r);
        if (r < 0 || found->info.kind != CAIRN_RECORD_ABORTED ||
            found->info.epoch != mine->info.epoch)
            return 0;
    }
    return 1;
}

/* Whose record it was cannot be told from the bytes. But we write no id above one that we have not
 * resolved, so if one is there it is another writer's. */
static int judge_corrupt(const struct commit *commit, cairn_error **why, cairn_error **reterr)
{
    struct neighbours found;
    if (find_neighbours(commit, &found, NULL) == 0 && found.highest > found.id)
        return fail_overtaken(commit, found.highest, reterr);
    return crn_err_move(reterr, why, CAIRN_ECORRUPT);
}

/* One try: 1 won; CAIRN_EEXIST and *ret_found lost; CAIRN_EUNAVAIL or CAIRN_EUNKNOWN try again;
 * else final. */
static int try_create(struct commit *commit, struct crn_record **ret_found, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = commit->store->ops->create(commit->store, commit->key, commit->bytes.data,
                                       commit->bytes.size, &error);
    if (r == 0)
        return 1;
    if (r == CAIRN_EUNKNOWN || r == CAIRN_ETIMEOUT) {
        commit->in_doubt = true;
        return crn_err_move(reterr, &error, CAIRN_EUNKNOWN);
    }
    if (r != CAIRN_EEXIST)
        return crn_err_move(reterr, &error, r);

    CRN_AUTO_ERROR cairn_error *read_error = NULL;
    r = read_back(commit, ret_found, &read_error);
    switch (r) {
    case 1:
        return make_durable(commit, reterr);
    case CAIRN_ENOTFOUND: /* removed between the two calls: the log went on far beyond it */
        return crn_err_fail(reterr, CAIRN_EFENCED, commit->key,
                            "manifest '%s' was written by another writer and removed again",
                            commit->key);
    case CAIRN_EUNAVAIL:
    case CAIRN_ETIMEOUT: /* somebody has it; not knowing who is the doubt */
        commit->in_doubt = true;
        return crn_err_move(reterr, &read_error, CAIRN_EUNKNOWN);
    case CAIRN_EVERSION: /* this library wrote nothing newer than itself */
        return crn_err_fail(reterr, CAIRN_EFENCED, commit->key,
                            "a newer version of Cairn has taken over job '%s': '%s' cannot be read",
                            commit->record->job, commit->key);
    case CAIRN_ECORRUPT:
        return judge_corrupt(commit, &read_error, reterr);
    default:
        return crn_err_move(reterr, &read_error, r);
    }
}

/* Answers after which a store that does not keep its contract may hold the record all the same. */
static bool may_stand(int r)
{
    return r == CAIRN_EUNAVAIL || r == CAIRN_EIO;
}

static int create_and_settle(struct commit *commit, struct crn_record **ret_found,
                             cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    bool unsure = false;
    int r = 0;
    for (unsigned attempt = 0; attempt < COMMIT_ATTEMPTS; attempt++) {
        if (attempt > 0)
            pause_before_retry(attempt - 1);
        cairn_error_free(CRN_TAKE(error));
        r = try_create(commit, ret_found, &error);
        if (r == 1)
            return 0;
        unsure |= may_stand(r);
        if (r != CAIRN_EUNKNOWN && r != CAIRN_EUNAVAIL)
            break;
    }
    /* An error that is clear now does not clear up an earlier one. */
    bool in_doubt = commit->in_doubt || (unsure && !may_stand(r));
    if (r == CAIRN_EEXIST || r == CAIRN_EFENCED || !in_doubt)
        return crn_err_move(reterr, &error, r);
    return crn_err_fail(reterr, CAIRN_EUNKNOWN, commit->key,
                        "it is not known whether '%s' was written: %s", commit->key,
                        cairn_error_message(error));
}

static int fail_removed(const struct commit *commit, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EFENCED, commit->key,
                        "the log of job '%s' was removed: another job has claimed its state",
                        commit->record->job);
}

/* 1 or 0; else the store's error, CAIRN_EUNAVAIL if that may pass: nothing has happened yet. */
static int exists(const struct commit *commit, const char *relative, cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    int r = 0;
    CRN_TRY(crn_joblog_key(commit->record->job, relative, &key, reterr));
    for (unsigned attempt = 0; attempt < COMMIT_ATTEMPTS; attempt++) {
        if (attempt > 0)
            pause_before_retry(attempt - 1);
        cairn_error_free(CRN_TAKE(error));
        r = commit->store->ops->stat(commit->store, key, &stat, &error);
        if (r == 0 || r == CAIRN_ENOTFOUND)
            return r == 0;
        if (cairn_error_class_of(r) != CAIRN_CLASS_RETRY)
            return crn_err_move(reterr, &error, r);
    }
    return crn_err_fail(reterr, CAIRN_EUNAVAIL, key, "%s", cairn_error_message(error));
}

/* P7: the head that the record follows is there, or the record itself is, from an earlier try. */
static int check_head(const struct commit *commit, cairn_error **reterr)
{
    const uint64_t id = commit->record->info.id;
    char name[CRN_KEY_MAX];
    for (uint64_t wanted = id - 1; id > 1 && wanted <= id; wanted++) {
        crn_key_manifest(name, wanted);
        int r = exists(commit, name, reterr);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return id == 1 ? 0 : fail_removed(commit, reterr);
}

static const char *first_object(const struct crn_record *record)
{
    for (size_t o = 0; o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++) {
            const struct crn_subtask *subtask = &record->operators[o].subtasks[s];
            for (size_t f = 0; f < subtask->file_count; f++)
                if (subtask->files[f].info.object != NULL)
                    return subtask->files[f].info.object;
        }
    return NULL;
}

/* The record stands, and the one before it does not any more: see the top. */
static int judge_lone_record(const struct commit *commit, cairn_error **reterr)
{
    const char *object = first_object(commit->record);
    const char *keys[] = {commit->key};
    /* Only a record that begins the log lets the one before it go. */
    bool begins = commit->record->info.log_start == commit->record->info.id;
    int claimed = exists(commit, CRN_MARK_CLAIMED, NULL);
    int whole = !begins ? 0 : object != NULL ? exists(commit, object, NULL) : 1;
    if (claimed < 0 || whole < 0)
        return crn_err_fail(reterr, CAIRN_EUNKNOWN, commit->key,
                            "'%s' was written, but whether its log was removed is not known",
                            commit->key);
    if (claimed == 0 && whole == 1)
        return 0;
    (void)commit->store->ops->remove(commit->store, keys, 1, NULL); /* a stray is left, then */
    return fail_removed(commit, reterr);
}

/* P7: 0 if nothing stands above the record that was just created, and the log below it stands. */
static int check_neighbours(const struct commit *commit, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct neighbours found = {0};
    int r = CAIRN_EUNKNOWN;

    /* The record stands: from here on "it did not happen" would be a lie, even without memory. */
    for (unsigned attempt = 0; attempt < COMMIT_ATTEMPTS; attempt++) {
        if (attempt > 0)
            pause_before_retry(attempt - 1);
        cairn_error_free(CRN_TAKE(error));
        r = find_neighbours(commit, &found, &error);
        if (r == 0 && found.highest > found.id)
            r = is_maintenance(commit, found.highest, &error);
        if (r >= 0)
            break;
    }
    if (r < 0)
        return crn_err_fail(reterr, CAIRN_EUNKNOWN, commit->key,
                            "'%s' was written, but whether it is the newest is not known: %s",
                            commit->key, cairn_error_message(error));
    if (found.highest > found.id && r == 0)
        return fail_overtaken(commit, found.highest, reterr);
    return found.id == 1 || found.has_previous ? 0 : judge_lone_record(commit, reterr);
}

static int commit_record(cairn_store *store, const struct crn_record *record, bool is_anew,
                         struct crn_hash128 *ret_hash, struct crn_record **ret_found,
                         cairn_error **reterr)
{
    CRN_CLEANUP(commit_done) struct commit commit = {.store = store, .record = record};
    char name[CRN_KEY_MAX];

    crn_key_manifest(name, record->info.id);
    CRN_TRY(crn_joblog_key(record->job, name, &commit.key, reterr));
    CRN_TRY(crn_record_encode(record, &commit.bytes, reterr));
    commit.hash = crn_hash128_of(commit.bytes.data, commit.bytes.size);
    if (!is_anew)
        CRN_TRY(check_head(&commit, reterr));
    CRN_TRY(create_and_settle(&commit, ret_found, reterr));
    CRN_TRY(check_neighbours(&commit, reterr));
    *ret_hash = commit.hash;
    return 0;
}

int crn_joblog_commit(cairn_store *store, const struct crn_record *record,
                      struct crn_hash128 *ret_hash, struct crn_record **ret_found,
                      cairn_error **reterr)
{
    return commit_record(store, record, false, ret_hash, ret_found, reterr);
}

int crn_joblog_commit_anew(cairn_store *store, const struct crn_record *record,
                           struct crn_hash128 *ret_hash, struct crn_record **ret_found,
                           cairn_error **reterr)
{
    return commit_record(store, record, true, ret_hash, ret_found, reterr);
}
