/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values as one line of JSON, and back: what the kinds share, and the public calls.
 *
 * The way there and back gives the same bytes, but for the many forms of NaN. JSON has no bytes, no
 * NaN and no infinity, and its text is UTF-8: bytes are "hex:00ff", and so is text that is not
 * UTF-8 or begins with "hex:"; the other numbers are the strings "NaN", "Infinity" and "-Infinity".
 * Integers are numbers of 64 bits.
 */

#include "engine/serializers/json.h"
#include "base/text.h"
#include "engine/serializers/avro.h"
#include "engine/serializers/struct.h"
#include "engine/types.h"
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 256
#define HEX "hex:"
#define HEX_SIZE 4u
#define NUMBER_SIZE 40u

int crn_json_parse(const char *text, size_t size, int code, struct json_object **ret,
                   cairn_error **reterr)
{
    if (size >= INT_MAX)
        return crn_err_fail(reterr, code, NULL, "a JSON text of %zu bytes is too long", size);
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (tokener == NULL)
        return crn_err_nomem(reterr);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    /* With the zero byte: a number ends only where something else begins. */
    struct json_object *json = json_tokener_parse_ex(tokener, text, (int)size + 1);
    enum json_tokener_error failed = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    if (failed != json_tokener_success || end < size) {
        json_object_put(json);
        return crn_err_fail(reterr, code, NULL, "not JSON at byte %zu: %s", end,
                            failed == json_tokener_success ? "more than one document"
                                                           : json_tokener_error_desc(failed));
    }
    *ret = json;
    return 0;
}

/* The shortest decimal that reads back as the same number, in the present locale. */
static void format(double value, char text[NUMBER_SIZE])
{
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(text, NUMBER_SIZE, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
}

struct json_object *crn_json_of_double(double value)
{
    char text[NUMBER_SIZE];
    if (isnan(value))
        return json_object_new_string("NaN");
    if (isinf(value))
        return json_object_new_string(value > 0 ? "Infinity" : "-Infinity");
    /* The process may have set a locale of which the decimal point is none. */
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0)
        return NULL;
    locale_t present = uselocale(plain);
    format(value, text);
    (void)uselocale(present);
    freelocale(plain);
    if (strpbrk(text, ".e") == NULL) /* else "-0" were read back as the integer 0 */
        (void)strcat(text, ".0");
    return json_object_new_double_s(value, text);
}

struct json_object *crn_json_of_bytes(const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    if (size > (INT_MAX - HEX_SIZE) / 2)
        return NULL;
    char *text = malloc(HEX_SIZE + 2 * size + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, HEX, HEX_SIZE);
    for (size_t i = 0; i < size; i++) {
        text[HEX_SIZE + 2 * i] = digits[bytes[i] >> 4];
        text[HEX_SIZE + 2 * i + 1] = digits[bytes[i] & 0xf];
    }
    struct json_object *json = json_object_new_string_len(text, (int)(HEX_SIZE + 2 * size));
    free(text);
    return json;
}

/* Control characters are fine in JSON, which escapes them. */
static bool is_text(const char *text, size_t size)
{
    while (size > 0) {
        size_t n = 0;
        while (n < size && (uint8_t)text[n] >= 0x20 && text[n] != 0x7f)
            n++;
        if (n > 0 && !crn_text_is_clean(text, n))
            return false;
        n += n < size;
        text += n;
        size -= n;
    }
    return true;
}

struct json_object *crn_json_of_text(const void *data, size_t size)
{
    bool looks_like_bytes = size >= HEX_SIZE && memcmp(data, HEX, HEX_SIZE) == 0;
    if (size > INT_MAX || looks_like_bytes || !is_text(data, size))
        return crn_json_of_bytes(data, size);
    return json_object_new_string_len(data, (int)size);
}

int crn_json_put(struct json_object *object, const char *key, struct json_object *value)
{
    if (json_object_object_add(object, key, value) == 0)
        return 0;
    json_object_put(value);
    return CAIRN_ENOMEM;
}

int crn_json_push(struct json_object *array, struct json_object *value)
{
    if (json_object_array_add(array, value) == 0)
        return 0;
    json_object_put(value);
    return CAIRN_ENOMEM;
}

bool crn_json_to_int64(struct json_object *json, int64_t *ret)
{
    if (!json_object_is_type(json, json_type_int))
        return false;
    *ret = json_object_get_int64(json);
    return *ret < 0 || json_object_get_uint64(json) <= INT64_MAX;
}

