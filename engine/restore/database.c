/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One database of the stored subtasks that have its key groups.
 *
 * In order: plan; bring native files, verified (P8), and put them together under `directory`/db, or
 * open the canonical files where they lie; open the database; clip away key groups that came along
 * in shared tables; load the entries of what could not be taken as files. If nothing could, and the
 * backend can, the database is built of the entries first and then opened. What is needed in
 * between (source-<i>/) is gone at the end.
 *
 * `files` tells which stored object each table of the new database is a link or a copy of. The
 * tables keep object, checkpoint_id, epoch and checksums; number, level and sequences are those of
 * the new database, since the next diff compares with them (P4).
 *
 * Threads: one call is one thread's, and starts helpers of its own. Crash: local files only, which
 * the next open of the job removes. Proved by tests/test_rescale.c.
 */
#include "engine/restore/restore_run.h"

#include "base/file.h"
#include "engine/restore/load.h"
#include "engine/transfer/fetch.h"

#include <string.h>

#define DEFAULT_THREADS 4u

int crn_restore_tick(void *context, uint64_t bytes)
{
    struct crn_restore_run *run = context;
    const struct crn_restore_request *request = run->request;
    run->done_bytes += bytes;
    return request->progress == NULL
               ? 0
               : request->progress(request->progress_context, run->done_bytes, run->total_bytes);
}

static int fetch_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    const struct crn_restore_run *run = context;
    (void)total_bytes; /* of one subtask; the caller hears of all */
    return run->request->progress(run->request->progress_context, run->done_bytes + done_bytes,
                                  run->total_bytes);
}

int crn_restore_fetch(struct crn_restore_run *run, const struct crn_subtask *subtask,
                      const char *directory, cairn_error **reterr)
{
    const struct crn_restore_request *request = run->request;
    CRN_AUTO_FREE const struct crn_file **files = calloc(subtask->file_count + 1, sizeof *files);
    uint64_t bytes = 0;
    if (files == NULL)
        return crn_err_nomem(reterr);
    size_t count = 0;
    for (size_t f = 0; f < subtask->file_count; f++)
        if (crn_file_is_keyed(&subtask->files[f]))
            files[count++] = &subtask->files[f];
    struct crn_fetch_request fetch = {
        .store = request->store,
        .job = request->prefix,
        .files = files,
        .count = count,
        .directory = directory,
        .link = true,
        .threads = run->threads,
        .cancelled = request->cancelled,
        .downloads = request->downloads,
        .kept = request->downloads != NULL ? request->downloads->kept : NULL,
        .progress = request->progress != NULL ? fetch_progress : NULL,
        .progress_context = run,
    };
    uint64_t begin_us = crn_now_us();
    CRN_TRY(crn_fetch(&fetch, &bytes, reterr));
    run->fetch_us += crn_now_us() - begin_us;
    run->done_bytes += bytes;
    run->bytes_read += bytes;
    return 0;
}

static uint64_t native_bytes(const struct crn_subtask *subtask)
{
    uint64_t sum = 0;
    for (size_t f = 0; f < subtask->file_count; f++)
        if (crn_file_is_keyed(&subtask->files[f]) &&
            __builtin_add_overflow(sum, subtask->files[f].info.size, &sum))
            return UINT64_MAX;
    return sum;
}

static int begin(struct crn_restore_run *run, cairn_error **reterr)
{
    const struct crn_restore_request *request = run->request;
    const struct crn_operator *op = request->op;
    run->threads = request->threads != 0 ? request->threads : DEFAULT_THREADS;
    CRN_TRY(crn_restore_plan_make(op, request->backend->file_kind, request->key_group_first,
                                  request->key_group_last, &run->plan, reterr));
    run->keyed = calloc(op->state_count + 1, sizeof *run->keyed);
    if (run->keyed == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < op->state_count; i++)
        if (op->states[i].kind < CAIRN_KIND_OPERATOR_LIST)
            run->keyed[run->keyed_count++] = op->states[i];
    for (size_t i = 0; i < run->plan.count; i++)
        if (!run->plan.parts[i].is_canonical)
            run->total_bytes += native_bytes(run->plan.parts[i].subtask);
    CRN_TRY(crn_str_printf(&run->db_directory, reterr, "%s/db", request->directory));
    return crn_file_make_dirs(run->db_directory, reterr);
}

