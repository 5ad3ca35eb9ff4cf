/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's local directory: whose it is, who uses it, and emptying it when the job opens.
 *
 * A directory is emptied only if Cairn made what is in it. What shows that is the mark that the
 * file LOCK begins with, so a directory is taken if it is empty or has the mark, and nothing but
 * tasks' directories and that of kept files beside it. These are files that a start which was cut
 * short has downloaded: the next one, which is this, may have a use for them (transfer/kept.h).
 * Whatever else was given by mistake (a home, somebody's data) is refused before anything in it
 * changes. Nor may the directory and the store be, hold or lie in one another: what one of them
 * removes, the other one needs.
 *
 * The mark is durable before the first task's directory is made. So a crash can leave a LOCK
 * without its mark only in a directory that has nothing else. Behind the mark stands who holds the
 * lock, for people; the lock itself goes with the process.
 *
 * In the thread that opens the job; the lock excludes all others.
 */
#include "engine/job/job.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/transfer/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MARK "Cairn local directory 1\n"
#define MARK_SIZE (sizeof MARK - 1)
#define HOLDER_MAX 512u
#define KEPT_DIR "fetched"

/* ------------------------------------------------------------------------------------------ *
 * The lock file
 * ------------------------------------------------------------------------------------------ */

enum mark {
    MARK_NONE, /* no lock file, or one that a crash kept from getting its mark */
    MARK_OURS,
    MARK_FOREIGN
};

struct lock_file {
    enum mark mark;
    char holder[HOLDER_MAX]; /* words about who had the lock last; "" if they are not known */
};

static int open_lock_file(const char *path, int *ret_fd, struct lock_file *ret,
                          cairn_error **reterr)
{
    struct stat st;
    *ret = (struct lock_file){.mark = MARK_NONE};
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : crn_err_os(reterr, errno, path, "cannot look at '%s'", path);
    ret->mark = MARK_FOREIGN;
    if (!S_ISREG(st.st_mode))
        return 0;
    *ret_fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? crn_err_os(reterr, errno, path, "cannot open '%s'", path) : 0;
}

static int read_lock_file(const char *path, struct lock_file *ret, cairn_error **reterr)
{
    char text[MARK_SIZE + HOLDER_MAX];
    CRN_AUTO_FD int fd = -1;
    CRN_TRY(open_lock_file(path, &fd, ret, reterr));
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    if (got < 0)
        return crn_err_os(reterr, errno, path, "cannot read '%s'", path);
    size_t size = (size_t)got, compared = size < MARK_SIZE ? size : MARK_SIZE;
    if (memcmp(text, MARK, compared) != 0)
        return 0;
    ret->mark = size < MARK_SIZE ? MARK_NONE : MARK_OURS;
    text[size] = 0;
    size_t n = size < MARK_SIZE ? 0 : strcspn(text + MARK_SIZE, "\n");
    if (crn_text_is_clean(text + MARK_SIZE, n)) {
        memcpy(ret->holder, text + MARK_SIZE, n);
        ret->holder[n] = 0;
    }
    return 0;
}

/* Overwrites in place: once the mark is there, no crash takes it away. */
static int write_lock_file(const struct cairn_job *job, const char *path, bool is_new,
                           cairn_error **reterr)
{
    CRN_AUTO_FREE char *text = NULL;
    CRN_TRY(crn_str_printf(&text, reterr, MARK "process %ld on '%s' for job '%s'\n", (long)getpid(),
                           job->host, job->name));
    size_t size = strlen(text);
    CRN_TRY(crn_file_pwrite_all(job->lock_fd, text, size, 0, path, reterr));
    if (ftruncate(job->lock_fd, (off_t)size) < 0)
        return crn_err_os(reterr, errno, path, "cannot write '%s'", path);
    if (is_new && fsync(job->lock_fd) < 0)
        return crn_err_os(reterr, errno, path, "cannot sync '%s'", path);
    return is_new ? crn_file_sync_dir(job->local_dir, reterr) : 0;
}

static int take_lock(struct cairn_job *job, const char *path, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct lock_file held;
    int r = crn_file_lock(path, &job->lock_fd, &error);
    if (r != CAIRN_EBUSY)
        return r < 0 ? crn_err_move(reterr, &error, r) : 0;
    CRN_TRY(read_lock_file(path, &held, reterr));
    return crn_err_fail(reterr, CAIRN_EBUSY, job->local_dir,
                        "local_dir '%s' of job '%s' is in use by %s: every job needs its own",
                        job->local_dir, job->name,
                        held.holder[0] != 0 ? held.holder : "another process or handle");
}

/* ------------------------------------------------------------------------------------------ *
 * What is in it
 * ------------------------------------------------------------------------------------------ */

static bool is_lock(const char *name)
{
    return strcmp(name, "LOCK") == 0;
}

/* A task's directory: "t" and its number. */
static bool is_task_dir(const struct cairn_job *job, const char *name)
{
    CRN_AUTO_FREE char *path = NULL;
    return name[0] == 't' && name[1] != '\0' &&
           strspn(name + 1, "0123456789") == strlen(name + 1) &&
           crn_str_printf(&path, NULL, "%s/%s", job->local_dir, name) == 0 && crn_file_is_dir(path);
}

static bool is_kept_dir(const struct cairn_job *job, const char *name)
{
    CRN_AUTO_FREE char *path = NULL;
    return strcmp(name, KEPT_DIR) == 0 &&
           crn_str_printf(&path, NULL, "%s/%s", job->local_dir, name) == 0 && crn_file_is_dir(path);
}

static bool is_ours(const struct cairn_job *job, const char *name, enum mark mark)
{
    return is_lock(name) ? mark != MARK_FOREIGN
                         : mark == MARK_OURS && (is_task_dir(job, name) || is_kept_dir(job, name));
}

/* All names, if each of them is ours. The names are listed before the mark is read: another job
 * may be about to begin here. */
static int list_ours(const struct cairn_job *job, const char *lock_path, char ***ret_names,
                     size_t *ret_count, cairn_error **reterr)
{
    char **names;
    size_t count;
    struct lock_file lock;
    CRN_TRY(crn_file_list_dir(job->local_dir, &names, &count, reterr));
    int r = read_lock_file(lock_path, &lock, reterr);
    for (size_t i = 0; i < count && r == 0; i++)
        if (!is_ours(job, names[i], lock.mark))
            r = crn_err_fail(reterr, CAIRN_EINVAL, job->local_dir,
                             "local_dir '%s' holds '%s', which is not Cairn's: give the job a new "
                             "directory of its own",
                             job->local_dir, names[i]);
    if (r < 0) {
        crn_file_free_names(names, count);
        return r;
    }
    *ret_names = names;
    *ret_count = count;
    return 0;
}

static int check_ours(const struct cairn_job *job, const char *lock_path, cairn_error **reterr)
{
    char **names;
    size_t count;
    CRN_TRY(list_ours(job, lock_path, &names, &count, reterr));
    crn_file_free_names(names, count);
    return 0;
}

int crn_job_empty_local_dir(struct cairn_job *job, cairn_error **reterr)
{
    char **names;
    size_t count;
    CRN_AUTO_FREE char *lock_path = NULL;
    CRN_TRY(crn_str_printf(&lock_path, reterr, "%s/LOCK", job->local_dir));
    CRN_TRY(list_ours(job, lock_path, &names, &count, reterr));
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (is_lock(names[i]) || is_kept_dir(job, names[i]))
            continue;
        r = crn_str_printf(&path, reterr, "%s/%s", job->local_dir, names[i]);
        if (r == 0)
            r = crn_file_remove_tree(path, reterr);
    }
    crn_file_free_names(names, count);
    return r;
}

