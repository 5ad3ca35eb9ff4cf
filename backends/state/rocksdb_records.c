/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB's log format, which its MANIFEST is written in.
 *
 * A file is a row of 32 KiB blocks. A record stands in one fragment, or in a first, some middle and
 * a last one; no fragment crosses a block's end, and what is left of a block below a header's size
 * is padding. A fragment is: masked crc32c of all that follows its length, length (2 bytes,
 * little-endian), type, [log number, in the recyclable types], bytes.
 *
 * The reader never looks beyond the bytes it was given, and allocates no more than their size
 * (P11). The writer never writes recyclable fragments.
 */
#include "backends/state/rocksdb_manifest.h"

#include "base/hash.h"

#include <string.h>

#define BLOCK_SIZE 32768u
#define HEADER_SIZE 7u
#define LOG_NUMBER_SIZE 4u
#define CRC_MASK_DELTA 0xa282ead8u

enum fragment_type {
    FRAGMENT_FULL = 1,
    FRAGMENT_FIRST = 2,
    FRAGMENT_MIDDLE = 3,
    FRAGMENT_LAST = 4,
    FRAGMENT_RECYCLABLE = 4 /* added to one of the above */
};

struct fragment {
    enum fragment_type type;
    const uint8_t *data;
    size_t size;
};

static int damaged(const char **ret_why, int code, const char *why)
{
    *ret_why = why;
    return code;
}

static uint32_t mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + CRC_MASK_DELTA;
}

static uint32_t unmask(uint32_t masked)
{
    uint32_t rotated = masked - CRC_MASK_DELTA;
    return rotated >> 17 | rotated << 15;
}

/* Skips the padding at a block's end. false: the file ends inside it. */
static bool skip_padding(struct crn_reader *in)
{
    size_t block_left = BLOCK_SIZE - in->position % BLOCK_SIZE;
    const uint8_t *padding;
    return block_left >= HEADER_SIZE || crn_read_bytes(in, block_left, &padding);
}

/* Recyclable fragments carry the number of the log that they were written for. What follows with
 * another number is left over from the file's earlier life. false: that is the end. */
static bool same_log(struct crn_rocksdb_records *records, const uint8_t number[LOG_NUMBER_SIZE])
{
    struct crn_reader reader = {.data = number, .size = LOG_NUMBER_SIZE};
    uint32_t value = 0;
    (void)crn_read_le32(&reader, &value); /* exactly as many bytes as it needs */
    if (!records->has_log_number) {
        records->has_log_number = true;
        records->log_number = value;
    }
    return records->log_number == value;
}

/* 1, 0 at the end, or an error. */
static int next_fragment(struct crn_rocksdb_records *records, struct fragment *ret,
                         const char **ret_why)
{
    struct crn_reader *in = &records->in;
    uint32_t masked_crc;
    uint8_t size_low, size_high, type;
    const uint8_t *body;

    if (crn_reader_left(in) == 0)
        return 0;
    if (!skip_padding(in) || !crn_read_le32(in, &masked_crc) || !crn_read_u8(in, &size_low) ||
        !crn_read_u8(in, &size_high))
        return damaged(ret_why, CAIRN_ECORRUPT, "it ends inside a record's header");
    size_t size = (size_t)size_high << 8 | size_low;
    const uint8_t *checked = in->data + in->position;
    if (!crn_read_u8(in, &type))
        return damaged(ret_why, CAIRN_ECORRUPT, "it ends inside a record's header");
    if (type == 0)
        return damaged(ret_why, CAIRN_ECORRUPT, "there are zeros where a record should be");
    if (type > FRAGMENT_LAST + FRAGMENT_RECYCLABLE)
        return damaged(ret_why, CAIRN_EVERSION, "it has a record of an unknown type");

    bool recyclable = type > FRAGMENT_LAST;
    size_t body_size = size + (recyclable ? LOG_NUMBER_SIZE : 0);
    if (body_size > BLOCK_SIZE - (in->position - 1) % BLOCK_SIZE - 1)
        return damaged(ret_why, CAIRN_ECORRUPT, "a record crosses the end of its block");
    if (!crn_read_bytes(in, body_size, &body))
        return damaged(ret_why, CAIRN_ECORRUPT, "it ends inside a record");
    if (crn_crc32c(0, checked, 1 + body_size) != unmask(masked_crc))
        return damaged(ret_why, CAIRN_ECORRUPT, "a record fails its checksum");
    if (recyclable) {
        if (!same_log(records, body)) {
            in->position = in->size;
            return 0;
        }
        body += LOG_NUMBER_SIZE;
        type -= FRAGMENT_RECYCLABLE;
    }
    *ret = (struct fragment){(enum fragment_type)type, body, size};
    return 1;
}

