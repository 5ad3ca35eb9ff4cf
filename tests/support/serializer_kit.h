/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_SERIALIZER_KIT_H
#define CRN_TESTS_SERIALIZER_KIT_H

#include "engine/serializers/serializer.h"

/* Calls that must succeed, or fail with a code and some words; serializers and values of them in one
 * line; one kind of schema change, looked at from all sides. */

extern cairn_error *kit_error;
#define ERR (&kit_error)
#define MUST(call) kit_must((call), #call, __LINE__)
#define FAILS(code, words, call) kit_fails((call), code, words, #call, __LINE__)
#define IS_JSON(serializer, data, size, expected)                                                  \
    kit_json(serializer, data, size, expected, __LINE__)

void kit_must(int r, const char *call, int line);
void kit_fails(int r, int code, const char *words, const char *call, int line);
cairn_serializer *kit_struct(const cairn_field *fields, size_t count);
cairn_serializer *kit_avro(const char *json);
/* A value of a serializer, from JSON, in a copy of its own. */
void *kit_value(const cairn_serializer *serializer, const char *json, size_t *ret_size);
void kit_json(const cairn_serializer *serializer, const void *data, size_t size,
              const char *expected, int line);
/* One kind of change: what the comparison says of it, and what a value becomes. */
void kit_evolve(const cairn_serializer *from, const cairn_serializer *to,
                   cairn_compatibility expected, const char *words, const char *before,
                   const char *after, int line);

#endif
