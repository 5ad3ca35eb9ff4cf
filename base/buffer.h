/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_BUFFER_H
#define CRN_BASE_BUFFER_H

#include "base/cleanup.h"
#include <stdbool.h>

/* A growable byte buffer. Zero-initialised is empty and valid. Always has a zero byte after its end
 * (not counted) once something was appended, so text can be read in place. */
struct cairn_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};
#define CRN_AUTO_BUFFER CRN_CLEANUP(crn_buf_done)

void crn_buf_done(struct cairn_buffer *buffer); /* releases; the buffer is empty again */
static inline void crn_buf_clear(struct cairn_buffer *buffer)
{
    buffer->size = 0;
}
/* All return 0 or CAIRN_ENOMEM and then change nothing. */
int crn_buf_reserve(struct cairn_buffer *buffer, size_t extra);
int crn_buf_append(struct cairn_buffer *buffer, const void *data, size_t n);
int crn_buf_append_u8(struct cairn_buffer *buffer, uint8_t value);
int crn_buf_append_be16(struct cairn_buffer *buffer, uint16_t value);
int crn_buf_append_be64(struct cairn_buffer *buffer, uint64_t value);
int crn_buf_append_varint(struct cairn_buffer *buffer, uint64_t value); /* LEB128, 1..10 bytes */
int crn_buf_printf(struct cairn_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text as a string of its own, and empty the buffer; NULL when out of memory. */
char *crn_buf_take_text(struct cairn_buffer *buffer);

/* A bounds-checked reader over bytes that nobody trusts. Every read returns false at the end or on
 * malformed input and leaves the position alone. */
struct crn_reader {
    const uint8_t *data;
    size_t size;
    size_t position;
};
bool crn_read_u8(struct crn_reader *reader, uint8_t *ret);
bool crn_read_le32(struct crn_reader *reader, uint32_t *ret);
bool crn_read_be16(struct crn_reader *reader, uint16_t *ret);
bool crn_read_be64(struct crn_reader *reader, uint64_t *ret);
bool crn_read_varint(struct crn_reader *reader,
                     uint64_t *ret); /* rejects over-long and > 64 bits */
bool crn_read_bytes(struct crn_reader *reader, size_t n, const uint8_t **ret);
static inline size_t crn_reader_left(const struct crn_reader *reader)
{
    return reader->size - reader->position;
}

/* asprintf with our error code. */
int crn_str_printf(char **ret, cairn_error **reterr, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
char *crn_str_dup_n(const void *data, size_t n); /* with a final zero byte; NULL: out of memory */

#endif