/* What has more than 64 bits was cut to the nearest that has not, and nothing else tells of it. */
static bool is_cut(struct json_object *json)
{
    return json_object_is_type(json, json_type_int) &&
           (json_object_get_uint64(json) == UINT64_MAX || json_object_get_int64(json) == INT64_MIN);
}

bool crn_json_to_double(struct json_object *json, double *ret)
{
    if (json_object_is_type(json, json_type_int) || json_object_is_type(json, json_type_double)) {
        if (is_cut(json))
            return false;
        *ret = json_object_get_double(json);
        return isfinite(*ret);
    }
    if (!json_object_is_type(json, json_type_string))
        return false;
    const char *text = json_object_get_string(json);
    if (strcmp(text, "NaN") == 0)
        *ret = (double)NAN;
    else if (strcmp(text, "Infinity") == 0)
        *ret = (double)INFINITY;
    else if (strcmp(text, "-Infinity") == 0)
        *ret = -(double)INFINITY;
    else
        return false;
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int crn_json_to_bytes(struct json_object *json, struct cairn_buffer *out)
{
    if (!json_object_is_type(json, json_type_string))
        return CAIRN_EINVAL;
    const char *text = json_object_get_string(json);
    size_t size = (size_t)json_object_get_string_len(json);
    if (size < HEX_SIZE || memcmp(text, HEX, HEX_SIZE) != 0 || size % 2 != 0)
        return CAIRN_EINVAL;
    CRN_TRY(crn_buf_reserve(out, size / 2));
    for (size_t i = HEX_SIZE; i < size; i += 2) {
        int high = digit_of(text[i]), low = digit_of(text[i + 1]);
        if (high < 0 || low < 0)
            return CAIRN_EINVAL;
        CRN_TRY(crn_buf_append_u8(out, (uint8_t)(high << 4 | low)));
    }
    return 0;
}

int crn_json_to_text(struct json_object *json, struct cairn_buffer *out)
{
    if (!json_object_is_type(json, json_type_string))
        return CAIRN_EINVAL;
    const char *text = json_object_get_string(json);
    size_t size = (size_t)json_object_get_string_len(json);
    if (size >= HEX_SIZE && memcmp(text, HEX, HEX_SIZE) == 0)
        return crn_json_to_bytes(json, out);
    return crn_buf_append(out, text, size);
}

/* ------------------------------------------------------------------------------------------ *
 * Structs
 * ------------------------------------------------------------------------------------------ */

static struct json_object *field_to_json(cairn_type type, const struct crn_struct_slot *slot)
{
    switch (type) {
    case CAIRN_INT64:
        return json_object_new_int64(cairn_decode_int64(slot->data));
    case CAIRN_DOUBLE:
        return crn_json_of_double(cairn_decode_double(slot->data));
    case CAIRN_STRING:
        return crn_json_of_text(slot->data, slot->size);
    case CAIRN_BYTES:
    case CAIRN_STRUCT:
    case CAIRN_AVRO:
    case CAIRN_CUSTOM:
        break;
    }
    return crn_json_of_bytes(slot->data, slot->size);
}

static int struct_to_json(const struct crn_struct_schema *schema, const void *data, size_t size,
                          struct json_object **ret, cairn_error **reterr)
{
    CRN_AUTO_FREE struct crn_struct_slot *slots = calloc(schema->count, sizeof(*slots));
    CRN_AUTO_JSON struct json_object *object = json_object_new_object();
    if (slots == NULL || object == NULL)
        return crn_err_nomem(reterr);
    if (!crn_struct_split(schema, data, size, slots))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "%zu bytes are no value of the schema",
                            size);
    for (size_t i = 0; i < schema->count; i++) {
        struct json_object *field = field_to_json(schema->fields[i].type, &slots[i]);
        if (field == NULL || crn_json_put(object, schema->fields[i].name, field) < 0)
            return crn_err_nomem(reterr);
    }
    *ret = CRN_TAKE(object);
    return 0;
}

