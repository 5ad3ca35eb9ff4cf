/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON: brackets, commas and quotes. Texts may come from anywhere (paths, messages of a
 * store), so that whatever is in them becomes valid JSON.
 */
#include "engine/control/json_out.h"

#include "base/text.h"

#include <string.h>

static void put(struct crn_json_out *out, const void *data, size_t size)
{
    if (!out->failed && crn_buf_append(out->buffer, data, size) < 0)
        out->failed = true;
}

static void put_word(struct crn_json_out *out, const char *word)
{
    put(out, word, strlen(word));
}

/* The bytes from `text` on that are one character; 0: they are none. */
static size_t character_size(const char *text)
{
    for (size_t n = 2; n <= 4 && text[n - 1] != '\0'; n++)
        if (crn_text_is_clean(text, n))
            return n;
    return 0;
}

static void put_quoted(struct crn_json_out *out, const char *text)
{
    put_word(out, "\"");
    while (*text != '\0') {
        size_t n = strcspn(text, "\"\\\x7f"); /* up to what is special, or not ASCII */
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x80)
                n = i;
        put(out, text, n);
        text += n;
        if (*text == '\0')
            break;
        char escaped[8];
        unsigned char c = (unsigned char)*text;
        size_t size = c >= 0x80 ? character_size(text) : 0;
        if (size > 0) {
            put(out, text, size);
            text += size;
            continue;
        }
        text++;
        if (c >= 0x80) {
            put_word(out, "\xef\xbf\xbd");
        } else if (c == '"' || c == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)c;
            put(out, escaped, 2);
        } else {
            static const char digits[] = "0123456789abcdef";
            memcpy(escaped, "\\u00", 4);
            escaped[4] = digits[c >> 4];
            escaped[5] = digits[c & 0xf];
            put(out, escaped, 6);
        }
    }
    put_word(out, "\"");
}

/* What stands in front of a value. */
static void start(struct crn_json_out *out, const char *key)
{
    if (out->comma)
        put_word(out, ",");
    out->comma = true;
    if (key != NULL) {
        put_quoted(out, key);
        put_word(out, ":");
    }
}

void crn_json_begin(struct crn_json_out *out, const char *key, char bracket)
{
    start(out, key);
    put(out, &bracket, 1);
    out->comma = false;
}

void crn_json_end(struct crn_json_out *out, char bracket)
{
    put(out, &bracket, 1);
    out->comma = true;
}

void crn_json_text(struct crn_json_out *out, const char *key, const char *text)
{
    start(out, key);
    if (text == NULL)
        put_word(out, "null");
    else
        put_quoted(out, text);
}

void crn_json_some_text(struct crn_json_out *out, const char *key, const char *text)
{
    crn_json_text(out, key, text != NULL && text[0] != '\0' ? text : NULL);
}

void crn_json_hex(struct crn_json_out *out, const char *key, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    start(out, key);
    put_word(out, "\"");
    for (size_t i = 0; i < size && !out->failed; i++)
        out->failed = crn_buf_printf(out->buffer, "%02x", bytes[i]) < 0;
    put_word(out, "\"");
}

void crn_json_u64(struct crn_json_out *out, const char *key, uint64_t value)
{
    start(out, key);
    if (!out->failed && crn_buf_printf(out->buffer, "%" PRIu64, value) < 0)
        out->failed = true;
}

void crn_json_i64(struct crn_json_out *out, const char *key, int64_t value)
{
    start(out, key);
    if (!out->failed && crn_buf_printf(out->buffer, "%" PRId64, value) < 0)
        out->failed = true;
}

void crn_json_bool(struct crn_json_out *out, const char *key, bool value)
{
    start(out, key);
    put_word(out, value ? "true" : "false");
}

void crn_json_null(struct crn_json_out *out, const char *key)
{
    start(out, key);
    put_word(out, "null");
}
