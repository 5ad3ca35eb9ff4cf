/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of canonical files.
 *
 * Entries are collected into a block, each key without what it shares with the one before it; full
 * blocks, and those that a new key group or state ends, are packed right behind each other into a
 * buffer of a megabyte, which goes through the digest and to the file in one piece. What is kept in
 * memory besides is the index: some bytes for each key group and state that has entries.
 *
 * Order is checked here, entry by entry, and costs nothing: the shared prefix says it. So a file
 * that was finished has it, and a reader may insist (P11).
 *
 * One thread per writer. A write that failed makes all later calls fail. A crash leaves a file
 * without its end, which no reader takes; the staging directory that it stands in is emptied at the
 * next open.
 */
#include "backends/state/canonical_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/file.h"

/* One block of LZ4, whose table of positions then has 16 bits each: measured against 128 and 256
 * KiB, a quarter faster, and larger by less than a hundredth. */
#define BLOCK_BYTES ((size_t)64 << 10)
#define OUT_BYTES ((size_t)1 << 20)
#define KEEP_BYTES ((size_t)8 << 20)         /* of memory after a huge entry */
#define WRITEBACK_BYTES ((uint64_t)16 << 20) /* so that the final sync has little left */
#define ENTRY_SIZES_MAX 15u                  /* three varints of at most 5 bytes */

struct crn_canonical_writer {
    /* constant after creation */
    char *path;
    int fd;
    uint32_t key_group_first, key_group_last;
    uint32_t state_count;
    size_t group_bytes;
    struct crn_digest *digest;

    int failed;                /* of an earlier call */
    struct cairn_buffer raw;   /* entries of the block that is being filled */
    struct cairn_buffer out;   /* finished bytes that are not in the file yet */
    struct cairn_buffer index; /* runs that are complete */
    struct cairn_buffer key;   /* the last one */
    uint64_t written, written_back;
    uint32_t block_entries;

    /* the run that is being filled */
    bool in_run;
    uint32_t key_group, state;
    uint64_t run_offset, run_entries;
    uint32_t indexed_key_group; /* of the last complete run */

    uint64_t run_count, entry_count, raw_bytes;
};

/* ---- bytes to the file ---- */

static int write_out(struct crn_canonical_writer *writer, cairn_error **reterr)
{
    CRN_TRY(crn_file_pwrite_all(writer->fd, writer->out.data, writer->out.size, writer->written,
                                writer->path, reterr));
    crn_digest_update(writer->digest, writer->out.data, writer->out.size);
    writer->written += writer->out.size;
    crn_buf_clear(&writer->out);
    if (writer->out.capacity > KEEP_BYTES)
        crn_buf_done(&writer->out);
    uint64_t waiting = writer->written - writer->written_back;
    if (waiting >= WRITEBACK_BYTES) { /* a hint: the sync at the end is what counts */
        (void)sync_file_range(writer->fd, (off_t)writer->written_back, (off_t)waiting,
                              SYNC_FILE_RANGE_WRITE);
        writer->written_back = writer->written;
    }
    return 0;
}

static int end_block(struct crn_canonical_writer *writer, cairn_error **reterr)
{
    const struct crn_canonical_block block = {.raw_size = (uint32_t)writer->raw.size,
                                              .entry_count = writer->block_entries,
                                              .state = (uint16_t)writer->state,
                                              .key_group = (uint16_t)writer->key_group};
    if (writer->block_entries == 0)
        return 0;
    if (crn_canonical_block_encode(&block, writer->raw.data, &writer->out) < 0)
        return crn_err_nomem(reterr);
    crn_buf_clear(&writer->raw);
    if (writer->raw.capacity > KEEP_BYTES)
        crn_buf_done(&writer->raw);
    writer->block_entries = 0;
    return writer->out.size >= OUT_BYTES ? write_out(writer, reterr) : 0;
}

static uint64_t position(const struct crn_canonical_writer *writer)
{
    return writer->written + writer->out.size;
}