/* The rest of a record whose first fragment is given. */
static int join_fragments(struct crn_rocksdb_records *records, struct fragment fragment,
                          const char **ret_why)
{
    crn_buf_clear(&records->scratch);
    for (;;) {
        if (crn_buf_append(&records->scratch, fragment.data, fragment.size) < 0)
            return damaged(ret_why, CAIRN_ENOMEM, "out of memory");
        if (fragment.type == FRAGMENT_LAST)
            return 1;
        int r = next_fragment(records, &fragment, ret_why);
        if (r < 0)
            return r;
        if (r == 0)
            return damaged(ret_why, CAIRN_ECORRUPT, "it ends inside a record of several fragments");
        if (fragment.type != FRAGMENT_MIDDLE && fragment.type != FRAGMENT_LAST)
            return damaged(ret_why, CAIRN_ECORRUPT, "a record's fragments are out of order");
    }
}

int crn_rocksdb_records_next(struct crn_rocksdb_records *records, struct crn_reader *ret_record,
                             const char **ret_why)
{
    struct fragment fragment;
    int r = next_fragment(records, &fragment, ret_why);
    if (r <= 0)
        return r;
    if (fragment.type == FRAGMENT_FULL) {
        *ret_record = (struct crn_reader){.data = fragment.data, .size = fragment.size};
        return 1;
    }
    if (fragment.type != FRAGMENT_FIRST)
        return damaged(ret_why, CAIRN_ECORRUPT, "a record's first fragment is missing");
    r = join_fragments(records, fragment, ret_why);
    if (r > 0)
        *ret_record =
            (struct crn_reader){.data = records->scratch.data, .size = records->scratch.size};
    return r;
}

void crn_rocksdb_records_done(struct crn_rocksdb_records *records)
{
    crn_buf_done(&records->scratch);
}

/* ---- writing ---- */

static int append_fragment(struct cairn_buffer *out, uint8_t type, const uint8_t *data, size_t size)
{
    uint32_t crc = mask(crn_crc32c(crn_crc32c(0, &type, 1), data, size));
    const uint8_t header[HEADER_SIZE] = {(uint8_t)crc,
                                         (uint8_t)(crc >> 8),
                                         (uint8_t)(crc >> 16),
                                         (uint8_t)(crc >> 24),
                                         (uint8_t)size,
                                         (uint8_t)(size >> 8),
                                         type};
    CRN_TRY(crn_buf_append(out, header, sizeof(header)));
    return size > 0 ? crn_buf_append(out, data, size) : 0;
}

int crn_rocksdb_records_append(struct cairn_buffer *out, const void *data, size_t size)
{
    static const uint8_t padding[HEADER_SIZE];
    const uint8_t *rest = data;
    bool is_first = true, is_last = false;

    while (!is_last) {
        size_t block_left = BLOCK_SIZE - out->size % BLOCK_SIZE;
        if (block_left < HEADER_SIZE) {
            CRN_TRY(crn_buf_append(out, padding, block_left));
            block_left = BLOCK_SIZE;
        }
        size_t room = block_left - HEADER_SIZE;
        size_t n = size < room ? size : room;
        is_last = n == size;
        CRN_TRY(append_fragment(out,
                                is_first  ? is_last ? FRAGMENT_FULL : FRAGMENT_FIRST
                                : is_last ? FRAGMENT_LAST
                                          : FRAGMENT_MIDDLE,
                                rest, n));
        rest += n;
        size -= n;
        is_first = false;
    }
    return 0;
}
