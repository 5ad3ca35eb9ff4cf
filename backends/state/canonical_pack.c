/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From collected entries to a canonical file: blocks are packed and indexed in the order in which
 * they come.
 *
 * Packing takes half as long as scanning a database does, and writing waits for the disk; so both
 * are done by a thread of the file's own, while the caller collects entries into the other of two
 * batches. A file that fits one batch is packed and written by the caller, without a thread, and so
 * is one for which no thread can be started.
 *
 * Lock: `mutex`, between the two threads. The caller owns `filling`; `packing` is the thread's
 * while is_busy, and so are index and output; else they are the caller's. An error of the thread
 * comes out of the next call: finish() waits for the last batch before it completes the file, so
 * none gets lost.
 */
#include "backends/state/canonical_internal.h"

#include "base/thread.h"

#define KEEP_BYTES ((size_t)8 << 20) /* of memory after a huge entry */

struct crn_canonical_packer {
    /* constant after creation */
    char *path;
    uint8_t identity[CRN_CANONICAL_IDENTITY_SIZE];
    uint64_t seed;

    struct crn_canonical_batch filling;

    /* the thread's while is_busy */
    struct crn_canonical_batch packing;
    struct crn_canonical_output *output;
    struct cairn_buffer index; /* runs that are complete */
    bool in_run;
    uint32_t key_group, state; /* of the run that goes on */
    uint64_t run_offset, run_entries;
    uint32_t indexed_key_group; /* of the last complete run */
    uint64_t run_count, entry_count;

    bool has_thread;
    pthread_t thread;
    struct crn_mutex mutex;
    struct crn_cond changed;
    /* guarded by mutex */
    bool is_busy, is_ending;
    int failed;
    cairn_error *error; /* of the thread; NULL: it was told */
};

/* ---- packing ---- */

static int end_run(struct crn_canonical_packer *packer)
{
    struct cairn_buffer *index = &packer->index;
    uint64_t end = crn_canonical_output_position(packer->output);
    if (!packer->in_run)
        return 0;
    CRN_TRY(crn_buf_append_varint(index, packer->key_group - packer->indexed_key_group));
    CRN_TRY(crn_buf_append_varint(index, packer->state));
    CRN_TRY(crn_buf_append_varint(index, end - packer->run_offset));
    CRN_TRY(crn_buf_append_varint(index, packer->run_entries));
    packer->indexed_key_group = packer->key_group;
    packer->run_count++;
    packer->in_run = false;
    return 0;
}

static int add_block(struct crn_canonical_packer *packer, const struct crn_canonical_block *block,
                     const uint8_t *raw)
{
    if (block->key_group != packer->key_group || block->state != packer->state)
        CRN_TRY(end_run(packer));
    if (!packer->in_run) {
        packer->in_run = true;
        packer->key_group = block->key_group;
        packer->state = block->state;
        packer->run_offset = crn_canonical_output_position(packer->output);
        packer->run_entries = 0;
    }
    packer->run_entries += block->entry_count;
    packer->entry_count += block->entry_count;
    return crn_canonical_block_encode(block, raw, packer->seed,
                                      crn_canonical_output_buffer(packer->output));
}

/* And empties the batch. */
static int pack(struct crn_canonical_packer *packer, struct crn_canonical_batch *batch,
                cairn_error **reterr)
{
    const uint8_t *raw = batch->raw.data;
    for (size_t i = 0; i < batch->block_count; i++) {
        if (add_block(packer, &batch->blocks[i], raw) < 0)
            return crn_err_nomem(reterr);
        CRN_TRY(crn_canonical_output_push(packer->output, reterr));
        raw += batch->blocks[i].raw_size;
    }
    batch->block_count = 0;
    crn_buf_clear(&batch->raw);
    if (batch->raw.capacity > KEEP_BYTES)
        crn_buf_done(&batch->raw);
    return 0;
}

/* ---- the thread ---- */

static void *pack_batches(void *arg)
{
    struct crn_canonical_packer *packer = arg;
    int r = 0;
    crn_mutex_lock(&packer->mutex);
    while (r == 0) {
        while (!packer->is_busy && !packer->is_ending)
            crn_cond_wait(&packer->changed, &packer->mutex);
        if (!packer->is_busy)
            break;
        cairn_error *error = NULL;
        crn_mutex_unlock(&packer->mutex);
        r = pack(packer, &packer->packing, &error);
        crn_mutex_lock(&packer->mutex);
        packer->failed = r;
        packer->error = error;
        packer->is_busy = false;
        crn_cond_signal(&packer->changed);
    }
    crn_mutex_unlock(&packer->mutex);
    return NULL;
}

/* What the thread owned is the caller's when it returns. */
static int wait_for_thread(struct crn_canonical_packer *packer, cairn_error **reterr)
{
    crn_mutex_lock(&packer->mutex);
    while (packer->is_busy)
        crn_cond_wait(&packer->changed, &packer->mutex);
    int r = packer->failed;
    cairn_error *error = CRN_TAKE(packer->error);
    crn_mutex_unlock(&packer->mutex);
    if (r == 0)
        return 0;
    return error ? crn_err_move(reterr, &error, r)
                 : crn_err_fail(reterr, r, packer->path, "'%s' could not be written", packer->path);
}

