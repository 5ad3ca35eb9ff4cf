/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_JSON_OUT_H
#define CRN_ENGINE_CONTROL_JSON_OUT_H

#include "base/buffer.h"
#include <inttypes.h>

/* JSON straight into a buffer. Calls never fail: `failed` says at the end whether memory was short,
 * and what is in the buffer then is of no use. key NULL: an element of an array, or the document.
 */
struct crn_json_out {
    struct cairn_buffer *buffer;
    bool failed;
    bool comma; /* before the next one */
};
void crn_json_begin(struct crn_json_out *out, const char *key, char bracket); /* '{' or '[' */
void crn_json_end(struct crn_json_out *out, char bracket);                    /* '}' or ']' */
/* NULL gives null. Bytes that are not UTF-8 come out as U+FFFD: all output is valid. */
void crn_json_text(struct crn_json_out *out, const char *key, const char *text);
/* The same, but null for "". */
void crn_json_some_text(struct crn_json_out *out, const char *key, const char *text);
void crn_json_hex(struct crn_json_out *out, const char *key, const void *data, size_t size);
void crn_json_u64(struct crn_json_out *out, const char *key, uint64_t value);
void crn_json_i64(struct crn_json_out *out, const char *key, int64_t value);
void crn_json_bool(struct crn_json_out *out, const char *key, bool value);
void crn_json_null(struct crn_json_out *out, const char *key);

#endif
