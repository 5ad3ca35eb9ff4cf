/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sink whose output are files, each visible whole and once.
 *
 * A transaction is a file. It is written under a hidden name, synced at the barrier (or when it has
 * grown to max_file_bytes, and the next one begins), and gets its final name when the checkpoint
 * that its records belong to is complete (output_name.c). The file of a barrier that follows an
 * aborted checkpoint is one more file, not a longer one.
 *
 * Committing again. The hidden file is there: it was not committed, or the power failed before the
 * new name was durable. It is not, but the final one is: done. Neither is: whoever reads the output
 * has taken the file away already, or somebody removed the hidden one. The first is the service's
 * daily life after a restart, so this is a warning in the log and no error. The hidden file is
 * looked for where it was written, and in the sink's directory of today, which may be the same one
 * under another name.
 *
 * Which run may remove what? The sweep, when a run's first checkpoint is complete, removes hidden
 * files of this very sink (their tag says so, and the prefix, since a job of the same name in
 * another store may share the directory) of earlier epochs. All that the restored checkpoint
 * held as prepared has been committed when the sink was opened, in every subtask, before the job
 * could start. What is left was never prepared, or for a checkpoint that does not exist: its
 * records are written again. Files of later epochs are left alone: we are the old run then.
 *
 * A zombie, a process of an earlier epoch that does not know that it was replaced, goes on writing
 * to files of its own epoch, which nobody else writes to. It commits only what its own completed
 * checkpoints hold. It completes none after the fence (P7), and what one before the fence holds is
 * in the checkpoint that its successor restored, or was committed earlier: both of them give the
 * same file the same name, and whoever is second finds it done. Its later files stay hidden; those
 * that it makes after the sweep are removed by the next run's.
 *
 * (Going back behind the newest checkpoint, to a savepoint or an older checkpoint, is something
 * else: what was visible stays, and is written again under new names.)
 *
 * Names are unique by epoch, subtask and number within a job. A job that begins anew, or starts
 * from another's snapshot, may come to the same epoch: whatever name is taken is passed over.
 *
 * All in the task's thread. Proved by tests/test_file_sink*.c.
 */
#include "base/file.h"
#include "base/text.h"
#include "engine/job/job.h"
#include "engine/options.h"
#include "engine/sinks/output_file.h"
#include "engine/sinks/output_name.h"
#include "engine/sinks/two_phase.h"
#include "engine/states/keyed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct cairn_file_sink {
    /* Constant after open. */
    struct cairn_task *task;
    cairn_two_phase *transactions;
    char *name;
    char *directory; /* absolute, without links */
    char *prefix, *suffix;
    uint64_t max_file_bytes; /* UINT64_MAX: no limit */
    uint64_t tag;
    uint64_t next_number;
    struct crn_output_file file; /* of the active transaction; fd -1: there is none */
};

/* ------------------------------------------------------------------------------------------ *
 * What two_phase.c calls
 * ------------------------------------------------------------------------------------------ */

/* 1: somebody has a file of this name; 0: nobody has. */
static int is_taken(const cairn_file_sink *sink, const char *final, cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    struct stat st;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", sink->directory, final));
    if (lstat(path, &st) == 0)
        return 1;
    return errno == ENOENT ? 0 : crn_err_os(reterr, errno, path, "cannot stat '%s'", path);
}

/* The next hidden file, if its final name is free. A job that has begun anew comes to the hidden
 * names of the one before, too, so look when ours is there. (Another job that writes to the same
 * directory under the same prefix is found out when either of them commits.) */
