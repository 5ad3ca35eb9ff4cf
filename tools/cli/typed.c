/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keys and values by their type, in three directions: for people, for JSON, and from what a person
 * types. A value whose size does not fit its type is shown as the bytes that it is; nothing here
 * trusts the store (P11).
 */

#include "tools/cli/cli.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_KEY 40 /* bytes of a key range's text, in tables */

/* The shortest decimal that reads back as the same double. */
static void format_double(double value, char *out, size_t size)
{
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, size, "%.*g", precision, value);
        if (strtod(out, NULL) == value)
            break;
    }
    if (value == 0 && signbit(value)) /* -0 would be read as an integer, which has no sign */
        snprintf(out, size, "-0.0");
}

char *cli_typed_text(cairn_type type, const void *data, size_t size)
{
    char number[40];
    switch (type) {
    case CAIRN_INT64:
        if (size == 8)
            return cli_printf("%" PRId64, cairn_decode_int64(data));
        break;
    case CAIRN_DOUBLE:
        if (size == 8) {
            format_double(cairn_decode_double(data), number, sizeof(number));
            return cli_printf("%s", number);
        }
        break;
    case CAIRN_STRING:
        return cli_text_quote(data, size);
    case CAIRN_STRUCT:
    case CAIRN_AVRO:
    case CAIRN_CUSTOM:
        break;
    case CAIRN_BYTES:
        /* Most opaque keys are words all the same. */
        if (cli_text_is_plain(data, size))
            return cli_text_quote(data, size);
        break;
    }
    return cli_text_hex(data, size);
}

static bool is_same_double(double value, const void *data)
{
    uint8_t encoded[8];
    cairn_encode_double(value, encoded);
    return memcmp(encoded, data, sizeof(encoded)) == 0;
}

struct json_object *cli_typed_json(cairn_type type, const void *data, size_t size)
{
    if (type == CAIRN_INT64 && size == 8)
        return json_object_new_int64(cairn_decode_int64(data));
    if (type == CAIRN_STRING && cli_text_is_utf8(data, size))
        return cli_json_text(data, size);
    if (type == CAIRN_DOUBLE && size == 8) {
        char number[40];
        double value = cairn_decode_double(data);
        format_double(value, number, sizeof(number));
        if (isfinite(value))
            return json_object_new_double_s(value, number);
        /* JSON has no infinity and no NaN: these are strings, as long as they say all of it. */
        if (is_same_double(strtod(number, NULL), data))
            return json_object_new_string(number);
    }
    struct json_object *bytes = cli_json_object();
    cli_json_put(bytes, "hex", cli_json_hex(data, size));
    return bytes;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int cli_hex_parse(const char *digits, uint8_t **ret_data, size_t *ret_size, cairn_error **reterr)
{
    size_t count = strlen(digits);
    CLI_AUTO_FREE uint8_t *data = cli_alloc(count / 2 + 1);
    for (size_t i = 0; i < count; i++) {
        int digit = hex_digit(digits[i]);
        if (digit < 0 || count % 2 != 0)
            return cli_raise(reterr, CAIRN_EINVAL, "'%.64s%s' is not hexadecimal bytes", digits,
                             count > 64 ? "..." : "");
        data[i / 2] = (uint8_t)(data[i / 2] << 4 | digit);
    }
    *ret_data = data;
    *ret_size = count / 2;
    data = NULL;
    return 0;
}

static void give_copy(const void *data, size_t size, uint8_t **ret_data, size_t *ret_size)
{
    *ret_data = cli_alloc(size + 1);
    memcpy(*ret_data, data, size);
    *ret_size = size;
}

int cli_typed_parse(cairn_type type, const char *text, uint8_t **ret_data, size_t *ret_size,
                    cairn_error **reterr)
{
    uint8_t encoded[8];
    const void *data = text;
    size_t size = strlen(text);
    char *end = NULL;
    errno = 0;
    if (type == CAIRN_BYTES && strncmp(text, "0x", 2) == 0)
        return cli_hex_parse(text + 2, ret_data, ret_size, reterr);
    if (type == CAIRN_INT64) {
        long long value = strtoll(text, &end, 10);
        if (size == 0 || *end || errno)
            return cli_raise(reterr, CAIRN_EINVAL, "key '%s' is not an int64", text);
        cairn_encode_int64(value, encoded);
    } else if (type == CAIRN_DOUBLE) {
        double value = strtod(text, &end);
        if (size == 0 || *end)
            return cli_raise(reterr, CAIRN_EINVAL, "key '%s' is not a number", text);
        cairn_encode_double(value, encoded);
    }
    if (type == CAIRN_INT64 || type == CAIRN_DOUBLE) {
        data = encoded;
        size = sizeof(encoded);
    }
    give_copy(data, size, ret_data, ret_size);
    return 0;
}

/* Infinity and NaN stand as strings. A number that is too large for a double is none, and so is an
 * integer that json-c has cut to 64 bits. */
static int double_from_json(struct json_object *value, double *ret)
{
    char *end;
    if (json_object_is_type(value, json_type_int) &&
        (json_object_get_uint64(value) == UINT64_MAX || json_object_get_int64(value) == INT64_MIN))
        return CAIRN_EINVAL;
    if (json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int)) {
        *ret = json_object_get_double(value);
        return isfinite(*ret) ? 0 : CAIRN_EINVAL;
    }
    if (!json_object_is_type(value, json_type_string))
        return CAIRN_EINVAL;
    const char *text = json_object_get_string(value);
    *ret = strtod(text, &end);
    return *text && !*end ? 0 : CAIRN_EINVAL;
}

