/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot elsewhere that a job starts from: finding it, and choosing the record.
 *
 * A job's directory and a savepoint's are read in the same way, as a log. The one that the job
 * itself writes to is no foreign source, however it is named: recognised by the directory's
 * identity where there is one, else by the store's handle.
 *
 * No locks: the thread that opens the job.
 */
#include "engine/restore/source.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/stores.h"

#include <string.h>
#include <sys/stat.h>

void crn_source_done(struct crn_restore_source *source)
{
    crn_joblog_done(&source->log);
    if (source->owns_store)
        cairn_store_close(source->store);
    free(source->owned_name);
    free(source->location);
    *source = (struct crn_restore_source){0};
}

void crn_source_reset(struct cairn_job *job)
{
    crn_source_done(&job->source);
    job->source.store = job->store;
    job->source.name = job->name;
}

static bool is_same_directory(const char *a, const char *a_name, const char *b, const char *b_name)
{
    CRN_AUTO_FREE char *a_path = NULL;
    CRN_AUTO_FREE char *b_path = NULL;
    struct stat a_stat, b_stat;
    return crn_str_printf(&a_path, NULL, "%s/%s", a, a_name) == 0 &&
           crn_str_printf(&b_path, NULL, "%s/%s", b, b_name) == 0 && stat(a_path, &a_stat) == 0 &&
           stat(b_path, &b_stat) == 0 && a_stat.st_dev == b_stat.st_dev &&
           a_stat.st_ino == b_stat.st_ino;
}

static bool is_own(const struct cairn_job *job, cairn_store *store, const char *name)
{
    const char *root = crn_posix_store_root(job->store);
    const char *other = crn_posix_store_root(store);
    if (root != NULL && other != NULL)
        return is_same_directory(root, job->name, other, name);
    const char *own = crn_store_root(job->store), *place = crn_store_root(store);
    const bool is_same =
        own != NULL && place != NULL ? strcmp(own, place) == 0 : store == job->store;
    return is_same && strcmp(name, job->name) == 0;
}

/* For people, and to find it again when its removal was cut short. */
static int describe(struct crn_restore_source *source, const char *uri, cairn_error **reterr)
{
    const char *root = crn_posix_store_root(source->store);
    if (root != NULL)
        return crn_store_join_uri(root, source->name, &source->location, reterr);
    return uri != NULL ? crn_store_strip_uri(uri, &source->location, reterr)
                       : crn_str_printf(&source->location, reterr, "%s", source->name);
}

/* A relative path says little in a log: the working directory is not known there. */
static int full_uri(const char *uri, char **ret, cairn_error **reterr)
{
    return uri[0] == '/' || strchr(uri, ':') != NULL ? crn_str_printf(ret, reterr, "%s", uri)
                                                     : crn_file_make_absolute(uri, ret, reterr);
}

static int fail_whole_store(const struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_FREE char *uri = NULL;
    CRN_TRY(full_uri(job->options.restore_uri, &uri, reterr));
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, uri,
                        "there is no snapshot at '%s': it holds no manifest; name the directory of "
                        "a savepoint or of a job%s",
                        uri,
                        job->options.claim_mode == CAIRN_CLAIM
                            ? "; a savepoint that was claimed before is a checkpoint of the job "
                              "that claimed it, which needs no restore_uri any more (see "
                              "restore_only_if_new)"
                            : "");
}

static int open_named(struct cairn_job *job, struct crn_restore_source *source,
                      cairn_error **reterr)
{
    const cairn_job_options *o = &job->options;
    if (o->restore_store != NULL) {
        source->store = o->restore_store;
        source->owned_name = crn_str_dup_n(o->restore_name, strlen(o->restore_name));
        return source->owned_name == NULL
                   ? crn_err_nomem(reterr)
                   : crn_joblog_check_args(source->store, source->owned_name, reterr);
    }
    CRN_AUTO_ERROR cairn_error *error = NULL;
    uint64_t id = 0;
    int r =
        cairn_store_open_existing(o->restore_uri, &source->store, &source->owned_name, &id, &error);
    if (r == CAIRN_ENOTFOUND)
        return fail_whole_store(job, reterr);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    source->owns_store = true;
    if (id != 0 && o->restore_checkpoint_id != 0 && id != o->restore_checkpoint_id)
        return crn_err_fail(reterr, CAIRN_EINVAL, o->restore_uri,
                            "restore_uri '%s' names checkpoint %llu, restore_checkpoint_id %llu",
                            o->restore_uri, (unsigned long long)id,
                            (unsigned long long)o->restore_checkpoint_id);
    if (id != 0)
        source->wanted_id = id;
    return source->owned_name == NULL ? fail_whole_store(job, reterr) : 0;
}

int crn_source_open(struct cairn_job *job, bool *ret_is_own, cairn_error **reterr)
{
    struct crn_restore_source source = {.mode = job->options.claim_mode,
                                        .is_foreign = true,
                                        .wanted_id = job->options.restore_checkpoint_id};
    int r = open_named(job, &source, reterr);
    source.name = source.owned_name;
    if (r == 0)
        r = describe(&source, job->options.restore_uri, reterr);
    *ret_is_own = r == 0 && is_own(job, source.store, source.name);
    if (*ret_is_own)
        job->source.wanted_id = source.wanted_id;
    if (r < 0 || *ret_is_own) {
        crn_source_done(&source);
        return r;
    }
    crn_source_done(&job->source);
    job->source = source;
    return 0;
}

static int fail_empty(const struct cairn_job *job, const struct crn_joblog_objects *objects,
                      cairn_error **reterr)
{
    const struct crn_restore_source *source = &job->source;
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_FREE char *claimer = NULL;
    if (objects->count > 0 && !objects->is_leaving)
        return crn_joblog_fail_lost(source->location, objects, reterr);
    if (crn_claimed_read(source->store, source->name, CRN_MARK_CLAIM, &mark, NULL) == 1)
        CRN_TRY(crn_claimed_words(&mark, &claimer, reterr));
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, source->location,
                        "there is no snapshot at '%s'%s%s%s", source->location,
                        claimer != NULL ? ": it was claimed by " : "",
                        claimer != NULL ? claimer : "",
                        source->mode == CAIRN_CLAIM
                            ? "; if this job has claimed it before, it goes on from its own "
                              "checkpoints without naming it (see restore_only_if_new)"
                            : "");
}

int crn_source_choose(struct cairn_job *job, const struct crn_record **ret, cairn_error **reterr)
{
    struct crn_restore_source *source = &job->source;
    uint64_t wanted = source->wanted_id;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_joblog_objects objects;
    crn_joblog_done(&source->log);
    CRN_TRY(crn_joblog_look(source->store, source->name, &objects, reterr));
    CRN_TRY(crn_joblog_read(source->store, source->name, &source->log, reterr));
    if (source->log.count == 0)
        return fail_empty(job, &objects, reterr);
    if (wanted == 0)
        CRN_TRY(crn_joblog_judge_top(&source->log, &objects, reterr));
    if (wanted == 0 && crn_joblog_misses_its_begin(&source->log)) {
        error = crn_err_copy(source->log.entries[0].error);
        return crn_err_move(reterr, &error, CAIRN_EMISSING);
    }
    int r = crn_joblog_find(&source->log, wanted, ret, &error);
    if (r < 0) {
        crn_err_prefix(&error, "the snapshot at '%s' cannot be restored", source->location);
        return crn_err_move(reterr, &error, r);
    }
    return 0;
}
