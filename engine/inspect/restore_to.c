/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A checkpoint as plain RocksDB directories, for a person or another program to open.
 *
 * Everything is written, verified and synced under `<dir>.partial`; one rename then makes it
 * `<dir>`. So a directory of that name is whole, whenever the power went. The partial directory is
 * locked while it is written: two restores to one place must not mix their files, and one that a
 * crash left behind is recognised by its lock being free, and is taken over. Of what is in it,
 * files that were downloaded for the same checkpoint are used again (transfer/kept.h), the rest
 * goes.
 *
 * @crash `<dir>.partial` is left; running it again goes on with it. So it does after a failure that
 * may pass; any other one removes it.
 */

#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/transfer/fetch.h"
#include "engine/transfer/kept.h"
#include "engine/options.h"
#include "engine/inspect/snapshot.h"
#include "engine/log/joblog.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define OPERATOR_STATE_NAME "operator-state.bin"
#define IN_FLIGHT_NAME "in-flight.bin"
#define KEPT_NAME ".cairn-fetched" /* no operator's directory begins with a dot */
#define UID_TEXT_MAX 200u          /* leaves room for a digest and the subtask in one file name */

struct restore {
    const cairn_snapshot *snapshot;
    cairn_restore_options options;
    char *dir, *partial, *kept;
    int lock_fd;
    bool published, stays;
    cairn_restore_report report;
    uint64_t total_bytes;
};

static void restore_done(struct restore *restore)
{
    if (restore->lock_fd >= 0 && !restore->published && !restore->stays)
        (void)crn_file_remove_tree(restore->partial, NULL); /* the failure's own story is told */
    crn_cleanup_fd(&restore->lock_fd);
    free(restore->dir);
    free(restore->partial);
    free(restore->kept);
}

/* --- where to --- */

static int resolve_dir(struct restore *restore, const char *dir, cairn_error **reterr)
{
    if (dir == NULL || *dir == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "no directory is given to restore to");
    restore->dir = realpath(dir, NULL);
    if (restore->dir == NULL && errno != ENOENT)
        return crn_err_os(reterr, errno, dir, "directory '%s'", dir);
    if (restore->dir == NULL) {
        size_t n = strlen(dir);
        while (n > 1 && dir[n - 1] == '/')
            n--;
        restore->dir = crn_str_dup_n(dir, n);
        if (restore->dir == NULL)
            return crn_err_nomem(reterr);
    }
    CRN_TRY(crn_str_printf(&restore->partial, reterr, "%s.partial", restore->dir));
    return crn_str_printf(&restore->kept, reterr, "%s/" KEPT_NAME, restore->partial);
}

/* The directory, or the nearest one above it that exists, without links. */
static char *existing_ancestor(const char *dir)
{
    CRN_AUTO_FREE char *path = strdup(dir);
    while (path != NULL) {
        char *real = realpath(path, NULL);
        char *slash = strrchr(path, '/');
        if (real != NULL || slash == path)
            return real;
        if (slash == NULL)
            return realpath(".", NULL);
        *slash = 0;
    }
    return NULL;
}

/* What lies within a job's store is the store's; a directory of databases there would only confuse.
 * Around a savepoint there may be anything: of that only its own directory. */
static int check_outside_store(const struct cairn_snapshot *snapshot, const char *dir,
                               cairn_error **reterr)
{
    const bool is_savepoint = snapshot->record->info.kind == CAIRN_RECORD_SAVEPOINT;
    const char *store_root = crn_posix_store_root(snapshot->store);
    CRN_AUTO_FREE char *root = NULL;
    struct stat root_stat, path_stat;
    if (store_root == NULL)
        return 0;
    CRN_TRY(crn_str_printf(&root, reterr, "%s%s%s", store_root, is_savepoint ? "/" : "",
                           is_savepoint ? snapshot->job : ""));
    if (stat(root, &root_stat) < 0)
        return 0;
    CRN_AUTO_FREE char *path = existing_ancestor(dir);
    while (path != NULL && stat(path, &path_stat) == 0) {
        if (path_stat.st_dev == root_stat.st_dev && path_stat.st_ino == root_stat.st_ino)
            return crn_err_fail(reterr, CAIRN_EINVAL, dir,
                                "directory '%s' lies within the %s '%s': restore to another place",
                                dir, is_savepoint ? "savepoint" : "store", root);
        char *slash = strrchr(path, '/');
        if (slash == NULL || path[1] == 0)
            break;
        slash[slash == path ? 1 : 0] = 0;
    }
    return 0;
}

