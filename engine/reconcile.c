/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reconciliation at open (P6): a crash may have left databases and staging directories in
 * local_dir, and objects in the store that no retained manifest references.
 *
 * Local: everything in local_dir but the lock file goes; databases are always restored from the
 * store. Store: the collector of gc.c, right after the fence. The fence resolved the id that an
 * earlier incarnation may have had in flight, so its objects are dead, and none of ours exist yet
 * (P5).
 */
#include "engine/job.h"

#include "base/file.h"
#include "cairn/inspect.h"

#include <string.h>

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

/* Nothing is removed unless all of it is a job's: somebody's home directory, given by mistake,
 * stays whole. */
static int check_all_ours(const struct cairn_job *job, char **names, size_t count,
                          cairn_error **reterr)
{
    for (size_t i = 0; i < count; i++)
        if (!is_lock(names[i]) && !is_task_dir(job, names[i]))
            return crn_err_fail(reterr, CAIRN_EINVAL, job->local_dir,
                                "local_dir '%s' holds '%s', which is not Cairn's: give the job a "
                                "directory of its own",
                                job->local_dir, names[i]);
    return 0;
}

int crn_job_empty_local_dir(struct cairn_job *job, cairn_error **reterr)
{
    char **names;
    size_t count;
    CRN_TRY(crn_file_list_dir(job->local_dir, &names, &count, reterr));
    int r = check_all_ours(job, names, count, reterr);
    for (size_t i = 0; i < count && r == 0; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (is_lock(names[i]))
            continue;
        r = crn_str_printf(&path, reterr, "%s/%s", job->local_dir, names[i]);
        if (r == 0)
            r = crn_file_remove_tree(path, reterr);
    }
    crn_file_free_names(names, count);
    return r;
}

int crn_job_collect(struct cairn_job *job, bool keep_unresolved, cairn_error **reterr)
{
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    options.keep_unresolved = keep_unresolved;
    CRN_TRY(cairn_gc(job->store, job->name, &options, &report, reterr));
    if (report.removed_count > 0 || report.temporary_count > 0)
        crn_log_write(
            &job->log, CAIRN_LOG_INFO, "gc",
            "job '%s': removed %llu leftover objects (%llu bytes) and %llu temporary ones",
            job->name, (unsigned long long)report.removed_count,
            (unsigned long long)report.removed_bytes, (unsigned long long)report.temporary_count);
    return 0;
}
