/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a savepoint goes: from options to a store, and from a store to words.
 *
 * A target may be the job's own store, since a savepoint's directory stands beside the job's. It
 * may not lie within the job's directory, where what the job does not reference is garbage, nor
 * within local_dir, which is emptied. Directories are compared as the file system sees them, links
 * resolved.
 *
 * In the caller's thread, without locks.
 */
#include "engine/savepoint/savepoint.h"

#include "backends/storage/s3/s3.h"
#include "backends/storage/storage.h"
#include "base/text.h"
#include "engine/stores.h"

#include <string.h>

void crn_savepoint_target_close(struct crn_savepoint_target *target)
{
    if (target->owns_store)
        cairn_store_close(target->store);
    free(target->root);
    *target = (struct crn_savepoint_target){0};
}

int crn_savepoint_location(const struct crn_savepoint_target *target, const char *name,
                           char **ret_location, cairn_error **reterr)
{
    return target->root != NULL ? crn_store_join_uri(target->root, name, ret_location, reterr)
                                : crn_str_printf(ret_location, reterr, "%s", name);
}

static bool is_within(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    return strncmp(path, directory, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* Undo that opening a refused target has made directories: up to `directory`, only empty ones. */
static void remove_made(char *path, const char *directory)
{
    while (is_within(path, directory) && strlen(path) > strlen(directory) && rmdir(path) == 0)
        *strrchr(path, '/') = '\0';
}

static int refuse_within(const struct crn_savepoint_target *target, char *path,
                         const char *directory, const char *whose, cairn_error **reterr)
{
    CRN_AUTO_FREE char *real = realpath(directory, NULL);
    if (real == NULL || !is_within(path, real))
        return 0;
    (void)crn_err_fail(reterr, CAIRN_EINVAL, path,
                       "a savepoint cannot go to '%s', which is within %s '%s': choose a directory "
                       "outside of it",
                       path, whose, real);
    if (crn_posix_store_is_new(target->store))
        remove_made(path, real);
    return CAIRN_EINVAL;
}

/* In a bucket names are all there is: whoever opens one bucket by two names is not found out. */
static int look_at_bucket(const struct cairn_job *job, struct crn_savepoint_target *target,
                          cairn_error **reterr)
{
    const char *root = crn_store_root(target->store), *job_root = crn_store_root(job->store);
    target->is_beside |= root != NULL && job_root != NULL && strcmp(root, job_root) == 0;
    if (!crn_s3_store_is_within(target->store, job->store, job->name))
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, root,
                        "a savepoint cannot go to '%s', which is within the job's own directory: "
                        "choose a place outside of it",
                        root);
}

static int look_at_place(const struct cairn_job *job, struct crn_savepoint_target *target,
                         cairn_error **reterr)
{
    const char *root = crn_posix_store_root(target->store);
    const char *job_root = crn_posix_store_root(job->store);
    if (root == NULL)
        return look_at_bucket(job, target, reterr);
    CRN_AUTO_FREE char *real = realpath(root, NULL);
    if (real == NULL) /* it was opened just now: let the first put tell */
        return crn_store_path_uri(root, &target->root, reterr);
    CRN_TRY(refuse_within(target, real, job->local_dir, "the job's local_dir", reterr));
    if (job_root != NULL) {
        CRN_AUTO_FREE char *directory = NULL;
        CRN_AUTO_FREE char *real_job_root = realpath(job_root, NULL);
        CRN_TRY(crn_str_printf(&directory, reterr, "%s/%s", job_root, job->name));
        CRN_TRY(refuse_within(target, real, directory, "the job's own directory", reterr));
        target->is_beside |= real_job_root != NULL && strcmp(real, real_job_root) == 0;
    }
    return crn_store_path_uri(real, &target->root, reterr);
}

static int open_uri(const char *uri, struct crn_savepoint_target *target, cairn_error **reterr)
{
    CRN_TRY(cairn_store_open(uri, &target->store, reterr));
    target->owns_store = true;
    if (strcmp(target->store->ops->scheme, "memory") == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                            "a savepoint cannot go to '%s', which would be gone with it: give an "
                            "open store",
                            uri);
    if (crn_posix_store_root(target->store) != NULL)
        return 0; /* its path is a better name */
    target->root = crn_str_dup_n(uri, strlen(uri));
    return target->root == NULL ? crn_err_nomem(reterr) : 0;
}

static int resolve(struct cairn_job *job, const cairn_savepoint_options *o,
                   struct crn_savepoint_target *target, cairn_error **reterr)
{
    if (o->target_uri != NULL && o->target_store != NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': set at most one of target_uri and target_store", job->name);
    if (o->target_uri != NULL && o->target_uri[0] == '\0')
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': target_uri is empty: NULL is for the job's savepoint_uri or "
                            "savepoint_store",
                            job->name);
    const char *uri = o->target_uri;
    target->store = o->target_store;
    target->is_lent = target->store != NULL;
    if (uri == NULL && target->store == NULL) {
        uri = job->savepoint_uri;
        target->store = job->options.savepoint_store;
    }
    if (uri != NULL)
        CRN_TRY(open_uri(uri, target, reterr));
    else if (target->store != NULL)
        CRN_TRY(crn_store_check(target->store, reterr));
    else
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s': where is the savepoint to go? Give a target, or set the "
                            "job's savepoint_uri or savepoint_store",
                            job->name);
    target->is_beside = target->store == job->store;
    return look_at_place(job, target, reterr);
}

/* A store that does not answer now may do so when the savepoint begins. */
static int refuse_directory(const struct cairn_job *job, const struct crn_savepoint_target *target,
                            cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (target->store == job->store)
        return 0; /* it was looked at when the job opened */
    int r = crn_store_check_is_root(target->store, &error);
    return r == CAIRN_EINVAL ? crn_err_move(reterr, &error, r) : 0;
}

int crn_savepoint_target_open(struct cairn_job *job, const cairn_savepoint_options *options,
                              struct crn_savepoint_target *ret, cairn_error **reterr)
{
    struct crn_savepoint_target target = {0};
    int r = resolve(job, options, &target, reterr);
    if (r == 0)
        r = refuse_directory(job, &target, reterr);
    if (r < 0)
        crn_savepoint_target_close(&target);
    else
        *ret = target;
    return r;
}