static int check_dir_is_free(const char *dir, cairn_error **reterr)
{
    struct stat stat;
    char **names = NULL;
    size_t count = 0;
    if (lstat(dir, &stat) < 0)
        return errno == ENOENT ? 0 : crn_err_os(reterr, errno, dir, "directory '%s'", dir);
    if (!S_ISDIR(stat.st_mode))
        return crn_err_fail(reterr, CAIRN_EEXIST, dir, "'%s' exists and is not a directory", dir);
    CRN_TRY(crn_file_list_dir(dir, &names, &count, reterr));
    crn_file_free_names(names, count);
    if (count > 0)
        return crn_err_fail(reterr, CAIRN_EEXIST, dir, "directory '%s' is not empty", dir);
    return 0;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat by_fd, by_path;
    return fstat(fd, &by_fd) == 0 && lstat(path, &by_path) == 0 && by_fd.st_dev == by_path.st_dev &&
           by_fd.st_ino == by_path.st_ino;
}

static int fail_busy(const char *partial, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_EBUSY, partial, "another restore is writing '%s'", partial);
}

/* Creates the partial directory and locks it; a free lock on an existing one means that its owner
 * is gone. The lock is on the directory itself, so no file of ours gets among the restored ones. */
static int claim_partial(struct restore *restore, cairn_error **reterr)
{
    const char *partial = restore->partial;
    CRN_TRY(crn_file_make_dirs(partial, reterr));
    CRN_AUTO_FD int fd = open(partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return crn_err_os(reterr, errno, partial, "open '%s'", partial);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return fail_busy(partial, reterr);
        return crn_err_os(reterr, errno, partial, "lock '%s'", partial);
    }
    if (!is_same_file(fd, partial)) /* its owner renamed or removed it before we had the lock */
        return fail_busy(partial, reterr);
    restore->lock_fd = fd;
    fd = -1;

    char **names = NULL;
    size_t count = 0;
    int r = crn_file_list_dir(partial, &names, &count, reterr);
    for (size_t i = 0; r == 0 && i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (strcmp(names[i], KEPT_NAME) == 0)
            continue;
        r = crn_str_printf(&path, reterr, "%s/%s", partial, names[i]);
        if (r == 0)
            r = crn_file_remove_tree(path, reterr);
    }
    crn_file_free_names(names, count);
    return r < 0 ? r : crn_kept_prune(restore->kept, restore->snapshot->record, reterr);
}

/* --- what --- */

/* The uid as part of a file name: letters, digits, '_' and '-' stay, and '.' but in front. One that
 * gets too long is cut, and told apart by a digest. */
static int escape_uid(const char *uid, struct cairn_buffer *out, cairn_error **reterr)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    for (size_t i = 0; uid[i] != 0; i++) {
        bool stays = strchr(plain, uid[i]) != NULL || (uid[i] == '.' && i > 0);
        int r = stays ? crn_buf_append(out, &uid[i], 1)
                      : crn_buf_printf(out, "%%%02X", (unsigned char)uid[i]);
        if (r < 0)
            return crn_err_nomem(reterr);
    }
    if (out->size <= UID_TEXT_MAX)
        return 0;
    out->size = UID_TEXT_MAX;
    if (crn_buf_printf(out, "%%~%016" PRIx64, crn_hash64_of(uid, strlen(uid))) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int make_directory(const struct restore *restore, const struct crn_operator *op,
                          const struct crn_subtask *subtask, char **ret_path, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer name = {0};
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(escape_uid(op->info.uid, &name, reterr));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s-%" PRIu32, restore->partial,
                           (const char *)name.data, subtask->info.index));
    if (mkdir(path, 0777) < 0)
        return crn_err_os(reterr, errno, path, "create directory '%s'", path);
    *ret_path = CRN_TAKE(path);
    return 0;
}

static int on_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    const struct restore *restore = context;
    (void)total_bytes; /* of one subtask; the caller hears of all */
    return restore->options.progress(restore->options.context, restore->report.bytes + done_bytes,
                                     restore->total_bytes);
}

