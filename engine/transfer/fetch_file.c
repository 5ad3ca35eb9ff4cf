/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stored file, whole, by one thread.
 *
 * Every byte that Cairn takes out of a store as a checkpoint's data passes through crn_intake_get()
 * and is verified on its way (P8). No other place may call a store's get for an object, but
 * object_input.c: it reads parts of canonical files, whose blocks verify themselves.
 *
 * No locks. Crash outcome: arrival.c.
 */
#include "engine/transfer/arrival.h"

#include "engine/log/joblog.h"

#include <inttypes.h>

int crn_intake_scratch_init(struct crn_intake_scratch *scratch, cairn_error **reterr)
{
    void *buffer = NULL;
    scratch->digest = crn_digest_new();
    if (scratch->digest == NULL || posix_memalign(&buffer, 4096, CRN_INTAKE_BUFFER_BYTES) != 0)
        return crn_err_nomem(reterr);
    scratch->buffer = buffer;
    return 0;
}

void crn_intake_scratch_done(struct crn_intake_scratch *scratch)
{
    free(scratch->buffer);
    crn_digest_free(scratch->digest);
}

struct file_sink {
    struct crn_intake_sink sink;
    struct crn_arrival *arrival;
};

static int restart(struct crn_intake_sink *sink, cairn_error **reterr)
{
    return crn_arrival_start(((struct file_sink *)sink)->arrival, reterr);
}

static int sink_write(cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct crn_arrival *arrival = ((struct file_sink *)sink)->arrival;
    if (offset == 0)
        CRN_TRY(crn_arrival_start(arrival, reterr));
    if (offset != arrival->sums.size)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, arrival->key,
                            "object '%s': the store gave offset %" PRIu64 " in place of %" PRIu64,
                            arrival->key, offset, arrival->sums.size);
    return crn_arrival_take(arrival, data, n, reterr);
}

/* All of the object is asked for, whatever the manifest says, so that one that is too long shows.
 */
static int get_object(struct crn_arrival *arrival, cairn_error **reterr)
{
    const cairn_file_info *info = &arrival->file->info;
    const bool is_slice = crn_file_is_slice(arrival->file);
    struct file_sink sink = {.sink = {.sink.write = sink_write, .restart = restart},
                             .arrival = arrival};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_intake_get(arrival->intake, arrival->key, is_slice ? info->object_offset : 0,
                           is_slice ? info->size : UINT64_MAX, info->size, &sink.sink, &error);
    if (r == CAIRN_ENOTFOUND)
        return crn_arrival_fail_missing(arrival, reterr);
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

static int bring(struct crn_arrival *arrival, cairn_error **reterr)
{
    const struct crn_file *file = arrival->file;
    int r = crn_arrival_find(arrival, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    if (file->info.object == NULL) {
        CRN_TRY(crn_arrival_start(arrival, reterr));
        CRN_TRY(crn_arrival_take(arrival, file->inlined, file->info.size, reterr));
    } else {
        CRN_TRY(get_object(arrival, reterr));
    }
    return crn_arrival_finish(arrival, reterr);
}

static int compare_stored_size(struct crn_arrival *arrival, cairn_error **reterr)
{
    const struct crn_intake *intake = arrival->intake;
    const struct crn_file *file = arrival->file;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;

    if (file->info.object != NULL) {
        int r = intake->store->ops->stat(intake->store, arrival->key, &stat, &error);
        if (r == CAIRN_ENOTFOUND)
            return crn_arrival_fail_missing(arrival, reterr);
        if (r < 0)
            return crn_err_move(reterr, &error, r);
        if (stat.size != file->info.size)
            return crn_sums_fail_size(file, arrival->key, stat.size, reterr);
    }
    return intake->tick(intake->tick_context, (int64_t)file->info.size, reterr);
}

int crn_intake_file(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                    const struct crn_file *file, size_t ordinal, cairn_error **reterr)
{
    CRN_CLEANUP(crn_arrival_done) struct crn_arrival arrival;
    CRN_TRY(crn_arrival_init(&arrival, intake, scratch, file, ordinal, NULL, reterr));
    return intake->sizes_only ? compare_stored_size(&arrival, reterr) : bring(&arrival, reterr);
}

int crn_intake_bytes(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                     const struct crn_file *file, struct cairn_buffer *out, cairn_error **reterr)
{
    CRN_CLEANUP(crn_arrival_done) struct crn_arrival arrival;
    CRN_TRY(crn_arrival_init(&arrival, intake, scratch, file, 0, out, reterr));
    int r = bring(&arrival, reterr);
    if (r < 0)
        out->size = arrival.out_start;
    return r;
}
