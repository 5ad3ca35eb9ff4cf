/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Native files of one subtask: linked or fetched into a directory of their own and verified, once;
 * then a database is opened read-only over them, as often as it is asked for. Links go to the
 * store's own files, which is why the database may only read. Memory is what it needs for reading,
 * whatever the state's size.
 */

#include "base/thread.h"
#include "engine/inspect/cat.h"
#include "engine/transfer/fetch.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int tell(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    const struct crn_cat_progress *progress = context;
    (void)total_bytes; /* of this fetch alone */
    return progress->fn(progress->context, progress->done_bytes + done_bytes,
                        progress->total_bytes);
}

static int fetch_files(struct crn_cat_source *source, cairn_error **reterr)
{
    struct crn_cat_filter *filter = source->filter;
    const struct crn_subtask *subtask = source->subtask;
    CRN_AUTO_FREE const struct crn_file **files = calloc(subtask->file_count + 1, sizeof(*files));
    size_t count = 0;
    uint64_t bytes = 0;
    if (files == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < subtask->file_count; i++) {
        if (crn_file_is_keyed(&subtask->files[i]))
            files[count++] = &subtask->files[i];
    }
    struct crn_fetch_request request = {.store = filter->snapshot->store,
                                        .job = filter->snapshot->job,
                                        .files = files,
                                        .count = count,
                                        .directory = source->directory,
                                        .link = true};
    if (filter->progress.fn != NULL) {
        request.progress = tell;
        request.progress_context = &filter->progress;
    }
    CRN_TRY(crn_fetch(&request, &bytes, reterr));
    filter->progress.done_bytes += bytes;
    return 0;
}

static bool has_database(const struct crn_subtask *subtask)
{
    for (size_t i = 0; i < subtask->file_count; i++) {
        if (crn_file_is_keyed(&subtask->files[i]))
            return true;
    }
    return false;
}

static int64_t wall_clock(void *context)
{
    (void)context;
    return crn_wall_ms();
}

static int open_database(struct crn_cat_source *source, cairn_error **reterr)
{
    const struct crn_operator *op = source->op;
    size_t count = 0;
    free(source->states);
    source->states = calloc(op->state_count + 1, sizeof *source->states);
    if (source->states == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < op->state_count; i++) {
        if (crn_cat_is_keyed(&op->states[i]))
            source->states[count++] = op->states[i];
    }
    struct crn_state_config config = {.directory = source->directory,
                                      .restored = true,
                                      .read_only = true,
                                      .now_ms = wall_clock,
                                      .states = source->states,
                                      .state_count = count,
                                      .max_parallelism = op->info.max_parallelism,
                                      .key_group_first = source->subtask->info.key_group_first,
                                      .key_group_last = source->subtask->info.key_group_last};
    return crn_rocksdb_open(&config, &source->db, reterr);
}

static int make_directory(const char *directory, bool *ret_is_new, cairn_error **reterr)
{
    *ret_is_new = mkdir(directory, 0700) == 0;
    return *ret_is_new || errno == EEXIST
               ? 0
               : crn_err_os(reterr, errno, directory, "create directory '%s'", directory);
}

int crn_cat_native_begin(struct crn_cat_source *source, const cairn_state_info *state,
                         cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_state *opened;
    bool is_new;
    if (!has_database(source->subtask))
        return 0;
    if (source->db == NULL) {
        CRN_TRY(make_directory(source->directory, &is_new, reterr));
        if (is_new)
            CRN_TRY(fetch_files(source, reterr));
        CRN_TRY(open_database(source, reterr));
    }
    int r = source->db->ops->open_state(source->db, state, &opened, &error);
    if (r == CAIRN_ENOTFOUND) /* only other subtasks have registered it */
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    return source->db->ops->iterate(source->db, opened, source->prefix.data, source->prefix.size,
                                    &source->iterator, reterr);
}

static bool is_wanted(const struct crn_cat_source *source, const uint8_t *key, size_t size)
{
    bool is_short = source->op->info.max_parallelism <= 128;
    if (size < (is_short ? 1u : 2u))
        return true; /* who decodes it finds it damaged */
    uint32_t group = is_short ? key[0] : (uint32_t)key[0] << 8 | key[1];
    return group >= source->key_group_first && group <= source->key_group_last;
}

int crn_cat_native_next(struct crn_cat_source *source, const uint8_t **ret_key,
                        size_t *ret_key_size, const uint8_t **ret_value, size_t *ret_value_size,
                        cairn_error **reterr)
{
    if (source->iterator == NULL)
        return 0;
    for (;;) {
        int r = source->db->ops->next(source->iterator, ret_key, ret_key_size, ret_value,
                                      ret_value_size, reterr);
        if (r <= 0 || is_wanted(source, *ret_key, *ret_key_size))
            return r;
    }
}

void crn_cat_native_end(struct crn_cat_source *source)
{
    if (source->iterator != NULL)
        source->db->ops->end(source->iterator);
    source->iterator = NULL;
}

void crn_cat_native_suspend(struct crn_cat_source *source)
{
    if (source->db != NULL)
        source->db->ops->close(source->db);
    source->db = NULL;
    free(source->states);
    source->states = NULL;
}