static int create_hidden(cairn_file_sink *sink, struct crn_output_name *ret, bool *ret_taken,
                         cairn_error **reterr)
{
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    CRN_AUTO_FREE char *final = NULL;
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(crn_str_printf(&final, reterr, "%s-%llu-%u-%llu%s", sink->prefix,
                           (unsigned long long)sink->task->job->epoch, sink->task->options.subtask,
                           (unsigned long long)sink->next_number, sink->suffix));
    CRN_TRY(crn_output_name_make(&name, sink->directory, sink->tag, sink->task->job->epoch, final,
                                 reterr));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", sink->directory, name.hidden));
    int r = crn_output_create(&sink->file, path, &error);
    if (r < 0 && r != CAIRN_EEXIST)
        return crn_err_move(reterr, &error, r);
    sink->next_number++;
    int taken = r == CAIRN_EEXIST ? 1 : is_taken(sink, final, reterr);
    if (r == 0 && taken != 0) {
        crn_output_close(&sink->file);
        (void)unlink(path); /* the sweep of a later run finds it else */
    }
    CRN_TRY(taken);
    *ret_taken = taken == 1;
    if (taken == 0) {
        *ret = name;
        name = (struct crn_output_name){0};
    }
    return 0;
}

static int begin(void *context, cairn_buffer *description, cairn_error **reterr)
{
    cairn_file_sink *sink = context;
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    bool taken = true;
    while (taken)
        CRN_TRY(create_hidden(sink, &name, &taken, reterr));
    if (crn_output_name_encode(&name, description) == 0)
        return 0;
    (void)unlink(sink->file.path); /* the sweep of a later run finds it else */
    crn_output_close(&sink->file);
    return crn_err_nomem(reterr);
}

static int prepare(void *context, const void *description, size_t size, cairn_error **reterr)
{
    cairn_file_sink *sink = context;
    (void)description, (void)size;
    return sink->file.fd < 0 ? 0 /* done, but not noted */
                             : crn_output_finish(&sink->file, sink->directory, reterr);
}

static int commit(void *context, const void *description, size_t size, cairn_error **reterr)
{
    const cairn_file_sink *sink = context;
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    CRN_TRY(crn_output_name_decode(description, size, &name, reterr));
    const char *const places[] = {name.directory, sink->directory};
    const size_t count = strcmp(name.directory, sink->directory) == 0 ? 1 : 2;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = crn_output_reveal(places[i], &name, reterr);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = crn_output_is_revealed(places[i], &name, reterr);
    CRN_TRY(r);
    if (r == 0)
        crn_log_write(
            &sink->task->job->log, CAIRN_LOG_WARNING, "sink",
            "operator '%s' subtask %u: '%s/%s' is gone, hidden and final: it is taken for "
            "one that was committed before, and read and removed by others",
            sink->task->uid, sink->task->options.subtask, name.directory, name.final);
    return 0;
}

static int abort_file(void *context, const void *description, size_t size, cairn_error **reterr)
{
    cairn_file_sink *sink = context;
    CRN_AUTO_OUTPUT_NAME struct crn_output_name name = {0};
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_output_name_decode(description, size, &name, reterr));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", name.directory, name.hidden));
    if (sink->file.fd >= 0 && strcmp(path, sink->file.path) == 0)
        crn_output_close(&sink->file);
    if (unlink(path) < 0 && errno != ENOENT)
        return crn_err_os(reterr, errno, path, "cannot remove '%s'", path);
    return 0;
}

/* Garbage that stays is no reason for a job to stop. */
static int sweep(void *context, cairn_error **reterr)
{
    const cairn_file_sink *sink = context;
    const struct cairn_job *job = sink->task->job;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char **names = NULL;
    size_t count = 0;
    (void)reterr;
    int r = crn_file_list_dir(sink->directory, &names, &count, &error);
    for (size_t i = 0; i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (!crn_output_is_old(names[i], sink->tag, sink->prefix, job->epoch))
            continue;
        int r2 = crn_str_printf(&path, &error, "%s/%s", sink->directory, names[i]);
        if (r2 == 0 && unlink(path) < 0 && errno != ENOENT)
            r2 = crn_err_os(&error, errno, path, "cannot remove '%s'", path);
        r = r == 0 ? r2 : r;
    }
    crn_file_free_names(names, count);
    if (r < 0)
        crn_log_write(&job->log, CAIRN_LOG_WARNING, "sink",
                      "operator '%s': hidden files of earlier runs are left in '%s': %s",
                      sink->task->uid, sink->directory, cairn_error_message(error));
    return 0;
}

