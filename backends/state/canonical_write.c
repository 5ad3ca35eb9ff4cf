/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of canonical files.
 *
 * Entries are collected into blocks, each key without what it shares with the one before it. A new
 * key group or state begins a new block. Batches of a megabyte of them go to a thread
 * (canonical_pack.c), which packs and indexes them and writes them right behind each other
 * (canonical_output.c).
 *
 * Order is checked here, entry by entry, and costs nothing: the shared prefix says it. So a file
 * that was finished has it, and a reader may insist (P11).
 *
 * One caller at a time. A write that failed makes all later calls fail. A crash leaves a file
 * without its end, which no reader takes; the staging directory that it stands in is emptied at the
 * next open.
 */
#include "backends/state/canonical_internal.h"

#include <inttypes.h>
#include <unistd.h>

/* One block of LZ4, whose table of positions then has 16 bits each: measured against 128 and 256
 * KiB, a quarter faster, and larger by less than a hundredth. */
#define BLOCK_BYTES ((size_t)64 << 10)
#define BATCH_BYTES ((size_t)1 << 20) /* of blocks that are packed at a time */
#define ENTRY_SIZES_MAX 15u           /* three varints of at most 5 bytes */

struct crn_canonical_writer {
    /* constant after creation */
    char *path;
    struct crn_canonical_packer *packer;
    struct crn_canonical_batch *batch; /* the packer's: what is being filled */
    uint32_t key_group_first, key_group_last;
    uint32_t state_count;
    size_t group_bytes;

    int failed;              /* of an earlier call */
    struct cairn_buffer key; /* the last one */
    uint64_t entry_count, raw_bytes;

    /* the block that is being filled: the batch's last bytes */
    size_t block_begin;
    uint32_t block_entries;
    bool has_run;
    uint32_t key_group, state; /* of the last entry */
};

/* ---- blocks ---- */

static int end_block(struct crn_canonical_writer *writer, cairn_error **reterr)
{
    struct crn_canonical_batch *batch = writer->batch;
    if (writer->block_entries == 0)
        return 0;
    batch->blocks[batch->block_count++] =
        (struct crn_canonical_block){.raw_size = (uint32_t)(batch->raw.size - writer->block_begin),
                                     .entry_count = writer->block_entries,
                                     .state = (uint16_t)writer->state,
                                     .key_group = (uint16_t)writer->key_group};
    writer->block_entries = 0;
    if (batch->raw.size >= BATCH_BYTES || batch->block_count == CRN_CANONICAL_BATCH_BLOCKS)
        CRN_TRY(crn_canonical_packer_push(writer->packer, reterr));
    writer->block_begin = batch->raw.size;
    return 0;
}

/* ---- entries ---- */

static size_t shared_prefix(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t n = 0;
    while (n + 8 <= size) {
        uint64_t difference = crn_get_le64(a + n) ^ crn_get_le64(b + n);
        if (difference != 0)
            return n + (size_t)__builtin_ctzll(difference) / 8;
        n += 8;
    }
    while (n < size && a[n] == b[n])
        n++;
    return n;
}

