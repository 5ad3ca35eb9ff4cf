/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of objects below a job's prefix. Whoever lists a store may find anything in it: only what
 * this file could itself have spelled is ours, and only what is ours is ever read, counted or
 * deleted (P5, P11). Hence one spelling per object: decimal numbers without leading zeros, nothing
 * before or behind.
 *
 * Epoch, checkpoint id and running number together are never used twice, so a name once deleted
 * never comes back with other bytes. The rest of the name is for people.
 */
#include "manifest/cluster.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXTENSION_MAX 16u
#define SUFFIX_MAX 64u

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_extension_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_suffix_char(char c)
{
    return is_extension_char(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
}

/* Each of these moves *at behind what it takes, or says no. */
static bool take_text(const char **at, const char *text)
{
    const size_t n = strlen(text);
    if (strncmp(*at, text, n) != 0)
        return false;
    *at += n;
    return true;
}

static bool take_number(const char **at, uint64_t *ret)
{
    const char *p = *at;
    if (!is_digit(*p) || (*p == '0' && is_digit(p[1])))
        return false;
    uint64_t value = 0;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    *ret = value;
    *at = p;
    return true;
}

/* `mark` and 1..max characters up to the end, or nothing at all. */
static bool take_rest(const char *at, char mark, bool (*is_valid)(char), size_t max)
{
    if (*at == '\0')
        return true;
    if (*at != mark)
        return false;
    size_t n = 0;
    for (at++; *at != '\0'; at++, n++)
        if (n == max || !is_valid(*at))
            return false;
    return n > 0;
}

static bool parse_manifest(const char *key, struct crn_key_info *ret)
{
    ret->type = CRN_KEY_MANIFEST;
    return take_text(&key, "MANIFEST-chk") && take_number(&key, &ret->id) && *key == '\0' &&
           ret->id > 0;
}

static bool is_pack(const char *key)
{
    static const char end[] = ".pack";
    const size_t n = strlen(key);
    return n >= sizeof(end) - 1 && strcmp(key + n - (sizeof(end) - 1), end) == 0;
}

static bool parse_object(const char *key, struct crn_key_info *ret)
{
    uint64_t directory_id = 0;
    ret->pack = is_pack(key);
    ret->type = CRN_KEY_OBJECT;
    ret->shared = take_text(&key, "shared/");
    if (!ret->shared &&
        !(take_text(&key, "chk-") && take_number(&key, &directory_id) && take_text(&key, "/")))
        return false;
    if (!(take_text(&key, "e") && take_number(&key, &ret->epoch) && take_text(&key, "-c") &&
          take_number(&key, &ret->id) && take_text(&key, "-") && take_number(&key, &ret->number)))
        return false;
    if (ret->epoch == 0 || ret->id == 0)
        return false;
    if (ret->shared)
        return take_rest(key, '.', is_extension_char, EXTENSION_MAX);
    return directory_id == ret->id && take_rest(key, '-', is_suffix_char, SUFFIX_MAX);
}

static bool take_worker(const char **at, uint8_t ret[16])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t any = 0;
    for (size_t i = 0; i < 32; i++) {
        const char *digit = (*at)[i] != '\0' ? strchr(digits, (*at)[i]) : NULL;
        if (digit == NULL)
            return false;
        ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (digit - digits));
        any |= ret[i / 2];
    }
    *at += 32;
    return any != 0;
}

static bool parse_message(const char *key, struct crn_key_info *ret)
{
    if (!(take_text(&key, "cluster/e") && take_number(&key, &ret->epoch) && take_text(&key, "/")))
        return false;
    ret->type = CRN_KEY_POST;
    if (!take_text(&key, "post-")) {
        ret->type = CRN_KEY_MAIL;
        if (!(take_text(&key, "mail-") && take_worker(&key, ret->worker) && take_text(&key, "-")))
            return false;
    }
    return take_number(&key, &ret->number) && *key == '\0' && ret->epoch > 0 && ret->number > 0;
}

struct crn_key_info crn_key_parse(const char *key)
{
    struct crn_key_info info = {0};
    if (strcmp(key, CRN_MARK_CLAIMED) == 0 || strcmp(key, CRN_MARK_DISPOSING) == 0)
        return (struct crn_key_info){.type = CRN_KEY_MARK};
    if (parse_manifest(key, &info))
        return info;
    info = (struct crn_key_info){0};
    if (parse_object(key, &info))
        return info;
    info = (struct crn_key_info){0};
    if (parse_message(key, &info))
        return info;
    return (struct crn_key_info){.type = CRN_KEY_FOREIGN};
}

void crn_key_manifest(char out[CRN_KEY_MAX], uint64_t id)
{
    (void)snprintf(out, CRN_KEY_MAX, "MANIFEST-chk%" PRIu64, id);
}

void crn_key_post(char out[CRN_KEY_MAX], uint64_t epoch, uint64_t number)
{
    (void)snprintf(out, CRN_KEY_MAX, "cluster/e%" PRIu64 "/post-%" PRIu64, epoch, number);
}

void crn_key_mail(char out[CRN_KEY_MAX], uint64_t epoch, const uint8_t worker[16], uint64_t number)
{
    char digits[33];
    crn_hex(worker, 16, digits);
    (void)snprintf(out, CRN_KEY_MAX, "cluster/e%" PRIu64 "/mail-%s-%" PRIu64, epoch, digits,
                   number);
}

void crn_key_mails(char out[CRN_KEY_MAX], uint64_t epoch)
{
    (void)snprintf(out, CRN_KEY_MAX, "cluster/e%" PRIu64 "/mail-", epoch);
}

/* ".sst" of "000012.sst"; nothing if it has no plain extension. */
static const char *extension_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && take_rest(dot, '.', is_extension_char, EXTENSION_MAX) ? dot : "";
}

void crn_key_object(char out[CRN_KEY_MAX], bool shared, uint64_t epoch, uint64_t id,
                    uint64_t number, const char *name)
{
    if (shared) {
        (void)snprintf(out, CRN_KEY_MAX, "shared/e%" PRIu64 "-c%" PRIu64 "-%" PRIu64 "%s", epoch,
                       id, number, extension_of(name));
        return;
    }
    char suffix[SUFFIX_MAX + 1];
    size_t n = 0;
    for (; name[n] != '\0' && n < SUFFIX_MAX; n++)
        suffix[n] = is_suffix_char(name[n]) ? name[n] : '_';
    suffix[n] = '\0';
    (void)snprintf(out, CRN_KEY_MAX, "chk-%" PRIu64 "/e%" PRIu64 "-c%" PRIu64 "-%" PRIu64 "%s%s",
                   id, epoch, id, number, n > 0 ? "-" : "", suffix);
}
