/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What may be a name, and how names sort for people. Names come from callers, command lines and
 * stored manifests, end up in keys, paths and terminals, and are checked here once (P11).
 */

#include "base/text.h"

#include <stdint.h>
#include <string.h>

#define JOB_NAME_MAX 128
#define NAME_MAX_BYTES 255

/* Length of the well-formed sequence at p (n > 0 bytes are there) and its code point; 0 if there is
 * none. The shortest form only: the smallest code point that needs each length is checked. */
static size_t decode(const uint8_t *p, size_t n, uint32_t *ret)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80             ? 1
                    : (p[0] & 0xe0) == 0xc0 ? 2
                    : (p[0] & 0xf0) == 0xe0 ? 3
                    : (p[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (length == 0 || length > n)
        return 0;
    uint32_t point = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (p[i] & 0x3fu);
    }
    if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *ret = point;
    return length;
}

bool crn_text_is_clean(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    while (n > 0) {
        uint32_t point = 0;
        size_t length = decode(p, n, &point);
        if (length == 0 || point < 0x20 || (point >= 0x7f && point <= 0x9f))
            return false;
        p += length;
        n -= length;
    }
    return true;
}

static bool is_clean_up_to(const char *text, size_t max)
{
    if (text == NULL)
        return false;
    size_t n = strnlen(text, max + 1);
    return n >= 1 && n <= max && crn_text_is_clean(text, n);
}

bool crn_text_is_job_name(const char *text)
{
    return is_clean_up_to(text, JOB_NAME_MAX) && text[0] != '.' && strchr(text, '/') == NULL;
}

bool crn_text_is_name(const char *text)
{
    return is_clean_up_to(text, NAME_MAX_BYTES);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool crn_text_percent_decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p != 0; p++) {
        const bool is_coded = *p == '%'; /* the byte itself may be overwritten */
        int high = is_coded ? hex_digit(p[1]) : 0;
        int low = is_coded && high >= 0 ? hex_digit(p[2]) : 0;
        if (high < 0 || low < 0 || (is_coded && high + low == 0))
            return false;
        *to++ = is_coded ? (char)(high * 16 + low) : *p;
        p += is_coded ? 2 : 0;
    }
    *to = 0;
    return true;
}
