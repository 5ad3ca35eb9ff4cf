/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans of a canonical file.
 *
 * A scan walks over the runs that it wants, block by block, and takes bytes from the input in
 * windows: as many as fit, over neighbouring runs too, so that thousands of small key groups are a
 * few reads. What lies between wanted runs is read along only if it is little.
 *
 * Nothing is given out that was not checked (P8, P11): a block's checksum before anything else of
 * it is believed; that it belongs to this run; then each entry: sizes inside the block, key above
 * the one before it, and of the run's key group; at the end of block and run, the counts. Each key
 * must share with its predecessor exactly what it claims to share: that is the order, and costs one
 * comparison.
 *
 * One thread per scan. An error is final: the next call gives its code again.
 */
#include "backends/state/canonical_internal.h"

#define WINDOW_BYTES ((uint64_t)2 << 20)
#define GAP_BYTES ((uint64_t)64 << 10) /* not wanted, but cheaper to read than another request */

struct crn_canonical_scan {
    /* constant */
    struct crn_canonical_reader *reader;
    int state; /* -1: all */
    uint32_t key_group_last;
    size_t group_bytes;

    int failed;
    size_t run; /* the current one is run - 1, if in_run */
    bool in_run;
    uint64_t offset, run_end; /* of the next block, of the run */
    uint64_t run_entries_left;
    struct cairn_buffer window; /* bytes of the file from window_offset on */
    uint64_t window_offset;

    /* the current block */
    uint64_t block_offset;
    uint32_t block_entries_left;
    bool block_begins;
    const uint8_t *at, *end;
    struct cairn_buffer raw;
    struct crn_canonical_unpacker *unpacker;

    struct cairn_buffer key; /* of the last entry of this run */
};

static const struct crn_canonical_run *current_run(const struct crn_canonical_scan *scan)
{
    return &scan->reader->runs[scan->run - 1];
}

static int corrupt(const struct crn_canonical_scan *scan, cairn_error **reterr, const char *what)
{
    return crn_canonical_corrupt(&scan->reader->input, scan->block_offset, reterr, what);
}

/* ---- windows ---- */

static bool is_wanted(const struct crn_canonical_scan *scan, const struct crn_canonical_run *run)
{
    return scan->state < 0 || run->state == scan->state;
}

/* Where the bytes end that are worth reading in one go from `offset` on, at most to `limit`. */
static uint64_t useful_end(const struct crn_canonical_scan *scan, uint64_t limit)
{
    const struct crn_canonical_reader *reader = scan->reader;
    uint64_t end = scan->run_end;
    for (size_t i = scan->run; i < reader->run_count && end < limit; i++) {
        const struct crn_canonical_run *run = &reader->runs[i];
        if (run->key_group > scan->key_group_last || run->offset - end > GAP_BYTES)
            break;
        if (is_wanted(scan, run))
            end = run->offset + run->stored_bytes;
    }
    return end < limit ? end : limit;
}

/* Makes `size` bytes at scan->offset available, which are inside of the current run. */
static int fill(struct crn_canonical_scan *scan, uint64_t size, const uint8_t **ret,
                cairn_error **reterr)
{
    struct cairn_buffer *window = &scan->window;
    uint64_t have = scan->window_offset + window->size;

    if (scan->offset < scan->window_offset || scan->offset + size > have) {
        const struct crn_canonical_input *input = &scan->reader->input;
        uint64_t wish = size > WINDOW_BYTES ? size : WINDOW_BYTES;
        uint64_t end = useful_end(scan, scan->offset + wish);
        /* What is there already moves to the front. */
        size_t kept = scan->offset >= scan->window_offset && scan->offset < have
                          ? (size_t)(have - scan->offset)
                          : 0;
        if (kept > 0)
            memmove(window->data, window->data + (window->size - kept), kept);
        window->size = kept;
        scan->window_offset = scan->offset;
        uint64_t missing = end - scan->offset - kept;
        if (crn_buf_reserve(window, (size_t)missing) < 0)
            return crn_err_nomem(reterr);
        CRN_TRY(input->read(input->context, scan->offset + kept, window->data + kept,
                            (size_t)missing, reterr));
        window->size += (size_t)missing;
    }
    *ret = window->data + (scan->offset - scan->window_offset);
    return 0;
}