/* The files are taken as they are; what they are links of is what the manifest says. */
static int take_same(struct crn_restore_run *run, cairn_error **reterr)
{
    const struct crn_subtask *subtask = run->plan.parts[0].subtask;
    CRN_TRY(crn_restore_fetch(run, subtask, run->db_directory, reterr));
    run->has_files = true;
    run->files = calloc(1, sizeof *run->files);
    if (run->files == NULL)
        return crn_err_nomem(reterr);
    for (size_t f = 0; f < subtask->file_count; f++)
        if (subtask->files[f].info.role == CAIRN_FILE_TABLE)
            CRN_TRY(crn_restore_add_file(run->files, &subtask->files[f], NULL, reterr));
    return 0;
}

static struct crn_state_config config_of(const struct crn_restore_run *run)
{
    const struct crn_restore_request *request = run->request;
    struct crn_state_config config = request->config;
    config.directory = run->db_directory;
    config.restored = run->has_files;
    config.states = run->keyed;
    config.state_count = run->keyed_count;
    config.max_parallelism = request->op->info.max_parallelism;
    config.key_group_first = request->key_group_first;
    config.key_group_last = request->key_group_last;
    return config;
}

static int open_database(struct crn_restore_run *run, cairn_error **reterr)
{
    const struct crn_restore_request *request = run->request;
    const struct crn_state_config config = config_of(run);
    CRN_TRY(request->backend->open(&config, &run->db, reterr));
    if (!run->needs_clip)
        return 0;
    struct crn_group_range groups;
    crn_group_range_init(&groups, request->key_group_first, request->key_group_last,
                         config.max_parallelism);
    return run->db->ops->clip(run->db, &groups.range, reterr);
}

static int load(struct crn_restore_run *run, cairn_error **reterr)
{
    CRN_TRY(crn_native_load(run, reterr));
    return crn_canonical_load(run, reterr);
}

/* Where no files are there to open, those that the loads make are the database. */
static int build_database(struct crn_restore_run *run, cairn_error **reterr)
{
    const struct crn_state_backend *backend = run->request->backend;
    const struct crn_state_config config = config_of(run);
    CRN_TRY(backend->build(&config, &run->db, reterr));
    CRN_TRY(load(run, reterr));
    CRN_TRY(backend->build_end(CRN_TAKE(run->db), reterr));
    run->has_files = true;
    return open_database(run, reterr);
}

static int make_database(struct crn_restore_run *run, cairn_error **reterr)
{
    if (run->plan.is_same) {
        CRN_TRY(take_same(run, reterr));
        return open_database(run, reterr);
    }
    CRN_TRY(crn_canonical_prepare(run, reterr));
    CRN_TRY(crn_native_prepare(run, reterr));
    if (run->plan.count > 0 && !run->has_files && run->request->backend->build != NULL)
        return build_database(run, reterr);
    CRN_TRY(open_database(run, reterr));
    return load(run, reterr);
}

static void run_done(struct crn_restore_run *run)
{
    crn_native_done(run);
    crn_canonical_done(run);
    if (run->db != NULL)
        run->db->ops->close(run->db);
    if (run->files != NULL)
        crn_subtask_done(run->files);
    free(run->files);
    crn_restore_plan_done(&run->plan);
    free(run->keyed);
    free(run->db_directory);
}

int crn_restore_database(const struct crn_restore_request *request, struct crn_restored *ret,
                         cairn_error **reterr)
{
    CRN_CLEANUP(run_done) struct crn_restore_run run = {.request = request};
    CRN_TRY(begin(&run, reterr));
    CRN_TRY(make_database(&run, reterr));
    *ret = (struct crn_restored){
        .is_same = run.plan.is_same,
        .bytes_read = run.bytes_read,
        .bytes_loaded = run.bytes_loaded,
        .fetch_us = run.fetch_us,
    };
    ret->db = CRN_TAKE(run.db);
    ret->files = CRN_TAKE(run.files);
    return 0;
}
