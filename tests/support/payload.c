/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second, independent writer of the frame and of protobuf's wire format, for bytes that the first
 * would refuse to write.
 */
#include "tests/support/payload.h"

#include "base/hash.h"
#include "manifest/internal.h"

#include <string.h>

static void must(int r)
{
    if (r < 0)
        abort();
}

void crn_test_pb_number(struct cairn_buffer *out, uint32_t field, uint64_t value)
{
    must(crn_buf_append_varint(out, (uint64_t)field << 3));
    must(crn_buf_append_varint(out, value));
}

void crn_test_pb_bytes(struct cairn_buffer *out, uint32_t field, const void *data, size_t size)
{
    must(crn_buf_append_varint(out, (uint64_t)field << 3 | 2));
    must(crn_buf_append_varint(out, size));
    must(crn_buf_append(out, data, size));
}

static void append_le(struct cairn_buffer *out, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must(crn_buf_append_u8(out, (uint8_t)(value >> (8 * i))));
}

struct crn_test_frame crn_test_frame_of(const void *payload, size_t size)
{
    return (struct crn_test_frame){.version = 1,
                                   .header_size = 40,
                                   .stored_size = size,
                                   .raw_size = size,
                                   .payload = payload,
                                   .payload_size = size};
}

void crn_test_frame_put(const struct crn_test_frame *frame, struct cairn_buffer *out)
{
    crn_buf_clear(out);
    must(crn_buf_append(out,
                        "\x89"
                        "CAIRN\r\n",
                        8));
    append_le(out, frame->version, 4);
    append_le(out, frame->compatible, 4);
    append_le(out, frame->incompatible, 4);
    append_le(out, frame->header_size, 4);
    append_le(out, frame->stored_size, 8);
    append_le(out, frame->raw_size, 8);
    for (size_t i = 40; i < frame->header_size && i < 4096; i++)
        append_le(out, 0, 1);
    must(crn_buf_append(out, frame->payload, frame->payload_size));
    append_le(out, 0, 8);
    crn_test_frame_seal(out->data, out->size);
}

void crn_test_frame_seal(uint8_t *data, size_t size)
{
    const uint64_t checksum = crn_hash64_of(data, size - 8);
    for (size_t i = 0; i < 8; i++)
        data[size - 8 + i] = (uint8_t)(checksum >> (8 * i));
}

void crn_test_frame_payload(const void *data, size_t size, struct cairn_buffer *out)
{
    CRN_AUTO_FRAME struct crn_frame frame = {0};
    must(crn_frame_read("test", data, size, &frame, NULL));
    must(crn_buf_append(out, frame.payload, frame.payload_size));
}