static void free_sink(void *context)
{
    cairn_file_sink *sink = context;
    crn_output_done(&sink->file);
    free(sink->name);
    free(sink->directory);
    free(sink->prefix);
    free(sink->suffix);
    free(sink);
}

/* ------------------------------------------------------------------------------------------ *
 * The public calls
 * ------------------------------------------------------------------------------------------ */

static int check_options(const struct cairn_task *task, cairn_file_sink_options *o,
                         cairn_error **reterr)
{
    /* Two numbers of 64 bits, one of 32, three times '-', and room for the hidden part. */
    const size_t name_max = NAME_MAX - CRN_OUTPUT_HIDDEN_MAX - (20 + 20 + 10 + 3);
    const char *named = o->prefix != NULL ? "the prefix" : "the uid, as no prefix is given,";
    if (o->directory == NULL || *o->directory == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a file sink needs a directory");
    if (strlen(o->directory) > PATH_MAX / 2)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the directory's name of %zu bytes is over the limit of %d",
                            strlen(o->directory), PATH_MAX / 2);
    o->prefix = o->prefix != NULL ? o->prefix : task->uid;
    o->suffix = o->suffix != NULL ? o->suffix : "";
    if (*o->prefix == 0 || *o->prefix == '.' || strchr(o->prefix, '/') != NULL ||
        !crn_text_is_clean(o->prefix, strlen(o->prefix)))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "%s '%s' cannot begin a file's name: it has '/' or control characters, "
                            "begins with '.', or is empty",
                            named, o->prefix);
    if (strchr(o->suffix, '/') != NULL || !crn_text_is_clean(o->suffix, strlen(o->suffix)))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the suffix '%s' cannot end a file's name: it has '/' or control "
                            "characters",
                            o->suffix);
    if (strlen(o->prefix) + strlen(o->suffix) > name_max)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "%s and the suffix have %zu bytes together, at most %zu fit into a "
                            "file's name",
                            named, strlen(o->prefix) + strlen(o->suffix), name_max);
    return 0;
}

/* A directory that is made here does not vanish in a power failure together with what is prepared
 * in it. Those above may not be readable to us, so the file system is synced as a whole. */
static int make_directory(const char *path, cairn_error **reterr)
{
    if (crn_file_is_dir(path))
        return 0;
    CRN_TRY(crn_file_make_dirs(path, reterr));
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return crn_err_os(reterr, errno, path, "cannot sync new directory '%s'", path);
    return 0;
}

/* Links on the way to the directory may lead elsewhere by the time of a commit. */
static int resolve_directory(cairn_file_sink *sink, cairn_error **reterr)
{
    char *resolved = realpath(sink->directory, NULL);
    if (resolved == NULL)
        return crn_err_os(reterr, errno, sink->directory, "cannot resolve directory '%s'",
                          sink->directory);
    free(sink->directory);
    sink->directory = resolved;
    return 0;
}

static bool has_same_names(const cairn_file_sink *a, const cairn_file_sink *b)
{
    return a->task->options.subtask == b->task->options.subtask &&
           strcmp(a->directory, b->directory) == 0 && strcmp(a->prefix, b->prefix) == 0 &&
           strcmp(a->suffix, b->suffix) == 0;
}