static int end_run(struct crn_canonical_writer *writer, cairn_error **reterr)
{
    struct cairn_buffer *index = &writer->index;
    if (!writer->in_run)
        return 0;
    CRN_TRY(end_block(writer, reterr));
    if (crn_buf_append_varint(index, writer->key_group - writer->indexed_key_group) < 0 ||
        crn_buf_append_varint(index, writer->state) < 0 ||
        crn_buf_append_varint(index, position(writer) - writer->run_offset) < 0 ||
        crn_buf_append_varint(index, writer->run_entries) < 0)
        return crn_err_nomem(reterr);
    writer->indexed_key_group = writer->key_group;
    writer->run_count++;
    writer->in_run = false;
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
    CRN_TRY(end_run(writer, reterr));
    writer->in_run = true;
    writer->key_group = key_group;
    writer->state = state;
    writer->run_offset = position(writer);
    writer->run_entries = 0;
    crn_buf_clear(&writer->key);
    return 0;
}

static int add_entry(struct crn_canonical_writer *writer, const uint8_t *key, size_t key_size,
                     size_t shared, const void *value, size_t value_size)
{
    struct cairn_buffer *raw = &writer->raw, *last = &writer->key;
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
    writer->run_entries++;
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
    if (!writer->in_run || key_group != writer->key_group || state != writer->state)
        CRN_TRY(begin_run(writer, key_group, state, reterr));
    size_t last_size = writer->key.size;
    size_t shared =
        shared_prefix(writer->key.data, key, last_size < key_size ? last_size : key_size);
    if (shared == key_size || (shared < last_size && key[shared] < writer->key.data[shared]))
        return misuse(writer, reterr, "is out of order: its key is not above the last one");
    size_t entry_size = ENTRY_SIZES_MAX + key_size - shared + value_size;
    if (writer->raw.size + entry_size > BLOCK_BYTES) /* a larger entry has a block of its own */
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
    if (writer->fd >= 0)
        (void)close(writer->fd); /* what counts was synced */
    crn_digest_free(writer->digest);
    crn_buf_done(&writer->raw);
    crn_buf_done(&writer->out);
    crn_buf_done(&writer->index);
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
    writer->fd = -1;
    writer->key_group_first = header->key_group_first;
    writer->key_group_last = header->key_group_last;
    writer->indexed_key_group = header->key_group_first;
    writer->state_count = (uint32_t)header->state_count;
    writer->group_bytes = crn_canonical_group_bytes(header->max_parallelism);
    writer->path = strdup(path);
    writer->digest = crn_digest_new();
    if (!writer->path || !writer->digest)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_canonical_header_encode(header, &writer->out, reterr));
    writer->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd < 0)
        return crn_err_os(reterr, errno, path, "cannot create '%s'", path);
    *ret = CRN_TAKE(writer);
    return 0;
}

static int append_end(struct crn_canonical_writer *writer)
{
    uint8_t footer[CRN_CANONICAL_FOOTER_SIZE];
    struct cairn_buffer *index = &writer->index;

    crn_put_le64(footer, index->size);
    crn_put_le64(footer + 8, writer->run_count);
    crn_put_le64(footer + 16, writer->entry_count);
    CRN_TRY(crn_buf_append(index, footer, sizeof(footer) - CRN_CANONICAL_CHECKSUM_SIZE));
    crn_put_le64(footer + 24, crn_hash64_of(index->data, index->size));
    CRN_TRY(crn_buf_append(index, footer + 24, CRN_CANONICAL_CHECKSUM_SIZE));
    return crn_buf_append(&writer->out, index->data, index->size);
}

static int complete(struct crn_canonical_writer *writer, cairn_error **reterr)
{
    if (writer->failed < 0)
        return crn_err_fail(reterr, writer->failed, writer->path, "'%s' could not be written",
                            writer->path);
    CRN_TRY(end_run(writer, reterr));
    if (append_end(writer) < 0)
        return crn_err_nomem(reterr);
    CRN_TRY(write_out(writer, reterr));
    if (fdatasync(writer->fd) < 0)
        return crn_err_os(reterr, errno, writer->path, "cannot sync '%s'", writer->path);
    return 0;
}

int crn_canonical_finish(struct crn_canonical_writer *writer, struct crn_canonical_summary *ret,
                         cairn_error **reterr)
{
    int r = ret ? complete(writer, reterr) : 0;
    if (r < 0 || !ret)
        (void)unlink(writer->path); /* without its end it is nothing */
    else
        *ret = (struct crn_canonical_summary){.size = writer->written,
                                              .entry_count = writer->entry_count,
                                              .raw_bytes = writer->raw_bytes,
                                              .xxh3 = crn_digest_hash128(writer->digest),
                                              .crc32c = crn_digest_crc32c(writer->digest)};
    writer_free(writer);
    return r;
}
