/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Text for people: sizes, times, and above all names and bytes that come from a store. A manifest
 * may be written by anybody, so no byte of it reaches a terminal unless it is harmless (P11):
 * control characters could move the cursor or retitle the window, bidirectional overrides could
 * make one name look like another.
 */

#include "tools/cli/cli.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_out_of_memory(void)
{
    fputs("cairn: out of memory\n", stderr);
    exit(CAIRN_CLASS_LOCAL);
}

char *cli_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        cli_out_of_memory();
    va_end(args);
    return text;
}

void *cli_alloc(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        cli_out_of_memory();
    return memory;
}

void *cli_grow(void *array, size_t count, size_t *capacity, size_t element_size)
{
    if (count < *capacity)
        return array;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = reallocarray(array, wanted, element_size);
    if (!grown)
        cli_out_of_memory();
    *capacity = wanted;
    return grown;
}

void cli_cleanup_free(void *p)
{
    free(*(void **)p);
}

/* Decode one UTF-8 character of at most `left` bytes: its length, or 0 if it is not well-formed. */
static size_t utf8_decode(const uint8_t *s, size_t left, uint32_t *ret)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (n == 0 || n > left || s[0] > 0xf4)
        return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return n;
}

/* Characters that show nothing themselves and change how others look. */
static bool is_harmful(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

size_t cli_text_character(const void *text, size_t left)
{
    uint32_t c;
    return utf8_decode(text, left, &c);
}

bool cli_text_is_utf8(const void *text, size_t size)
{
    uint32_t c;
    for (size_t i = 0, n; i < size; i += n) {
        n = utf8_decode((const uint8_t *)text + i, size - i, &c);
        if (n == 0)
            return false;
    }
    return true;
}

bool cli_text_is_plain(const void *text, size_t size)
{
    uint32_t c;
    for (size_t i = 0, n; i < size; i += n) {
        n = utf8_decode((const uint8_t *)text + i, size - i, &c);
        if (n == 0 || is_harmful(c))
            return false;
    }
    return true;
}

static char *escape(const uint8_t *s, size_t size, bool quote)
{
    /* "\xNN" for each byte at the worst, two quotes, the end. */
    char *out = cli_alloc(size * 4 + 3);
    size_t used = 0;
    if (quote)
        out[used++] = '"';
    for (size_t i = 0; i < size;) {
        uint32_t c = 0;
        size_t n = utf8_decode(s + i, size - i, &c);
        if (n == 0 || is_harmful(c)) {
            for (size_t end = i + (n ? n : 1); i < end; i++)
                used += (size_t)sprintf(out + used, "\\x%02x", s[i]);
            continue;
        }
        if (c == '\\' || (quote && c == '"'))
            out[used++] = '\\';
        memcpy(out + used, s + i, n);
        used += n;
        i += n;
    }
    if (quote)
        out[used++] = '"';
    out[used] = '\0';
    return out;
}

char *cli_text_safe(const char *text)
{
    return escape((const uint8_t *)text, strlen(text), false);
}

char *cli_text_quote(const void *text, size_t size)
{
    return escape(text, size, true);
}

char *cli_text_hex(const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    char *out = cli_alloc(size * 2 + 3);
    memcpy(out, "0x", 2);
    for (size_t i = 0; i < size; i++) {
        out[2 + 2 * i] = digits[bytes[i] >> 4];
        out[3 + 2 * i] = digits[bytes[i] & 15];
    }
    return out;
}

size_t cli_text_width(const char *text)
{
    size_t width = 0;
    for (const char *s = text; *s; s++)
        width += (*s & 0xc0) != 0x80;
    return width;
}

struct cli_short cli_size(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct cli_short out;
    if (bytes < 1024) {
        snprintf(out.text, sizeof(out.text), "%" PRIu64 " B", bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    /* What would be rounded to four digits is shown in the next unit. */
    while (value >= 999.5 && unit + 1 < CLI_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    int decimals = value < 0.9995 ? 3 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out.text, sizeof(out.text), "%.*f %s", decimals, value, units[unit]);
    return out;
}

struct cli_short cli_count(uint64_t n)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    struct cli_short out;
    size_t used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out.text[used++] = ',';
        out.text[used++] = digits[i];
    }
    out.text[used] = '\0';
    return out;
}

struct cli_short cli_duration(uint64_t us)
{
    struct cli_short out;
    uint64_t s = us / 1000000;
    if (us < 1000) {
        snprintf(out.text, sizeof(out.text), "%" PRIu64 " us", us);
    } else if (us < 999500) {
        double ms = (double)us / 1000;
        snprintf(out.text, sizeof(out.text), "%.*f ms", ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0, ms);
    } else if (us < 59950000) {
        double seconds = (double)us / 1000000;
        snprintf(out.text, sizeof(out.text), "%.*f s", seconds < 9.995 ? 2 : 1, seconds);
    } else if (s < 3600) {
        snprintf(out.text, sizeof(out.text), "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(out.text, sizeof(out.text), "%" PRIu64 " h %02" PRIu64 " min", s / 3600,
                 s % 3600 / 60);
    } else {
        snprintf(out.text, sizeof(out.text), "%" PRIu64 " d %02" PRIu64 " h", s / 86400,
                 s % 86400 / 3600);
    }
    return out;
}

struct cli_short cli_time(int64_t unix_ms)
{
    struct cli_short out = {"-"};
    struct tm tm;
    time_t seconds = (time_t)(unix_ms / 1000);
    if (unix_ms <= 0)
        return out;
    if (!localtime_r(&seconds, &tm)) { /* a year beyond int: only damage makes one */
        snprintf(out.text, sizeof(out.text), "%" PRId64 " ms", unix_ms);
        return out;
    }
    char zone[8];
    strftime(zone, sizeof(zone), "%z", &tm);
    size_t n = strftime(out.text, sizeof(out.text), "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out.text + n, sizeof(out.text) - n, "%.3s:%.2s", zone, zone + 3);
    return out;
}

struct cli_short cli_age(int64_t unix_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    struct cli_short out = {"-"};
    if (unix_ms <= 0)
        return out;
    bool past = now_ms >= unix_ms;
    uint64_t ms = past ? (uint64_t)(now_ms - unix_ms) : (uint64_t)(unix_ms - now_ms);
    uint64_t us = ms > UINT64_MAX / 1000 ? UINT64_MAX : ms * 1000;
    struct cli_short length = cli_duration(us);
    snprintf(out.text, sizeof(out.text), past ? "%.40s ago" : "in %.40s", length.text);
    return out;
}

const char *cli_plural(uint64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

static bool is_shell_word(const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "/._-:+,@%";
    return *text && *text != '-' && strspn(text, safe) == strlen(text);
}

char *cli_text_shell(const char *text)
{
    if (is_shell_word(text))
        return cli_printf("%s", text);
    if (*text == '-' || !cli_text_is_plain(text, strlen(text)))
        return NULL;
    char *word = cli_alloc(4 * strlen(text) + 3), *to = word;
    *to++ = '\'';
    for (const char *p = text; *p; p++) {
        const char *piece = *p == '\'' ? "'\\''" : NULL;
        to = piece ? stpcpy(to, piece) : (*to = *p, to + 1);
    }
    *to = '\'';
    return word;
}