/* Another sink of this job would be found out only when the second one commits, for ever. */
static int check_names_locked(const cairn_file_sink *sink, cairn_error **reterr)
{
    const struct cairn_job *job = sink->task->job;
    crn_mutex_assert_held(&job->lock);
    for (size_t i = 0; i < job->task_count; i++)
        for (struct crn_participant *p = job->tasks[i]->participants; p != NULL; p = p->next) {
            const cairn_file_sink *other = crn_two_phase_context(p, free_sink);
            if (other != NULL && has_same_names(sink, other))
                return crn_err_fail(reterr, CAIRN_EEXIST, sink->directory,
                                    "sink '%s' of operator '%s' writes files '%s-...%s' into '%s', "
                                    "too: give one of them another prefix",
                                    other->name, other->task->uid, sink->prefix, sink->suffix,
                                    sink->directory);
        }
    return 0;
}

static int check_names(const cairn_file_sink *sink, cairn_error **reterr)
{
    struct cairn_job *job = sink->task->job;
    crn_mutex_lock(&job->lock);
    int r = check_names_locked(sink, reterr);
    crn_mutex_unlock(&job->lock);
    return r;
}

static int fill_in(cairn_file_sink *sink, struct cairn_task *task, const char *name,
                   const cairn_file_sink_options *o, cairn_error **reterr)
{
    sink->task = task;
    sink->file.fd = -1;
    sink->max_file_bytes = o->max_file_bytes != 0 ? o->max_file_bytes : UINT64_MAX;
    sink->tag = crn_output_tag(task->job->name, task->uid, name);
    CRN_TRY(crn_str_printf(&sink->name, reterr, "%s", name));
    CRN_TRY(crn_file_make_absolute(o->directory, &sink->directory, reterr));
    CRN_TRY(crn_str_printf(&sink->prefix, reterr, "%s", o->prefix));
    return crn_str_printf(&sink->suffix, reterr, "%s", o->suffix);
}

static int open_sink(cairn_file_sink *sink, struct cairn_task *task, const char *name,
                     const cairn_file_sink_options *o, cairn_error **reterr)
{
    const cairn_two_phase_functions functions = {begin, prepare, commit, abort_file, sweep, sink};
    CRN_TRY(fill_in(sink, task, name, o, reterr));
    CRN_TRY(make_directory(sink->directory, reterr));
    CRN_TRY(resolve_directory(sink, reterr));
    CRN_TRY(check_names(sink, reterr));
    return crn_two_phase_open(task, name, &functions, free_sink, &sink->transactions, reterr);
}

int cairn_file_sink_open(cairn_task *task, const char *name, const cairn_file_sink_options *options,
                         cairn_file_sink **ret_sink, cairn_error **reterr)
{
    cairn_file_sink_options o;
    CRN_TRY(crn_registration_check(task, ret_sink, reterr));
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_file_sink_options", reterr));
    if (name == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a file sink needs a name for its state");
    CRN_TRY(check_options(task, &o, reterr));
    cairn_file_sink *sink = calloc(1, sizeof *sink);
    if (sink == NULL)
        return crn_err_nomem(reterr);
    int r = open_sink(sink, task, name, &o, reterr);
    if (r < 0) {
        free_sink(sink);
        return r;
    }
    *ret_sink = sink;
    return 0;
}

int cairn_file_sink_write(cairn_file_sink *sink, const void *data, size_t size,
                          cairn_error **reterr)
{
    const void *description;
    size_t description_size;
    if (sink == NULL || (data == NULL && size > 0))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "sink or data is NULL");
    CRN_TRY(crn_two_phase_check_writable(sink->transactions, reterr));
    if (size == 0)
        return 0;
    /* Also one that is finished, and for which there was no memory to note it. */
    if (sink->file.fd < 0 || crn_output_size(&sink->file) >= sink->max_file_bytes)
        CRN_TRY(crn_two_phase_seal(sink->transactions, reterr));
    CRN_TRY(cairn_two_phase_current(sink->transactions, &description, &description_size, reterr));
    int r = crn_output_append(&sink->file, data, size, reterr);
    if (r < 0 && crn_output_size(&sink->file) == 0)
        crn_two_phase_drop(sink->transactions); /* an empty file must not appear */
    return r;
}
