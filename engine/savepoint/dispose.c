/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a savepoint. Only what is known to be one is touched: a directory with one manifest,
 * which can be read and is a savepoint's, or with the mark of an earlier disposal that was cut
 * short. Of it goes what that savepoint's keys can be; whatever else stands there stays, and is
 * counted. Forced, also what a claimer could not remove, of a savepoint or of a job: of that a mark
 * is left, but no manifest.
 *
 * Order, each step durable before the next one:
 *   1. the mark DISPOSING;
 *   2. a look for the mark CLAIMED: of a job and a disposal that come together at most one goes on;
 *   3. the manifest: now it is no savepoint any more (P1);
 *   4. its objects;
 *   5. the marks, DISPOSING last.
 *
 * @crash between any two: the mark says that this was a savepoint, and which; the same call goes on
 * from there. Without force, a claim that came first wins, and the mark is taken back.
 *
 * No locks.
 */
#include "backends/storage/storage.h"
#include "base/thread.h"
#include "cairn/inspect.h"
#include "engine/inspect/survey.h"
#include "engine/options.h"
#include "manifest/marks.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define BATCH 512u
#define TEMPORARY_MIN_AGE_MS (UINT64_C(60) * 60 * 1000) /* as in gc.c */

struct disposal {
    cairn_store *store;
    const char *name;
    cairn_dispose_options options;
    struct crn_survey survey; /* the objects, and what the one record says */
    size_t manifests;
    bool is_marked;      /* a disposal was begun before, or by us */
    bool is_mark_ours;   /* this call made the mark */
    bool is_claimed_job; /* what is left of a job's directory that was claimed */
    struct crn_mark who; /* id and uuid of the savepoint */
    cairn_dispose_report report;
};

static void disposal_done(struct disposal *disposal)
{
    crn_survey_done(&disposal->survey);
    crn_mark_done(&disposal->who);
}

/* --- what is it? --- */

static int read_mark(struct disposal *disposal, enum crn_mark_kind kind, struct crn_mark *ret,
                     cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_TRY(crn_joblog_key(disposal->name, crn_mark_key(kind), &key, reterr));
    CRN_TRY(crn_store_get_bytes(disposal->store, key, CRN_LIMIT_MARK, &bytes, reterr));
    return crn_mark_decode(key, bytes.data, bytes.size, ret, reterr);
}

static int fail_claimed(const struct disposal *disposal, const struct crn_mark *claim,
                        cairn_error **reterr)
{
    if (claim->job == NULL)
        return crn_err_fail(reterr, CAIRN_EBUSY, disposal->name,
                            "savepoint '%s' is claimed by a job; by which, its mark does not tell: "
                            "it is damaged",
                            disposal->name);
    return crn_err_fail(reterr, CAIRN_EBUSY, disposal->name,
                        "savepoint '%s' is claimed by job '%s' of '%s', which removes it",
                        disposal->name, claim->job, claim->location);
}

/* A claim is in the way, unless it may be overridden. Whatever stands at the mark's key counts. */
static int check_claim(struct disposal *disposal, cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark claim = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = read_mark(disposal, CRN_MARK_CLAIM, &claim, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r < 0 && r != CAIRN_ECORRUPT && r != CAIRN_EVERSION)
        return crn_err_move(reterr, &error, r);
    return disposal->options.force ? 0 : fail_claimed(disposal, &claim, reterr);
}

/* Without a manifest only a mark can tell that this was a savepoint. */
static int learn_from_mark(struct disposal *disposal, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = read_mark(disposal, CRN_MARK_DISPOSAL, &disposal->who, &error);
    disposal->is_marked = r == 0;
    if (r == CAIRN_ENOTFOUND && disposal->options.force) {
        cairn_error_free(CRN_TAKE(error));
        r = read_mark(disposal, CRN_MARK_CLAIM, &disposal->who, &error);
        disposal->is_claimed_job = r == 0 && disposal->who.of_job;
    }
    if (r == CAIRN_ENOTFOUND && disposal->survey.count == 0)
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, disposal->name,
                            "there is no savepoint '%s' in this store", disposal->name);
    if (r == CAIRN_ENOTFOUND)
        return crn_err_fail(reterr, CAIRN_EINVAL, disposal->name,
                            "'%s' has no manifest: it is not a savepoint", disposal->name);
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

