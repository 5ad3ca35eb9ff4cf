/* SPDX-License-Identifier: Apache-2.0 */

/* What the tests of serializers share: see the header. */

#include "tests/support/serializer_kit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cairn_error *kit_error;

void kit_must(int r, const char *call, int line)
{
    ck_assert_msg(r >= 0 && kit_error == NULL, "line %d: %s: %s", line, call,
                  cairn_error_message(kit_error));
}

void kit_fails(int r, int code, const char *words, const char *call, int line)
{
    const char *message = cairn_error_message(kit_error);
    ck_assert_msg(r == code && cairn_error_code(kit_error) == code, "line %d: %s: %s (%s)", line,
                  call, cairn_error_name(r), message);
    ck_assert_msg(strstr(message, words) != NULL, "line %d: %s: no '%s' in '%s'", line, call, words,
                  message);
    cairn_error_free(kit_error);
    kit_error = NULL;
}

cairn_serializer *kit_struct(const cairn_field *fields, size_t count)
{
    cairn_serializer *made;
    MUST(cairn_struct_serializer("thing", fields, count, &made, ERR));
    return made;
}

cairn_serializer *kit_avro(const char *json)
{
    cairn_serializer *made;
    MUST(cairn_avro_serializer(json, &made, ERR));
    return made;
}

/* A value of a serializer, from JSON, in a copy of its own. */
void *kit_value(const cairn_serializer *serializer, const char *json, size_t *ret_size)
{
    void *data;
    MUST(cairn_value_from_json(serializer->type, &serializer->schema, json, &data, ret_size, ERR));
    return data;
}

void kit_json(const cairn_serializer *serializer, const void *data, size_t size,
              const char *expected, int line)
{
    char *json;
    MUST(cairn_value_to_json(serializer->type, &serializer->schema, data, size, &json, ERR));
    ck_assert_msg(strcmp(json, expected) == 0, "line %d: %s instead of %s", line, json, expected);
    free(json);
}

void kit_evolve(const cairn_serializer *from, const cairn_serializer *to,
                cairn_compatibility expected, const char *words, const char *before,
                const char *after, int line)
{
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    struct crn_converter *converter;
    cairn_compatibility found;
    size_t size;
    MUST(crn_serializer_compare(to, from->type, &from->schema, &found, &why, ERR));
    ck_assert_msg(found == expected, "line %d: %d: %s", line, (int)found, (char *)why.data);
    ck_assert_msg(strstr((char *)why.data, words) != NULL, "line %d: no '%s' in '%s'", line, words,
                  (char *)why.data);
    if (expected == CAIRN_INCOMPATIBLE) {
        ck_assert_int_eq(crn_converter_new(to, &from->schema, &converter, ERR), CAIRN_EMISMATCH);
        cairn_error_free(kit_error);
        kit_error = NULL;
        FAILS(CAIRN_EMISMATCH, "",
              cairn_value_convert(from->type, &from->schema, &to->schema, "", 0, &(void *){NULL},
                                  &(size_t){0}, ERR));
        return;
    }
    void *data = kit_value(from, before, &size);
    MUST(crn_converter_new(to, &from->schema, &converter, ERR));
    MUST(crn_convert(converter, data, size, &out, ERR));
    kit_json(to, out.data, out.size, after, line);
    if (expected == CAIRN_COMPATIBLE_AS_IS)
        ck_assert(out.size == size && memcmp(out.data, data, size) == 0);
    /* Every truncated value is refused, or is one. */
    for (size_t n = 0; n < size; n++)
        if (crn_convert(converter, data, n, &out, NULL) == 0)
            ck_assert(crn_serializer_is_value(to, out.data, out.size));
    crn_converter_free(converter);
    /* The public call does the same. */
    void *converted;
    size_t converted_size;
    MUST(cairn_value_convert(from->type, &from->schema, &to->schema, data, size, &converted,
                             &converted_size, ERR));
    kit_json(to, converted, converted_size, after, line);
    free(converted);
    if (size > 0)
        FAILS(CAIRN_ECORRUPT, "no value",
              cairn_value_convert(from->type, &from->schema, &to->schema, data, size - 1,
                                  &converted, &converted_size, ERR));
    free(data);
}
