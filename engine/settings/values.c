/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Texts as values. A text is taken whole or refused: no blanks, no signs, no fractions, no unit
 * that could mean two things ("m", "MB"), nothing that wraps around. The message says what would be
 * right (P11).
 */

#include "base/buffer.h"
#include "base/text.h"
#include "engine/settings/settings.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MIN_TOKEN 16
#define MAX_TOKEN 256
#define SHOWN_BYTES 60 /* of a value, in messages */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},
                                    {"KiB", UINT64_C(1) << 10},
                                    {"MiB", UINT64_C(1) << 20},
                                    {"GiB", UINT64_C(1) << 30},
                                    {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

/* A value that is long or odd is not repeated: messages are lines for people. */
static int refuse(const struct crn_setting *setting, const char *text, const char *what,
                  cairn_error **reterr)
{
    size_t n = strnlen(text, SHOWN_BYTES + 1);
    if (n > SHOWN_BYTES || !crn_text_is_clean(text, n))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "'%s' cannot have this value: %s",
                            setting->info.name, what);
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "'%s' cannot be '%s': %s", setting->info.name,
                        text, what);
}

/* A number and a unit. False: it is none, or is too large for 64 bits. */
static bool parse_amount(const char *text, const struct unit *units, uint64_t *ret)
{
    const char *p = text;
    uint64_t n = 0;
    bool fits = true;
    for (; *p >= '0' && *p <= '9'; p++)
        fits = fits && !__builtin_mul_overflow(n, 10, &n) &&
               !__builtin_add_overflow(n, (uint64_t)(*p - '0'), &n);
    if (p == text)
        return false;
    if (fits && n == 0 && *p == 0) {
        *ret = 0;
        return true;
    }
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (strcmp(p, unit->name) == 0)
            return fits && !__builtin_mul_overflow(n, unit->factor, ret);
    }
    return false;
}

/* The bound in the largest unit that shows it exactly. */
static int raise_bound(const struct crn_setting *setting, const char *text,
                       const struct unit *units, bool is_least, cairn_error **reterr)
{
    uint64_t bound = is_least ? setting->min : setting->max;
    const struct unit *shown = units;
    char what[64];
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (bound % unit->factor == 0)
            shown = unit;
    }
    (void)snprintf(what, sizeof(what), "the %s is %llu%s", is_least ? "least" : "most",
                   (unsigned long long)(bound / shown->factor), shown->name);
    return refuse(setting, text, what, reterr);
}

static int parse_number(const struct crn_setting *setting, const char *text,
                        const struct unit *units, const char *form, uint64_t *ret,
                        cairn_error **reterr)
{
    uint64_t n = 0;
    if (!parse_amount(text, units, &n))
        return refuse(setting, text, form, reterr);
    if (n < setting->min)
        return raise_bound(setting, text, units, true, reterr);
    if (n > setting->max)
        return raise_bound(setting, text, units, false, reterr);
    *ret = n == 0 ? setting->zero : n;
    return 0;
}

static bool find_word(const struct crn_setting_word *words, const char *text, uint64_t *ret)
{
    for (; words != NULL && words->word != NULL; words++) {
        if (strcmp(words->word, text) == 0) {
            *ret = words->number;
            return true;
        }
    }
    return false;
}

static int parse_word(const struct crn_setting *setting, const char *text, uint64_t *ret,
                      cairn_error **reterr)
{
    char form[80];
    if (find_word(setting->words, text, ret))
        return 0;
    (void)snprintf(form, sizeof(form), "give %s", setting->info.form);
    return refuse(setting, text, form, reterr);
}

static int parse_truth(const struct crn_setting *setting, const char *text, uint64_t *ret,
                       cairn_error **reterr)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0)
        return refuse(setting, text, "give true or false", reterr);
    *ret = is_true;
    return 0;
}

/* A path or a URI. */
static int check_text(const struct crn_setting *setting, const char *text, cairn_error **reterr)
{
    if (*text == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "'%s' is empty", setting->info.name);
    for (const char *p = text; *p != 0; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "'%s' has a control character",
                                setting->info.name);
    }
    return 0;
}