static int learn_from_manifest(struct disposal *disposal, cairn_error **reterr)
{
    const struct crn_joblog *log = &disposal->survey.log;
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (disposal->manifests > 1)
        return crn_err_fail(reterr, CAIRN_EINVAL, disposal->name,
                            "'%s' is a job's directory, not a savepoint's", disposal->name);
    CRN_TRY(crn_joblog_require_whole(log, reterr));
    if (!crn_joblog_is_savepoint(log))
        return crn_err_fail(reterr, CAIRN_EINVAL, disposal->name,
                            "'%s' is a job's directory, not a savepoint's", disposal->name);
    const cairn_record_info *info = &log->entries[0].record->info;
    disposal->who.id = info->id;
    memcpy(disposal->who.uuid, info->uuid, sizeof info->uuid);
    const int r = read_mark(disposal, CRN_MARK_DISPOSAL, &mark, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    disposal->is_marked = true;
    if (mark.id == info->id && memcmp(mark.uuid, info->uuid, sizeof mark.uuid) == 0)
        return 0;
    return crn_err_fail(reterr, CAIRN_ECORRUPT, disposal->name,
                        "the mark in '%s' says that another savepoint is being removed",
                        disposal->name);
}

static int learn(struct disposal *disposal, cairn_error **reterr)
{
    CRN_TRY(crn_survey_list(disposal->store, disposal->name, &disposal->survey, reterr));
    for (size_t i = 0; i < disposal->survey.count; i++)
        disposal->manifests +=
            crn_key_parse(disposal->survey.objects[i].key).type == CRN_KEY_MANIFEST;
    if (disposal->manifests == 0)
        return learn_from_mark(disposal, reterr);
    CRN_TRY(crn_joblog_read(disposal->store, disposal->name, &disposal->survey.log, reterr));
    return disposal->survey.log.count > 0 ? learn_from_manifest(disposal, reterr)
                                          : learn_from_mark(disposal, reterr);
}

/* --- removing it --- */

/* Objects of one kind, gathered for one call of the store. */
struct batch {
    const struct crn_survey_object *objects[BATCH];
    size_t count;
};

static int remove_keys(struct disposal *disposal, const char *const *relative, size_t count,
                       cairn_error **reterr)
{
    char *keys[BATCH] = {0};
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = crn_joblog_key(disposal->name, relative[i], &keys[i], reterr);
    if (r == 0)
        r = disposal->store->ops->remove(disposal->store, (const char *const *)keys, count, reterr);
    for (size_t i = 0; i < count; i++)
        free(keys[i]);
    return r;
}

static int remove_batch(struct disposal *disposal, struct batch *batch, cairn_error **reterr)
{
    const char *keys[BATCH];
    for (size_t i = 0; i < batch->count; i++)
        keys[i] = batch->objects[i]->key;
    if (batch->count > 0 && !disposal->options.dry_run)
        CRN_TRY(remove_keys(disposal, keys, batch->count, reterr));
    for (size_t i = 0; i < batch->count; i++) {
        disposal->report.removed_count++;
        disposal->report.removed_bytes += batch->objects[i]->size;
        if (disposal->options.object != NULL)
            disposal->options.object(disposal->options.context, batch->objects[i]->key,
                                     batch->objects[i]->size);
    }
    batch->count = 0;
    return 0;
}

/* Could it be the savepoint's own? An object of another id or a shared one is not, unless it is
 * what the claimer of a job has left. */
static bool is_own(const struct disposal *disposal, const char *key, enum crn_key_type type)
{
    const struct crn_key_info info = crn_key_parse(key);
    if (disposal->is_claimed_job)
        return info.type == type;
    return info.type == type && info.id == disposal->who.id && !info.shared;
}

static int remove_own(struct disposal *disposal, enum crn_key_type type, cairn_error **reterr)
{
    struct batch batch = {0};
    for (size_t i = 0; i < disposal->survey.count; i++) {
        if (!is_own(disposal, disposal->survey.objects[i].key, type))
            continue;
        batch.objects[batch.count++] = &disposal->survey.objects[i];
        if (batch.count == BATCH)
            CRN_TRY(remove_batch(disposal, &batch, reterr));
    }
    CRN_TRY(remove_batch(disposal, &batch, reterr));
    return disposal->options.dry_run ? 0 : disposal->store->ops->flush(disposal->store, reterr);
}

static int make_mark(struct disposal *disposal, cairn_error **reterr)
{
    char host[256] = "";
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_mark mark = {.kind = CRN_MARK_DISPOSAL,
                            .id = disposal->who.id,
                            .time_ms = crn_wall_ms(),
                            .pid = (uint64_t)getpid()};
    if (gethostname(host, sizeof host - 1) == 0)
        mark.host = host;
    memcpy(mark.uuid, disposal->who.uuid, sizeof mark.uuid);
    CRN_TRY(crn_mark_encode(&mark, &bytes, reterr));
    CRN_TRY(crn_joblog_key(disposal->name, crn_mark_key(mark.kind), &key, reterr));
    const int r =
        disposal->store->ops->create(disposal->store, key, bytes.data, bytes.size, &error);
    disposal->is_mark_ours = r == 0;
    return r == 0 || r == CAIRN_EEXIST ? 0 : crn_err_move(reterr, &error, r);
}

/* Whoever claims makes his mark before he looks for ours. So if his is not there now, he will see
 * ours. */
static int begin(struct disposal *disposal, cairn_error **reterr)
{
    if (!disposal->is_marked)
        CRN_TRY(make_mark(disposal, reterr));
    const int r = check_claim(disposal, reterr);
    if (r == CAIRN_EBUSY && disposal->is_mark_ours) {
        const char *const mark = CRN_MARK_DISPOSING;
        (void)remove_keys(disposal, &mark, 1,
                          NULL); /* else it stays, and does no harm to a claim */
    }
    return r;
}

static int end(struct disposal *disposal, cairn_error **reterr)
{
    static const char *const claimed = CRN_MARK_CLAIMED, *const disposing = CRN_MARK_DISPOSING;
    cairn_store *store = disposal->store;
    CRN_AUTO_FREE char *prefix = NULL;
    CRN_TRY(crn_joblog_key(disposal->name, "", &prefix, reterr));
    CRN_TRY(crn_store_reap(store, prefix, TEMPORARY_MIN_AGE_MS, NULL, reterr));
    if (disposal->options.force) {
        CRN_TRY(remove_keys(disposal, &claimed, 1, reterr));
        CRN_TRY(store->ops->flush(store, reterr));
    }
    CRN_TRY(remove_keys(disposal, &disposing, 1, reterr));
    return store->ops->flush(store, reterr);
}

static bool is_foreign(const struct disposal *disposal, const char *key)
{
    const enum crn_key_type type = crn_key_parse(key).type;
    switch (type) {
    case CRN_KEY_MANIFEST:
    case CRN_KEY_OBJECT:
        return !is_own(disposal, key, type);
    case CRN_KEY_POST:
    case CRN_KEY_MAIL:
        return !disposal->is_claimed_job;
    case CRN_KEY_MARK:
        return false;
    case CRN_KEY_FOREIGN:
        break;
    }
    return true;
}

static void count_foreign(struct disposal *disposal)
{
    for (size_t i = 0; i < disposal->survey.count; i++)
        disposal->report.foreign_count += is_foreign(disposal, disposal->survey.objects[i].key);
}

static int dispose(struct disposal *disposal, cairn_error **reterr)
{
    const bool is_dry = disposal->options.dry_run != 0;
    CRN_TRY(check_claim(disposal, reterr));
    CRN_TRY(learn(disposal, reterr));
    count_foreign(disposal);
    if (!is_dry)
        CRN_TRY(begin(disposal, reterr));
    CRN_TRY(remove_own(disposal, CRN_KEY_MANIFEST, reterr));
    CRN_TRY(remove_own(disposal, CRN_KEY_OBJECT, reterr));
    if (disposal->is_claimed_job) { /* what its processes told one another */
        CRN_TRY(remove_own(disposal, CRN_KEY_POST, reterr));
        CRN_TRY(remove_own(disposal, CRN_KEY_MAIL, reterr));
    }
    return is_dry ? 0 : end(disposal, reterr);
}

int cairn_dispose(cairn_store *store, const char *name, const cairn_dispose_options *options,
                  cairn_dispose_report *ret_report, cairn_error **reterr)
{
    CRN_CLEANUP(disposal_done) struct disposal disposal = {.store = store, .name = name};
    CRN_TRY(crn_options_in(&disposal.options, sizeof disposal.options, options,
                           "cairn_dispose_options", reterr));
    CRN_TRY(crn_joblog_check_args(store, name, reterr));
    CRN_TRY(dispose(&disposal, reterr));
    return ret_report == NULL
               ? 0
               : crn_options_out(ret_report, &disposal.report, sizeof disposal.report,
                                 "cairn_dispose_report", reterr);
}