static bool start_thread(struct crn_canonical_packer *packer)
{
    if (!packer->has_thread)
        packer->has_thread =
            crn_thread_start(&packer->thread, "cairn-pack", pack_batches, packer, NULL) == 0;
    return packer->has_thread;
}

static void end_thread(struct crn_canonical_packer *packer)
{
    if (!packer->has_thread)
        return;
    crn_mutex_lock(&packer->mutex);
    packer->is_ending = true;
    crn_cond_signal(&packer->changed);
    crn_mutex_unlock(&packer->mutex);
    (void)pthread_join(packer->thread, NULL); /* cannot fail: ours, joined once */
    packer->has_thread = false;
}

int crn_canonical_packer_push(struct crn_canonical_packer *packer, cairn_error **reterr)
{
    CRN_TRY(wait_for_thread(packer, reterr));
    if (!start_thread(packer)) /* then it takes longer */
        return pack(packer, &packer->filling, reterr);
    struct crn_canonical_batch empty = packer->packing;
    packer->packing = packer->filling;
    packer->filling = empty;
    crn_mutex_lock(&packer->mutex);
    packer->is_busy = true;
    crn_cond_signal(&packer->changed);
    crn_mutex_unlock(&packer->mutex);
    return 0;
}

/* ---- beginning and end ---- */

void crn_canonical_packer_free(struct crn_canonical_packer *packer)
{
    if (!packer)
        return;
    end_thread(packer);
    crn_canonical_output_free(packer->output);
    cairn_error_free(packer->error);
    crn_buf_done(&packer->filling.raw);
    crn_buf_done(&packer->packing.raw);
    crn_buf_done(&packer->index);
    crn_cond_done(&packer->changed);
    crn_mutex_done(&packer->mutex);
    free(packer->path);
    free(packer);
}

static void packer_cleanup(struct crn_canonical_packer **packer)
{
    crn_canonical_packer_free(*packer);
}

static int encode_header(struct crn_canonical_packer *packer,
                         const struct crn_canonical_header *given, struct cairn_buffer *out,
                         cairn_error **reterr)
{
    struct crn_canonical_header header = *given;
    if (!header.has_identity)
        crn_random_bytes(header.identity, sizeof(header.identity));
    header.has_identity = true;
    memcpy(packer->identity, header.identity, sizeof(packer->identity));
    packer->seed = crn_canonical_seed(&header);
    return crn_canonical_header_encode(&header, out, reterr);
}

int crn_canonical_packer_create(const char *path, const struct crn_canonical_header *header,
                                struct crn_canonical_packer **ret, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer encoded = {0};
    CRN_CLEANUP(packer_cleanup) struct crn_canonical_packer *packer = calloc(1, sizeof(*packer));
    if (!packer)
        return crn_err_nomem(reterr);
    crn_mutex_init(&packer->mutex, CRN_RANK_LEAF);
    crn_cond_init(&packer->changed);
    packer->indexed_key_group = header->key_group_first;
    packer->path = strdup(path);
    if (!packer->path)
        return crn_err_nomem(reterr);
    CRN_TRY(encode_header(packer, header, &encoded, reterr));
    CRN_TRY(crn_canonical_output_create(path, &packer->output, reterr));
    if (crn_buf_append(crn_canonical_output_buffer(packer->output), encoded.data, encoded.size) <
        0) {
        (void)unlink(path);
        return crn_err_nomem(reterr);
    }
    *ret = CRN_TAKE(packer);
    return 0;
}

struct crn_canonical_batch *crn_canonical_packer_batch(struct crn_canonical_packer *packer)
{
    return &packer->filling;
}

static int append_end(struct crn_canonical_packer *packer)
{
    uint8_t footer[CRN_CANONICAL_FOOTER_SIZE];
    struct cairn_buffer *index = &packer->index;

    CRN_TRY(end_run(packer));
    crn_put_le64(footer, index->size);
    crn_put_le64(footer + 8, packer->run_count);
    crn_put_le64(footer + 16, packer->entry_count);
    CRN_TRY(crn_buf_append(index, footer, sizeof(footer) - CRN_CANONICAL_CHECKSUM_SIZE));
    crn_put_le64(footer + 24, crn_hash64_seeded(index->data, index->size, packer->seed));
    CRN_TRY(crn_buf_append(index, footer + 24, CRN_CANONICAL_CHECKSUM_SIZE));
    return crn_buf_append(crn_canonical_output_buffer(packer->output), index->data, index->size);
}

int crn_canonical_packer_finish(struct crn_canonical_packer *packer,
                                struct crn_canonical_summary *ret, cairn_error **reterr)
{
    CRN_TRY(wait_for_thread(packer, reterr));
    end_thread(packer);
    CRN_TRY(pack(packer, &packer->filling, reterr));
    if (append_end(packer) < 0)
        return crn_err_nomem(reterr);
    memcpy(ret->identity, packer->identity, sizeof(ret->identity));
    return crn_canonical_output_finish(packer->output, ret, reterr);
}
