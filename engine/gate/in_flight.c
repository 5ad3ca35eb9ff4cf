/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in flight: how they are kept while a barrier overtakes them, stored, read back and dealt
 * out to another parallelism.
 *
 * The checksum of a stored file is in its manifest (P8). It has one of its own nevertheless, since
 * its records go into the service's code: what was damaged before it was stored must not get there.
 * A reader believes no number in it (P11), and checks all of it before it gives the first record
 * away.
 *
 * Pure: no I/O, no locks. Proved by tests/test_in_flight.c and tests/fuzz/fuzz_in_flight.c.
 */
#include "engine/gate/in_flight.h"

#include "base/error.h"
#include "base/hash.h"

#include <string.h>

#define IN_FLIGHT_VERSION 1
#define HEADER_BYTES 5u   /* magic, version */
#define TRAILER_BYTES 16u /* number of records, XXH3-64 */
#define VARINT_MAX 10u

static const uint8_t in_flight_magic[4] = {'C', 'R', 'I', 'F'};

void crn_in_flight_done(struct crn_in_flight *in_flight)
{
    crn_buf_done(&in_flight->bytes);
    in_flight->count = 0;
}

static size_t varint_size(uint64_t value)
{
    size_t n = 1;
    for (; value >= 0x80; value >>= 7)
        n++;
    return n;
}

int crn_in_flight_append(struct crn_in_flight *in_flight, uint32_t channel, const void *data,
                         size_t size, uint64_t max_bytes)
{
    struct cairn_buffer *bytes = &in_flight->bytes;
    uint64_t lengths = varint_size(channel) + varint_size(size);
    if (bytes->size > max_bytes || lengths > max_bytes - bytes->size ||
        size > max_bytes - bytes->size - lengths)
        return CAIRN_ENOSPC;
    CRN_TRY(crn_buf_reserve(bytes, (size_t)lengths + size));
    CRN_TRY(crn_buf_append_varint(bytes, channel));
    CRN_TRY(crn_buf_append_varint(bytes, size));
    CRN_TRY(crn_buf_append(bytes, data, size));
    in_flight->count++;
    return 0;
}

int crn_in_flight_seal(const struct crn_in_flight *in_flight, struct cairn_buffer *out,
                       cairn_error **reterr)
{
    const struct cairn_buffer *records = &in_flight->bytes;
    crn_buf_clear(out);
    if (crn_buf_reserve(out, HEADER_BYTES + records->size + TRAILER_BYTES) < 0 ||
        crn_buf_append(out, in_flight_magic, sizeof in_flight_magic) < 0 ||
        crn_buf_append_u8(out, IN_FLIGHT_VERSION) < 0 ||
        crn_buf_append(out, records->data, records->size) < 0 ||
        crn_buf_append_be64(out, in_flight->count) < 0 ||
        crn_buf_append_be64(out, crn_hash64_of(out->data, out->size)) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Reading
 * ------------------------------------------------------------------------------------------ */

static int corrupt(cairn_error **reterr, size_t position, const char *what)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "records in flight, byte %zu: %s", position,
                        what);
}

static bool read_record(struct crn_reader *reader, uint32_t *ret_channel, const uint8_t **ret_data,
                        size_t *ret_size)
{
    uint64_t channel, size;
    if (!crn_read_varint(reader, &channel) || channel >= CRN_CHANNELS_MAX ||
        !crn_read_varint(reader, &size) || size > crn_reader_left(reader) ||
        !crn_read_bytes(reader, (size_t)size, ret_data))
        return false;
    *ret_channel = (uint32_t)channel;
    *ret_size = (size_t)size;
    return true;
}

bool crn_in_flight_next(const struct cairn_buffer *bytes, size_t *position, uint32_t *ret_channel,
                        const void **ret_data, size_t *ret_size)
{
    struct crn_reader reader = {bytes->data, bytes->size, *position};
    const uint8_t *data;
    if (crn_reader_left(&reader) == 0 || !read_record(&reader, ret_channel, &data, ret_size))
        return false;
    *ret_data = data;
    *position = reader.position;
    return true;
}