static int restore_subtask(struct restore *restore, const struct crn_operator *op,
                           const struct crn_subtask *subtask, cairn_error **reterr)
{
    CRN_AUTO_FREE char *directory = NULL;
    CRN_AUTO_FREE struct crn_file *renamed = calloc(subtask->file_count + 1, sizeof *renamed);
    CRN_AUTO_FREE const struct crn_file **files = calloc(subtask->file_count + 1, sizeof(*files));
    uint64_t bytes = 0;

    if (renamed == NULL || files == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(make_directory(restore, op, subtask, &directory, reterr));
    for (size_t i = 0; i < subtask->file_count; i++) {
        files[i] = &subtask->files[i];
        if (!crn_file_is_keyed(files[i])) {
            renamed[i] = subtask->files[i]; /* borrows everything but the name */
            renamed[i].info.name = files[i]->info.role == CAIRN_FILE_OPERATOR_STATE
                                       ? OPERATOR_STATE_NAME
                                       : IN_FLIGHT_NAME;
            files[i] = &renamed[i];
        }
    }
    struct crn_fetch_request request = {
        .store = restore->snapshot->store,
        .job = restore->snapshot->job,
        .files = files,
        .count = subtask->file_count,
        .directory = directory,
        .link = restore->options.link,
        .sync = true,
        .threads = restore->options.threads,
        .kept = restore->kept,
        .progress = restore->options.progress != NULL ? on_progress : NULL,
        .progress_context = restore,
    };
    CRN_TRY(crn_fetch(&request, &bytes, reterr));
    restore->report.bytes += bytes;
    restore->report.files += subtask->file_count;
    return 0;
}

static int restore_all(struct restore *restore, cairn_error **reterr)
{
    const struct crn_record *record = restore->snapshot->record;
    restore->report.id = record->info.id;
    restore->total_bytes = record->info.full_bytes;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++)
            CRN_TRY(restore_subtask(restore, op, &op->subtasks[s], reterr));
    }
    return 0;
}

static int sync_parent(const char *dir, cairn_error **reterr)
{
    CRN_AUTO_FREE char *parent = strdup(dir);
    if (parent == NULL)
        return crn_err_nomem(reterr);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        return crn_file_sync_dir(".", reterr);
    slash[slash == parent ? 1 : 0] = 0;
    return crn_file_sync_dir(parent, reterr);
}

static int publish(struct restore *restore, cairn_error **reterr)
{
    CRN_TRY(crn_file_remove_tree(restore->kept, reterr));
    CRN_TRY(crn_file_sync_dir(restore->partial, reterr));
    if (rename(restore->partial, restore->dir) < 0) {
        if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
            return crn_err_fail(reterr, CAIRN_EEXIST, restore->dir,
                                "'%s' was created by somebody else meanwhile", restore->dir);
        return crn_err_os(reterr, errno, restore->dir, "rename '%s' to '%s'", restore->partial,
                          restore->dir);
    }
    restore->published = true;
    return sync_parent(restore->dir, reterr);
}

int cairn_restore_to(cairn_store *store, const char *job, const char *dir,
                     const cairn_restore_options *options, cairn_restore_report *ret_report,
                     cairn_error **reterr)
{
    CRN_CLEANUP(restore_done) struct restore restore = {.lock_fd = -1};

    CRN_TRY(crn_options_in(&restore.options, sizeof restore.options, options,
                           "cairn_restore_options", reterr));
    CRN_TRY(crn_joblog_check_args(store, job, reterr));
    CRN_TRY(resolve_dir(&restore, dir, reterr));
    cairn_snapshot *snapshot = NULL;
    CRN_TRY(cairn_snapshot_open(store, job, restore.options.id, &snapshot, reterr));
    restore.snapshot = snapshot;
    int r = check_outside_store(snapshot, restore.dir, reterr);
    if (r == 0)
        r = check_dir_is_free(restore.dir, reterr);
    if (r == 0)
        r = claim_partial(&restore, reterr);
    if (r == 0)
        r = restore_all(&restore, reterr);
    restore.stays = cairn_error_class_of(r) == CAIRN_CLASS_RETRY;
    if (r == 0)
        r = publish(&restore, reterr);
    cairn_snapshot_close(snapshot);
    CRN_TRY(r);
    return ret_report == NULL ? 0
                              : crn_options_out(ret_report, &restore.report, sizeof restore.report,
                                                "cairn_restore_report", reterr);
}
