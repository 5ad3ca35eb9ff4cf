/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_PAYLOAD_H
#define CRN_TESTS_PAYLOAD_H

#include "base/buffer.h"

/* Bytes that our own writer would never write: protobuf fields one by one, and frames around them
 * with any header. All abort when out of memory. */

void crn_test_pb_number(struct cairn_buffer *out, uint32_t field, uint64_t value);
void crn_test_pb_bytes(struct cairn_buffer *out, uint32_t field, const void *data, size_t size);
static inline void crn_test_pb_message(struct cairn_buffer *out, uint32_t field,
                                       const struct cairn_buffer *inner)
{
    crn_test_pb_bytes(out, field, inner->data, inner->size);
}

struct crn_test_frame {
    uint32_t version, compatible, incompatible, header_size;
    uint64_t stored_size, raw_size;
    const void *payload;
    size_t payload_size; /* what is really there */
};
/* A header that fits the payload, stored as it is. */
struct crn_test_frame crn_test_frame_of(const void *payload, size_t size);
/* Replaces what is in `out`; the checksum is right. A header_size above 40 gets zeros. */
void crn_test_frame_put(const struct crn_test_frame *frame, struct cairn_buffer *out);
/* Makes the checksum of a frame right after its bytes were changed. */
void crn_test_frame_seal(uint8_t *data, size_t size);
/* Raw payload of a good frame, appended to `out`. */
void crn_test_frame_payload(const void *data, size_t size, struct cairn_buffer *out);

#endif