/* ---- blocks ---- */

/* The window's bytes that a raw block's entries point to must not move before the next block. */
static int open_block(struct crn_canonical_scan *scan, cairn_error **reterr)
{
    const struct crn_canonical_run *run = current_run(scan);
    struct crn_canonical_block block;
    const uint8_t *bytes;

    scan->block_offset = scan->offset;
    if (scan->run_end - scan->offset < CRN_CANONICAL_BLOCK_HEADER)
        return corrupt(scan, reterr, "no room for a block");
    CRN_TRY(fill(scan, CRN_CANONICAL_BLOCK_HEADER, &bytes, reterr));
    bool sane = crn_canonical_block_decode(bytes, &block);
    uint64_t size = CRN_CANONICAL_BLOCK_HEADER + (uint64_t)block.stored_size;
    if (size > scan->run_end - scan->offset)
        return corrupt(scan, reterr, "the block is longer than its run");
    CRN_TRY(fill(scan, size, &bytes, reterr));
    if (!crn_canonical_block_intact(bytes, &block, scan->reader->seed))
        return corrupt(scan, reterr, "the checksum of the block is wrong");
    if (!sane)
        return corrupt(scan, reterr, "the block's header breaks the rules");
    if (block.state != run->state || block.key_group != run->key_group)
        return corrupt(scan, reterr, "the block is of another key group or state");
    if (block.entry_count > scan->run_entries_left)
        return corrupt(scan, reterr, "the run has more entries than its index says");

    const uint8_t *stored = bytes + CRN_CANONICAL_BLOCK_HEADER;
    if (block.flags & CRN_CANONICAL_BLOCK_LZ4) {
        int r = crn_canonical_block_unpack(&scan->unpacker, stored, &block, &scan->raw);
        if (r < 0)
            return r == CAIRN_ENOMEM ? crn_err_nomem(reterr)
                                     : corrupt(scan, reterr, "the block cannot be unpacked");
        stored = scan->raw.data;
    }
    scan->at = stored;
    scan->end = stored + block.raw_size;
    scan->block_entries_left = block.entry_count;
    scan->block_begins = true;
    scan->run_entries_left -= block.entry_count;
    scan->offset += size;
    return 0;
}

/* 1 and the next block is open, 0 at the end. */
static int next_block(struct crn_canonical_scan *scan, cairn_error **reterr)
{
    const struct crn_canonical_reader *reader = scan->reader;
    if (scan->at != scan->end)
        return corrupt(scan, reterr, "the block has more bytes than entries");
    if (scan->in_run && scan->offset == scan->run_end) {
        if (scan->run_entries_left != 0)
            return corrupt(scan, reterr, "the run has fewer entries than its index says");
        scan->in_run = false;
    }
    while (!scan->in_run) {
        if (scan->run == reader->run_count ||
            reader->runs[scan->run].key_group > scan->key_group_last)
            return 0;
        const struct crn_canonical_run *run = &reader->runs[scan->run++];
        scan->in_run = is_wanted(scan, run);
        scan->offset = run->offset;
        scan->run_end = run->offset + run->stored_bytes;
        scan->run_entries_left = run->entry_count;
        crn_buf_clear(&scan->key);
    }
    CRN_TRY(open_block(scan, reterr));
    return 1;
}

/* ---- entries ---- */

static bool read_size(const uint8_t **at, const uint8_t *end, size_t *ret)
{
    if (*at < end && **at < 0x80) {
        *ret = *(*at)++;
        return true;
    }
    struct crn_reader in = {.data = *at, .size = (size_t)(end - *at)};
    uint64_t value;
    if (!crn_read_varint(&in, &value) || value > CRN_CANONICAL_BLOCK_RAW_MAX)
        return false;
    *at += in.position;
    *ret = (size_t)value;
    return true;
}

