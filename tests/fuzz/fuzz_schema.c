/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as two schemas and a value (P11): a byte (even: structs, odd: Avro), the first
 * schema and the second, each behind two bytes of its size, and the value of the first.
 *
 * What is a value has a form in JSON, which is the same after a way there and back. What a
 * converter makes of it is a value of the second schema, and so is the value itself if the schemas
 * were said to be compatible as they are.
 */
#include "engine/serializers/serializer.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static bool take(struct crn_reader *reader, cairn_schema_info *ret)
{
    uint16_t size;
    const uint8_t *bytes;
    if (!crn_read_be16(reader, &size) || !crn_read_bytes(reader, size, &bytes))
        return false;
    *ret = (cairn_schema_info){.name = "s", .bytes = bytes, .size = size};
    return true;
}

static void check_json(cairn_type type, const cairn_serializer *serializer, const uint8_t *data,
                       size_t size)
{
    char *json = NULL, *again = NULL;
    void *back = NULL;
    size_t back_size;
    int r = cairn_value_to_json(type, &serializer->schema, data, size, &json, NULL);
    crn_fuzz_must((r == 0) == crn_serializer_is_value(serializer, data, size));
    if (r < 0)
        return;
    crn_fuzz_must(cairn_value_from_json(type, &serializer->schema, json, &back, &back_size, NULL) ==
                  0);
    crn_fuzz_must(crn_serializer_is_value(serializer, back, back_size));
    crn_fuzz_must(cairn_value_to_json(type, &serializer->schema, back, back_size, &again, NULL) ==
                  0);
    crn_fuzz_must(strcmp(json, again) == 0);
    free(json);
    free(again);
    free(back);
}

static void check_conversion(const cairn_serializer *from, const cairn_serializer *to,
                             const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    struct crn_converter *converter;
    cairn_compatibility found;
    crn_fuzz_must(crn_serializer_compare(to, from->type, &from->schema, &found, &why, NULL) == 0);
    int r = crn_converter_new(to, &from->schema, &converter, NULL);
    crn_fuzz_must(r == (found == CAIRN_INCOMPATIBLE ? CAIRN_EMISMATCH : 0));
    if (r < 0)
        return;
    if (crn_convert(converter, data, size, &out, NULL) == 0) {
        crn_fuzz_must(crn_serializer_is_value(from, data, size));
        crn_fuzz_must(crn_serializer_is_value(to, out.data, out.size));
    }
    if (found == CAIRN_COMPATIBLE_AS_IS)
        crn_fuzz_must(crn_serializer_is_value(from, data, size) ==
                      crn_serializer_is_value(to, data, size));
    crn_converter_free(converter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crn_reader reader = {.data = data, .size = size};
    cairn_schema_info first, second;
    cairn_serializer *from, *to;
    uint8_t kind;
    if (!crn_read_u8(&reader, &kind) || !take(&reader, &first) || !take(&reader, &second))
        return 0;
    cairn_type type = kind % 2 == 0 ? CAIRN_STRUCT : CAIRN_AVRO;
    const uint8_t *value = data + reader.position;
    size_t value_size = crn_reader_left(&reader);
    if (cairn_serializer_of_schema(type, &first, &from, NULL) < 0)
        return 0;
    check_json(type, from, value, value_size);
    if (cairn_serializer_of_schema(type, &second, &to, NULL) == 0) {
        check_conversion(from, to, value, value_size);
        cairn_serializer_release(to);
    }
    cairn_serializer_release(from);
    return 0;
}
