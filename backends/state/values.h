/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_VALUES_H
#define CRN_STATE_VALUES_H

#include "base/buffer.h"
#include "cairn/inspect.h"

/*
 * How values stand in the database; the bytes are in docs/format.md.
 *
 *   plain          the bytes
 *   with expiry    8 bytes time of last write (Unix ms, big-endian), then the bytes
 *   list           elements one after another: [8 bytes time, with expiry] varint length, bytes
 *
 * Values, and elements of lists, of a type with schemas (CAIRN_STRUCT and above) begin with their
 * schema's tag: a varint, behind the time, within the length.
 *
 * An entry is expired when time + ttl_ms <= now. The stored time is the write's, never the expiry,
 * so that a restore cannot bring anything back to life and the duration can change.
 */
#define CRN_VALUE_SIZE_MAX ((size_t)256 << 20)

/* Never for ttl_ms 0; never while the clock stands before the write. */
bool crn_ttl_expired(int64_t written_ms, uint64_t ttl_ms, int64_t now_ms);
/* Splits a plain or expiring value. false: too short. written is 0 without expiry. */
bool crn_value_split(const void *data, size_t size, bool has_ttl, int64_t *ret_written_ms,
                     const uint8_t **ret_value, size_t *ret_size);
int crn_value_append(struct cairn_buffer *out, bool has_ttl, int64_t written_ms, const void *data,
                     size_t size);

static inline bool crn_type_has_schemas(cairn_type type)
{
    return type >= CAIRN_STRUCT;
}
/* Splits the tag off. false: there is none. */
bool crn_value_split_tag(const uint8_t **data, size_t *size, uint32_t *ret_tag);

int crn_list_append_element(struct cairn_buffer *out, bool has_ttl, int64_t written_ms,
                            const void *data, size_t size);
struct crn_list_element {
    const uint8_t *data;
    size_t size;
    int64_t written_ms;
};
/* 1 and the next element, 0 at the end, CAIRN_ECORRUPT. */
int crn_list_next_element(struct crn_reader *reader, bool has_ttl, struct crn_list_element *ret);

enum crn_expiry {
    CRN_EXPIRY_NONE, /* also of what cannot be decoded: a reader shall meet it */
    CRN_EXPIRY_SOME, /* of a list's elements; the others are in `kept` */
    CRN_EXPIRY_ALL
};
/* What of a value with expiry, or of a list of such elements, is expired. Without memory: none. */
enum crn_expiry crn_value_expiry(const void *data, size_t size, bool is_list, uint64_t ttl_ms,
                                 int64_t now_ms, struct cairn_buffer *kept);

#endif