/* The frame: where the records lie, and how many there should be. */
static int check_frame(const uint8_t *data, size_t size, uint64_t *ret_count, cairn_error **reterr)
{
    uint64_t sum;
    if (size < sizeof in_flight_magic || memcmp(data, in_flight_magic, sizeof in_flight_magic) != 0)
        return corrupt(reterr, 0, "does not begin as records in flight do");
    if (size < HEADER_BYTES + TRAILER_BYTES)
        return corrupt(reterr, size, "is cut off");
    uint8_t version = data[sizeof in_flight_magic];
    if (version > IN_FLIGHT_VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, NULL,
                            "records in flight have format version %u, this library reads up to %u",
                            version, IN_FLIGHT_VERSION);
    if (version == 0)
        return corrupt(reterr, sizeof in_flight_magic, "there is no format version 0");
    struct crn_reader trailer = {data, size, size - TRAILER_BYTES};
    if (!crn_read_be64(&trailer, ret_count) || !crn_read_be64(&trailer, &sum) ||
        sum != crn_hash64_of(data, size - sizeof sum))
        return corrupt(reterr, size - sizeof sum, "the checksum is another");
    return 0;
}

int crn_in_flight_unseal(const void *data, size_t size, struct crn_in_flight *to,
                         cairn_error **reterr)
{
    const uint8_t *record;
    size_t record_size;
    uint32_t channel;
    uint64_t claimed, count = 0;
    CRN_TRY(check_frame(data, size, &claimed, reterr));
    struct crn_reader reader = {data, size - TRAILER_BYTES, HEADER_BYTES};
    for (; crn_reader_left(&reader) > 0; count++)
        if (!read_record(&reader, &channel, &record, &record_size))
            return corrupt(reterr, reader.position, "a record is malformed");
    if (count != claimed || count == 0)
        return corrupt(reterr, reader.position, "the number of records is another");
    if (crn_buf_append(&to->bytes, (const uint8_t *)data + HEADER_BYTES,
                       size - TRAILER_BYTES - HEADER_BYTES) < 0)
        return crn_err_nomem(reterr);
    to->count += count;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Another parallelism
 * ------------------------------------------------------------------------------------------ */

static int owner_of(struct crn_dealing *dealing, const void *record, size_t size,
                    uint32_t *ret_owner, cairn_error **reterr)
{
    uint64_t number = dealing->dealt++;
    if (dealing->partitioning == CAIRN_PARTITION_ANY) {
        *ret_owner = (uint32_t)(number % dealing->parallelism);
        return 0;
    }
    const void *key = NULL;
    size_t key_size = 0;
    int r = dealing->key_of(dealing->context, record, size, &key, &key_size);
    if (r < 0)
        return crn_err_fail(reterr, r, NULL,
                            "the service's key_of failed with %s (%d) for a record in flight",
                            cairn_error_name(r), r);
    r = cairn_subtask_of_key(key, key_size, dealing->parallelism, dealing->max_parallelism);
    if (r < 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the service's key_of gave a key of %zu bytes that is none", key_size);
    *ret_owner = (uint32_t)r;
    return 0;
}

int crn_in_flight_deal(struct crn_dealing *dealing, const struct crn_in_flight *from,
                       struct crn_in_flight *to, cairn_error **reterr)
{
    size_t position = 0, size;
    const void *data;
    uint32_t channel, owner = 0;
    while (crn_in_flight_next(&from->bytes, &position, &channel, &data, &size)) {
        CRN_TRY(owner_of(dealing, data, size, &owner, reterr));
        if (owner == dealing->subtask &&
            crn_in_flight_append(to, channel, data, size, UINT64_MAX) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}
