/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding of values: plain, with the time of the last write and a schema's tag in front, and
 * lists.
 *
 * The stored time is that of the write, never that of the expiry. So a restore brings nothing back
 * to life, whatever the clock of the machine it runs on says about the time in between, and the
 * duration may change from run to run. Pure functions; decoding trusts nothing (P11).
 */
#include "backends/state/values.h"

#define TIME_SIZE 8u

bool crn_ttl_expired(int64_t written_ms, uint64_t ttl_ms, int64_t now_ms)
{
    /* A clock that was set back must not make anything older than it is. The difference of two
     * int64 fits uint64 once its sign is known. */
    if (ttl_ms == 0 || now_ms < written_ms)
        return false;
    return (uint64_t)now_ms - (uint64_t)written_ms >= ttl_ms;
}

bool crn_value_split(const void *data, size_t size, bool has_ttl, int64_t *ret_written_ms,
                     const uint8_t **ret_value, size_t *ret_size)
{
    struct crn_reader reader = {.data = data, .size = size};
    uint64_t written = 0;
    if (has_ttl && !crn_read_be64(&reader, &written))
        return false;
    *ret_written_ms = (int64_t)written;
    *ret_value = has_ttl ? reader.data + TIME_SIZE : reader.data;
    *ret_size = crn_reader_left(&reader);
    return true;
}

int crn_value_append(struct cairn_buffer *out, bool has_ttl, int64_t written_ms, const void *data,
                     size_t size)
{
    if (size > CRN_VALUE_SIZE_MAX)
        return CAIRN_EINVAL;
    CRN_TRY(crn_buf_reserve(out, TIME_SIZE + size));
    if (has_ttl)
        CRN_TRY(crn_buf_append_be64(out, (uint64_t)written_ms));
    return size > 0 ? crn_buf_append(out, data, size) : 0;
}

bool crn_value_split_tag(const uint8_t **data, size_t *size, uint32_t *ret_tag)
{
    struct crn_reader reader = {.data = *data, .size = *size};
    uint64_t tag;
    if (!crn_read_varint(&reader, &tag) || tag > UINT32_MAX)
        return false;
    *data += reader.position;
    *size -= reader.position;
    *ret_tag = (uint32_t)tag;
    return true;
}

int crn_list_append_element(struct cairn_buffer *out, bool has_ttl, int64_t written_ms,
                            const void *data, size_t size)
{
    if (size > CRN_VALUE_SIZE_MAX)
        return CAIRN_EINVAL;
    /* Everything is reserved first: half an element would make the whole list unreadable. */
    CRN_TRY(crn_buf_reserve(out, TIME_SIZE + 10 + size));
    if (has_ttl)
        CRN_TRY(crn_buf_append_be64(out, (uint64_t)written_ms));
    CRN_TRY(crn_buf_append_varint(out, size));
    return size > 0 ? crn_buf_append(out, data, size) : 0;
}

int crn_list_next_element(struct crn_reader *reader, bool has_ttl, struct crn_list_element *ret)
{
    struct crn_reader at = *reader;
    struct crn_list_element element = {0};
    uint64_t written = 0;
    uint64_t size;

    if (crn_reader_left(&at) == 0)
        return 0;
    if (has_ttl && !crn_read_be64(&at, &written))
        return CAIRN_ECORRUPT;
    if (!crn_read_varint(&at, &size) || size > CRN_VALUE_SIZE_MAX ||
        !crn_read_bytes(&at, (size_t)size, &element.data))
        return CAIRN_ECORRUPT;
    element.written_ms = (int64_t)written;
    element.size = (size_t)size;
    *ret = element;
    *reader = at;
    return 1;
}

static enum crn_expiry list_expiry(const void *data, size_t size, uint64_t ttl_ms, int64_t now_ms,
                                   struct cairn_buffer *kept)
{
    struct crn_reader reader = {.data = data, .size = size};
    struct crn_list_element element;
    size_t alive = 0, expired = 0;
    int r;

    while ((r = crn_list_next_element(&reader, true, &element)) > 0)
        if (crn_ttl_expired(element.written_ms, ttl_ms, now_ms))
            expired++;
        else
            alive++;
    if (r < 0 || expired == 0)
        return CRN_EXPIRY_NONE;
    if (alive == 0)
        return CRN_EXPIRY_ALL;

    crn_buf_clear(kept);
    reader.position = 0;
    while (crn_list_next_element(&reader, true, &element) > 0)
        if (!crn_ttl_expired(element.written_ms, ttl_ms, now_ms) &&
            crn_list_append_element(kept, true, element.written_ms, element.data, element.size) < 0)
            return CRN_EXPIRY_NONE;
    return CRN_EXPIRY_SOME;
}

enum crn_expiry crn_value_expiry(const void *data, size_t size, bool is_list, uint64_t ttl_ms,
                                 int64_t now_ms, struct cairn_buffer *kept)
{
    int64_t written;
    const uint8_t *value;
    size_t value_size;
    if (is_list)
        return list_expiry(data, size, ttl_ms, now_ms, kept);
    bool expired = crn_value_split(data, size, true, &written, &value, &value_size) &&
                   crn_ttl_expired(written, ttl_ms, now_ms);
    return expired ? CRN_EXPIRY_ALL : CRN_EXPIRY_NONE;
}