/* The first key of a block stands there whole; it must be above the last one of the block before.
 */
static bool begins_above(const struct cairn_buffer *last, const uint8_t *key, size_t size)
{
    size_t common = last->size < size ? last->size : size;
    int order = common > 0 ? memcmp(last->data, key, common) : 0;
    return order < 0 || (order == 0 && last->size < size);
}

static int read_entry(struct crn_canonical_scan *scan, struct crn_canonical_entry *ret,
                      cairn_error **reterr)
{
    struct cairn_buffer *key = &scan->key;
    size_t shared, rest, value_size;

    if (!read_size(&scan->at, scan->end, &shared) || !read_size(&scan->at, scan->end, &rest) ||
        !read_size(&scan->at, scan->end, &value_size))
        return corrupt(scan, reterr, "the sizes of an entry cannot be read");
    size_t left = (size_t)(scan->end - scan->at);
    if (rest > left || value_size > left - rest)
        return corrupt(scan, reterr, "an entry is longer than its block");
    const uint8_t *bytes = scan->at;
    bool ascends = scan->block_begins ? shared == 0 && begins_above(key, bytes, rest)
                                      : shared == key->size ||
                                            (shared < key->size && bytes[0] > key->data[shared]);
    if (rest == 0 || !ascends)
        return corrupt(scan, reterr, "the keys are out of order");

    key->size = shared;
    if (crn_buf_append(key, bytes, rest) < 0)
        return crn_err_nomem(reterr);
    const struct crn_canonical_run *run = current_run(scan);
    if (shared < scan->group_bytes &&
        (key->size < scan->group_bytes ||
         crn_canonical_group_of(key->data, scan->group_bytes) != run->key_group))
        return corrupt(scan, reterr, "a key is of another key group");
    scan->at = bytes + rest + value_size;
    scan->block_begins = false;
    scan->block_entries_left--;
    *ret = (struct crn_canonical_entry){.state = run->state,
                                        .key_group = run->key_group,
                                        .key = key->data,
                                        .value = bytes + rest,
                                        .key_size = key->size,
                                        .value_size = value_size};
    return 1;
}

static int next(struct crn_canonical_scan *scan, struct crn_canonical_entry *ret,
                cairn_error **reterr)
{
    if (scan->block_entries_left == 0) {
        int r = next_block(scan, reterr);
        if (r <= 0)
            return r;
    }
    return read_entry(scan, ret, reterr);
}

int crn_canonical_next(struct crn_canonical_scan *scan, struct crn_canonical_entry *ret,
                       cairn_error **reterr)
{
    if (scan->failed < 0)
        return crn_err_fail(reterr, scan->failed, scan->reader->input.object,
                            "the scan of '%s' failed before", scan->reader->input.object);
    int r = next(scan, ret, reterr);
    if (__builtin_expect(r < 0, 0))
        scan->failed = r;
    return r;
}

/* ---- beginning and end ---- */

int crn_canonical_scan(struct crn_canonical_reader *reader, int state, uint32_t key_group_first,
                       uint32_t key_group_last, struct crn_canonical_scan **ret,
                       cairn_error **reterr)
{
    struct crn_canonical_scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return crn_err_nomem(reterr);
    scan->reader = reader;
    scan->state = state;
    scan->key_group_last = key_group_last;
    scan->group_bytes = crn_canonical_group_bytes(reader->header.max_parallelism);
    scan->run = crn_canonical_first_run(reader, key_group_first);
    *ret = scan;
    return 0;
}

void crn_canonical_scan_end(struct crn_canonical_scan *scan)
{
    if (!scan)
        return;
    crn_canonical_unpacker_free(scan->unpacker);
    crn_buf_done(&scan->window);
    crn_buf_done(&scan->raw);
    crn_buf_done(&scan->key);
    free(scan);
}