/* The token itself is in no message: messages go into logs. */
static int check_token(const struct crn_setting *setting, const char *token, cairn_error **reterr)
{
    size_t n = strlen(token);
    for (size_t i = 0; i < n; i++) {
        if (token[i] < '!' || token[i] > '~')
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "'%s' has another character than visible ASCII ones",
                                setting->info.name);
    }
    if (n < MIN_TOKEN || n > MAX_TOKEN)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "'%s' has %zu characters: give %d to %d",
                            setting->info.name, n, MIN_TOKEN, MAX_TOKEN);
    return 0;
}

int crn_setting_parse(const struct crn_setting *setting, const char *text, uint64_t *ret_number,
                      cairn_error **reterr)
{
    switch (setting->kind) {
    case CRN_SETTING_TEXT:
    case CRN_SETTING_TOKEN_FILE:
        return check_text(setting, text, reterr);
    case CRN_SETTING_TOKEN:
        return check_token(setting, text, reterr);
    case CRN_SETTING_TEXT_WORD:
    case CRN_SETTING_WORD:
        return parse_word(setting, text, ret_number, reterr);
    case CRN_SETTING_TRUTH:
        return parse_truth(setting, text, ret_number, reterr);
    case CRN_SETTING_NUMBER:
        if (find_word(setting->words, text, ret_number))
            return 0;
        return parse_number(setting, text, plain,
                            setting->words != NULL ? "give a number, any or none" : "give a number",
                            ret_number, reterr);
    case CRN_SETTING_DURATION:
        return parse_number(setting, text, durations,
                            "give a duration such as 500ms, 10s, 5min or 1h", ret_number, reterr);
    case CRN_SETTING_SIZE:
        return parse_number(setting, text, sizes,
                            "give a number of bytes, or one with KiB, MiB or GiB", ret_number,
                            reterr);
    }
    return CAIRN_EINTERNAL;
}

/* --- a token in a file --- */

/* A secret that everybody can read is none. The group may read it: that is how a service's account
 * gets at it. Nothing is waited for, should it be a pipe. */
static int open_secret(const char *path, const char *name, int *ret_fd, cairn_error **reterr)
{
    CRN_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, path, "'%s': there is no file '%s'", name,
                            path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return crn_err_os(reterr, errno, path, "'%s': cannot open '%s'", name, path);
    if (!S_ISREG(st.st_mode))
        return crn_err_fail(reterr, CAIRN_EINVAL, path, "'%s': '%s' is no file", name, path);
    if (st.st_mode & (S_IRWXO | S_IWGRP))
        return crn_err_fail(reterr, CAIRN_EACCES, path,
                            "'%s': '%s' has mode %04o: others may get at it; chmod 600 it, or 640",
                            name, path, (unsigned)st.st_mode & 07777);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int crn_setting_read_token(const struct crn_setting *setting, const char *path, char **ret_token,
                           cairn_error **reterr)
{
    CRN_AUTO_FD int fd = -1;
    char text[MAX_TOKEN + 3]; /* a line's end, and one byte to see that there is more */
    size_t size = 0;
    CRN_TRY(open_secret(path, setting->info.name, &fd, reterr));
    for (ssize_t n = 1; n > 0 && size < sizeof(text) - 1;) {
        n = read(fd, text + size, sizeof(text) - 1 - size);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0)
            return crn_err_os(reterr, errno, path, "'%s': cannot read '%s'", setting->info.name,
                              path);
        size += (size_t)n;
    }
    if (size > 0 && text[size - 1] == '\n')
        size--;
    text[size] = 0;
    if (strlen(text) != size)
        text[0] = '\t'; /* a zero byte is as wrong as any that is not visible */
    CRN_TRY(check_token(setting, text, reterr));
    *ret_token = strdup(text);
    return *ret_token != NULL ? 0 : crn_err_nomem(reterr);
}