static uint8_t *put_varint(uint8_t *at, size_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static int misuse(const struct crn_canonical_writer *writer, cairn_error **reterr, const char *what)
{
    return crn_err_fail(reterr, CAIRN_EINVAL, writer->path, "entry %" PRIu64 " of '%s' %s",
                        writer->entry_count + 1, writer->path, what);
}

static int begin_run(struct crn_canonical_writer *writer, uint32_t key_group, uint32_t state,
                     cairn_error **reterr)
{
    if (key_group < writer->key_group_first || key_group > writer->key_group_last)
        return misuse(writer, reterr, "is not of its key groups");
    if (writer->entry_count > 0 && (key_group < writer->key_group ||
                                    (key_group == writer->key_group && state <= writer->state)))
        return misuse(writer, reterr, "is out of order: its key group or state has been");
    CRN_TRY(end_block(writer, reterr));
    writer->has_run = true;
    writer->key_group = key_group;
    writer->state = state;
    crn_buf_clear(&writer->key);
    return 0;
}

static int add_entry(struct crn_canonical_writer *writer, const uint8_t *key, size_t key_size,
                     size_t shared, const void *value, size_t value_size)
{
    struct cairn_buffer *raw = &writer->batch->raw, *last = &writer->key;
    size_t left_out = writer->block_entries == 0 ? 0 : shared; /* blocks stand alone */
    size_t rest = key_size - left_out;

    CRN_TRY(crn_buf_reserve(last, key_size)); /* both first: all or nothing */
    CRN_TRY(crn_buf_reserve(raw, ENTRY_SIZES_MAX + rest + value_size));
    uint8_t *at = raw->data + raw->size;
    at = put_varint(at, left_out);
    at = put_varint(at, rest);
    at = put_varint(at, value_size);
    at = mempcpy(at, key + left_out, rest);
    if (value_size > 0)
        at = mempcpy(at, value, value_size);
    raw->size = (size_t)(at - raw->data);
    memcpy(last->data + shared, key + shared, key_size - shared);
    last->size = key_size;
    writer->block_entries++;
    writer->entry_count++;
    writer->raw_bytes += key_size + value_size;
    return 0;
}

static int put(struct crn_canonical_writer *writer, uint32_t state, const uint8_t *key,
               size_t key_size, const void *value, size_t value_size, cairn_error **reterr)
{
    uint64_t room = CRN_CANONICAL_BLOCK_RAW_MAX - ENTRY_SIZES_MAX;
    if (state >= writer->state_count)
        return misuse(writer, reterr, "is of a state that its header does not have");
    if (key_size < writer->group_bytes)
        return misuse(writer, reterr, "has a key without a key group");
    if (key_size > room || value_size > room - key_size)
        return misuse(writer, reterr, "is larger than 4 GiB");

    uint32_t key_group = crn_canonical_group_of(key, writer->group_bytes);
    if (!writer->has_run || key_group != writer->key_group || state != writer->state)
        CRN_TRY(begin_run(writer, key_group, state, reterr));
    size_t last_size = writer->key.size;
    size_t shared =
        shared_prefix(writer->key.data, key, last_size < key_size ? last_size : key_size);
    if (shared == key_size || (shared < last_size && key[shared] < writer->key.data[shared]))
        return misuse(writer, reterr, "is out of order: its key is not above the last one");
    size_t entry_size = ENTRY_SIZES_MAX + key_size - shared + value_size;
    size_t block_size = writer->batch->raw.size - writer->block_begin;
    if (block_size + entry_size > BLOCK_BYTES) /* a larger entry has a block of its own */
        CRN_TRY(end_block(writer, reterr));
    return add_entry(writer, key, key_size, shared, value, value_size) < 0 ? crn_err_nomem(reterr)
                                                                           : 0;
}

int crn_canonical_put(struct crn_canonical_writer *writer, uint32_t state, const void *key,
                      size_t key_size, const void *value, size_t value_size, cairn_error **reterr)
{
    if (writer->failed < 0)
        return crn_err_fail(reterr, writer->failed, writer->path, "'%s' could not be written",
                            writer->path);
    int r = put(writer, state, key, key_size, value, value_size, reterr);
    if (__builtin_expect(r < 0, 0))
        writer->failed = r;
    return r;
}

/* ---- beginning and end ---- */

/* Also of one that is half made. */
static void writer_free(struct crn_canonical_writer *writer)
{
    if (!writer)
        return;
    crn_canonical_packer_free(writer->packer);
    crn_buf_done(&writer->key);
    free(writer->path);
    free(writer);
}

static void writer_cleanup(struct crn_canonical_writer **writer)
{
    writer_free(*writer);
}

int crn_canonical_create(const char *path, const struct crn_canonical_header *header,
                         struct crn_canonical_writer **ret, cairn_error **reterr)
{
    const char *flaw = crn_canonical_header_flaw(header);
    if (flaw)
        return crn_err_fail(reterr, CAIRN_EINVAL, path, "header of '%s': %s", path, flaw);
    CRN_CLEANUP(writer_cleanup) struct crn_canonical_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return crn_err_nomem(reterr);
    writer->key_group_first = header->key_group_first;
    writer->key_group_last = header->key_group_last;
    writer->state_count = (uint32_t)header->state_count;
    writer->group_bytes = crn_canonical_group_bytes(header->max_parallelism);
    writer->path = strdup(path);
    if (!writer->path)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_canonical_packer_create(path, header, &writer->packer, reterr));
    writer->batch = crn_canonical_packer_batch(writer->packer);
    *ret = CRN_TAKE(writer);
    return 0;
}

static int complete(struct crn_canonical_writer *writer, struct crn_canonical_summary *ret,
                    cairn_error **reterr)
{
    if (writer->failed < 0)
        return crn_err_fail(reterr, writer->failed, writer->path, "'%s' could not be written",
                            writer->path);
    CRN_TRY(end_block(writer, reterr));
    ret->entry_count = writer->entry_count;
    ret->raw_bytes = writer->raw_bytes;
    return crn_canonical_packer_finish(writer->packer, ret, reterr);
}

int crn_canonical_finish(struct crn_canonical_writer *writer, struct crn_canonical_summary *ret,
                         cairn_error **reterr)
{
    struct crn_canonical_summary summary;
    int r = ret ? complete(writer, &summary, reterr) : 0;
    if (r < 0 || !ret)
        (void)unlink(writer->path); /* without its end it is nothing */
    else
        *ret = summary;
    writer_free(writer);
    return r;
}