char *crn_job_kept_dir(const struct cairn_job *job)
{
    char *path = NULL;
    (void)crn_str_printf(&path, NULL, "%s/" KEPT_DIR,
                         job->local_dir); /* without it, all the same */
    return path;
}

int crn_job_prune_kept(struct cairn_job *job, cairn_error **reterr)
{
    return job->downloads.kept == NULL ? 0
                                       : crn_kept_prune(job->downloads.kept, job->restored, reterr);
}

void crn_job_remove_kept(struct cairn_job *job)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (job->downloads.kept != NULL && crn_file_remove_tree(job->downloads.kept, &error) < 0)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "restore",
                      "job '%s': what its start has downloaded stays twice: %s", job->name,
                      cairn_error_message(error));
}

/* ------------------------------------------------------------------------------------------ *
 * Where it is
 * ------------------------------------------------------------------------------------------ */

/* Is the directory `dir`, or does it hold, what `path` leads to? By identity, not by name. Shortens
 * `path`, which is absolute and without links. */
static bool holds(const struct stat *dir, char *path)
{
    for (;;) {
        struct stat st;
        if (stat(path, &st) == 0 && st.st_dev == dir->st_dev && st.st_ino == dir->st_ino)
            return true;
        char *slash = strrchr(path, '/');
        if (slash == NULL || path[1] == 0)
            return false;
        slash[slash == path ? 1 : 0] = 0;
    }
}

static int look_at(const char *path, char **ret_real, struct stat *ret_stat, cairn_error **reterr)
{
    *ret_real = realpath(path, NULL);
    if (*ret_real == NULL || stat(*ret_real, ret_stat) < 0)
        return crn_err_os(reterr, errno, path, "cannot look at '%s'", path);
    return 0;
}

static int check_apart(const struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_FREE char *local = NULL;
    CRN_AUTO_FREE char *store = NULL;
    struct stat local_stat, store_stat;
    const char *root = crn_posix_store_root(job->store);
    if (root == NULL)
        return 0;
    CRN_TRY(look_at(job->local_dir, &local, &local_stat, reterr));
    CRN_TRY(look_at(root, &store, &store_stat, reterr));
    if (!holds(&store_stat, local) && !holds(&local_stat, store))
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, job->local_dir,
                        "local_dir '%s' of job '%s' and its store '%s' must be two directories, "
                        "neither of them within the other",
                        job->local_dir, job->name, root);
}

int crn_job_lock_local_dir(struct cairn_job *job, cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    struct lock_file before;
    bool was_there = crn_file_is_dir(job->local_dir);
    CRN_TRY(crn_str_printf(&path, reterr, "%s/LOCK", job->local_dir));
    CRN_TRY(crn_file_make_dirs(job->local_dir, reterr));
    int r = check_apart(job, reterr);
    if (r < 0 && !was_there)
        (void)rmdir(job->local_dir); /* the refusal leaves nothing behind */
    CRN_TRY(r);
    CRN_TRY(check_ours(job, path, reterr));
    CRN_TRY(take_lock(job, path, reterr));
    CRN_TRY(read_lock_file(path, &before, reterr));
    return write_lock_file(job, path, before.mark != MARK_OURS, reterr);
}