int cli_typed_from_json(cairn_type type, struct json_object *value, uint8_t **ret_data,
                        size_t *ret_size, cairn_error **reterr)
{
    struct json_object *hex;
    uint8_t encoded[8];
    double number;
    if (json_object_is_type(value, json_type_object) && json_object_object_length(value) == 1 &&
        json_object_object_get_ex(value, "hex", &hex) &&
        json_object_is_type(hex, json_type_string) &&
        strlen(json_object_get_string(hex)) == (size_t)json_object_get_string_len(hex))
        return cli_hex_parse(json_object_get_string(hex), ret_data, ret_size, reterr);
    if ((type == CAIRN_STRING || type == CAIRN_BYTES) &&
        json_object_is_type(value, json_type_string)) {
        give_copy(json_object_get_string(value), (size_t)json_object_get_string_len(value),
                  ret_data, ret_size);
        return 0;
    }
    if (type == CAIRN_INT64 && cli_json_is_int64(value)) {
        cairn_encode_int64(json_object_get_int64(value), encoded);
    } else if (type == CAIRN_DOUBLE && double_from_json(value, &number) == 0) {
        cairn_encode_double(number, encoded);
    } else {
        return cli_raise(reterr, CAIRN_EINVAL, "%s is not a value of type %s",
                         json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN),
                         cli_type_name(type));
    }
    give_copy(encoded, sizeof(encoded), ret_data, ret_size);
    return 0;
}

/* LEB128, at most as many bytes as 64 bits need. */
static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool read_part(const uint8_t **p, const uint8_t *end, const uint8_t **ret, size_t *ret_size)
{
    uint64_t size;
    if (!read_varint(p, end, &size) || size > (uint64_t)(end - *p))
        return false;
    *ret = *p;
    *ret_size = (size_t)size;
    *p += size;
    return true;
}

bool cli_composite_split(const uint8_t *data, size_t size, uint32_t max_parallelism,
                         struct cli_composite *ret)
{
    const uint8_t *p = data, *end = data + size;
    size_t group_size = max_parallelism <= 128 ? 1 : 2;
    if (size < group_size)
        return false;
    ret->key_group = group_size == 1 ? p[0] : (uint32_t)p[0] << 8 | p[1];
    p += group_size;
    if (!read_part(&p, end, &ret->key, &ret->key_size) ||
        !read_part(&p, end, &ret->ns, &ret->ns_size))
        return false;
    ret->map_key = p;
    ret->map_key_size = (size_t)(end - p);
    return true;
}

/* Cut to so many characters; frees its argument. */
static char *shorten(char *text)
{
    CLI_AUTO_FREE char *whole = text;
    size_t end = 0, shown = 0;
    while (text[end] && shown < SHOWN_KEY) {
        end++;
        while ((text[end] & 0xc0) == 0x80)
            end++;
        shown++;
    }
    return cli_printf("%.*s%s", (int)end, whole, text[end] ? "..." : "");
}

char *cli_composite_text(const cairn_operator_info *op, const cairn_state_info *state,
                         const uint8_t *data, size_t size)
{
    struct cli_composite parts;
    if (!op || !cli_composite_split(data, size, op->max_parallelism, &parts))
        return shorten(cli_text_hex(data, size));
    CLI_AUTO_FREE char *key = cli_typed_text(op->key_type, parts.key, parts.key_size);
    CLI_AUTO_FREE char *ns = cli_typed_text(op->namespace_type, parts.ns, parts.ns_size);
    bool is_map = state && cli_state_has_map_key(state->kind);
    CLI_AUTO_FREE char *map_key =
        is_map ? cli_typed_text(state->map_key_type, parts.map_key, parts.map_key_size) : NULL;
    return shorten(cli_printf("%u:%s%s%s%s%s%s", parts.key_group, key, parts.ns_size ? " @ " : "",
                              parts.ns_size ? ns : "", is_map ? " [" : "", is_map ? map_key : "",
                              is_map ? "]" : ""));
}