static int set_from_json(cairn_struct *record, int i, cairn_type type, struct json_object *json)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    int64_t integer;
    double number;
    if (type == CAIRN_INT64)
        return crn_json_to_int64(json, &integer) ? cairn_struct_set_int64(record, i, integer)
                                                 : CAIRN_EINVAL;
    if (type == CAIRN_DOUBLE)
        return crn_json_to_double(json, &number) ? cairn_struct_set_double(record, i, number)
                                                 : CAIRN_EINVAL;
    CRN_TRY(type == CAIRN_STRING ? crn_json_to_text(json, &bytes)
                                 : crn_json_to_bytes(json, &bytes));
    return cairn_struct_set_bytes(record, i, bytes.data, bytes.size);
}

static int fill_struct(cairn_struct *record, const struct crn_struct_schema *schema,
                       struct json_object *json, cairn_error **reterr)
{
    if (!json_object_is_type(json, json_type_object))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a struct is a JSON object");
    json_object_object_foreach(json, name, value)
    {
        int i = crn_struct_schema_find(schema, name);
        if (i < 0)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "there is no field '%s'", name);
        cairn_type type = schema->fields[i].type;
        int r = set_from_json(record, i, type, value);
        if (r == CAIRN_EINVAL)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "field '%s': not a value of type %s",
                                name, crn_type_name(type));
        if (r < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

static int struct_from_json(const cairn_serializer *serializer, struct json_object *json,
                            struct cairn_buffer *out, cairn_error **reterr)
{
    cairn_struct *record;
    const void *data;
    size_t size;
    CRN_TRY(cairn_struct_new(serializer, &record, reterr));
    int r = fill_struct(record, &((const struct crn_struct_serializer *)serializer)->schema, json,
                        reterr);
    if (r == 0)
        r = cairn_struct_encode(record, &data, &size, reterr);
    if (r == 0 && crn_buf_append(out, data, size) < 0)
        r = crn_err_nomem(reterr);
    cairn_struct_free(record);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * The public calls
 * ------------------------------------------------------------------------------------------ */

static int check(cairn_type type, const void *in, const void *ret, cairn_error **reterr)
{
    if (in == NULL || ret == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the value, or the place for the result, "
                            "is NULL");
    if (type != CAIRN_STRUCT && type != CAIRN_AVRO)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "only values of the types struct and avro have a form in JSON, not %s",
                            crn_type_name(type));
    return 0;
}

static void release(cairn_serializer **serializer)
{
    cairn_serializer_release(*serializer);
}

int cairn_value_to_json(cairn_type type, const cairn_schema_info *schema, const void *data,
                        size_t size, char **ret_json, cairn_error **reterr)
{
    CRN_CLEANUP(release) cairn_serializer *serializer = NULL;
    CRN_AUTO_JSON struct json_object *json = NULL;
    CRN_TRY(check(type, data != NULL || size > 0 ? data : "", ret_json, reterr));
    CRN_TRY(cairn_serializer_of_schema(type, schema, &serializer, reterr));
    CRN_TRY(type == CAIRN_STRUCT
                ? struct_to_json(&((struct crn_struct_serializer *)serializer)->schema, data, size,
                                 &json, reterr)
                : crn_avro_decode_json(&((struct crn_avro_serializer *)serializer)->schema, data,
                                       size, &json, reterr));
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = text != NULL ? crn_str_dup_n(text, strlen(text)) : NULL;
    if (copy == NULL)
        return crn_err_nomem(reterr);
    *ret_json = copy;
    return 0;
}

int cairn_value_from_json(cairn_type type, const cairn_schema_info *schema, const char *json,
                          void **ret_data, size_t *ret_size, cairn_error **reterr)
{
    CRN_CLEANUP(release) cairn_serializer *serializer = NULL;
    CRN_AUTO_JSON struct json_object *parsed = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    CRN_TRY(check(type, json, ret_size != NULL ? ret_data : NULL, reterr));
    CRN_TRY(cairn_serializer_of_schema(type, schema, &serializer, reterr));
    CRN_TRY(crn_json_parse(json, strlen(json), CAIRN_EINVAL, &parsed, reterr));
    CRN_TRY(type == CAIRN_STRUCT
                ? struct_from_json(serializer, parsed, &out, reterr)
                : crn_avro_encode_json(((struct crn_avro_serializer *)serializer)->schema.root,
                                       parsed, false, &out, reterr));
    if (crn_buf_reserve(&out, 0) < 0) /* an empty value is not NULL */
        return crn_err_nomem(reterr);
    *ret_size = out.size;
    *ret_data = CRN_TAKE(out.data);
    return 0;
}
