/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of marks. Lines of "name value" in one order, the last of which is a checksum of all
 * before it (P8). There is one spelling of a mark: what was read is written again and compared, so
 * that no rule has to be stated twice (P11).
 */
#include "manifest/marks.h"

#include "base/hash.h"
#include "base/text.h"
#include "manifest/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1u
#define CHECKSUM "checksum "
#define OF_JOB "job"
#define OF_SAVEPOINT "savepoint"
#define CHECKSUM_LINE (sizeof(CHECKSUM) - 1 + 16 + 1) /* 16 digits, and the end of the line */

void crn_mark_done(struct crn_mark *mark)
{
    free(mark->job);
    free(mark->location);
    free(mark->host);
    *mark = (struct crn_mark){0};
}

const char *crn_mark_key(enum crn_mark_kind kind)
{
    return kind == CRN_MARK_CLAIM ? CRN_MARK_CLAIMED : CRN_MARK_DISPOSING;
}

/* --- writing --- */

static int put_hex(struct cairn_buffer *out, const char *name, const uint8_t bytes[16])
{
    char digits[33];
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
    return crn_buf_printf(out, "%s %s\n", name, digits);
}

static int put_text(struct cairn_buffer *out, const char *name, const char *text, size_t max_size)
{
    CRN_AUTO_FREE char *copy = strdup(text != NULL ? text : "");
    if (copy == NULL)
        return CAIRN_ENOMEM;
    crn_record_make_clean(copy, max_size);
    return crn_buf_printf(out, "%s %s\n", name, copy);
}

static int put_claim(struct cairn_buffer *out, const struct crn_mark *mark)
{
    CRN_TRY(crn_buf_printf(out, "of %s\n", mark->of_job ? OF_JOB : OF_SAVEPOINT));
    CRN_TRY(put_text(out, "job", mark->job, SIZE_MAX));
    CRN_TRY(put_text(out, "location", mark->location, CRN_LOCATION_MAX));
    CRN_TRY(crn_buf_printf(out, "fence-id %" PRIu64 "\nfence-epoch %" PRIu64 "\n", mark->fence_id,
                           mark->fence_epoch));
    return put_hex(out, "fence-uuid", mark->fence_uuid);
}

static int put_lines(struct cairn_buffer *out, const struct crn_mark *mark)
{
    CRN_TRY(crn_buf_printf(out, "cairn-mark %u\nkind %s\nid %" PRIu64 "\n", VERSION,
                           crn_mark_key(mark->kind), mark->id));
    CRN_TRY(put_hex(out, "uuid", mark->uuid));
    if (mark->kind == CRN_MARK_CLAIM)
        CRN_TRY(put_claim(out, mark));
    CRN_TRY(crn_buf_printf(out, "time %" PRId64 "\n", mark->time_ms > 0 ? mark->time_ms : 0));
    CRN_TRY(put_text(out, "host", mark->host, CRN_HOST_MAX));
    CRN_TRY(crn_buf_printf(out, "pid %" PRIu64 "\n", mark->pid));
    return crn_buf_printf(out, CHECKSUM "%016" PRIx64 "\n", crn_hash64_of(out->data, out->size));
}

static bool is_zero(const uint8_t bytes[16])
{
    static const uint8_t zeros[16];
    return memcmp(bytes, zeros, sizeof(zeros)) == 0;
}

static bool is_possible(const struct crn_mark *mark)
{
    if (mark->id == 0 || is_zero(mark->uuid))
        return false;
    return mark->kind == CRN_MARK_DISPOSAL ||
           (mark->kind == CRN_MARK_CLAIM && crn_text_is_job_name(mark->job) && mark->fence_id > 0 &&
            mark->fence_epoch > 0 && !is_zero(mark->fence_uuid));
}

int crn_mark_encode(const struct crn_mark *mark, struct cairn_buffer *out, cairn_error **reterr)
{
    if (!is_possible(mark))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a mark needs the snapshot's id and uuid, and a claim its job's fence");
    crn_buf_clear(out);
    return put_lines(out, mark) < 0 ? crn_err_nomem(reterr) : 0;
}

/* --- reading --- */

/* What is left of the text; each step takes one line or says no. */
struct lines {
    const char *at, *end;
    bool is_out_of_memory;
};

/* The value of the next line, if that has this name. */
static bool take_value(struct lines *lines, const char *name, const char **ret, size_t *ret_size)
{
    const size_t n = strlen(name);
    const char *end = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    if (end == NULL || (size_t)(end - lines->at) < n + 1 || memcmp(lines->at, name, n) != 0 ||
        lines->at[n] != ' ')
        return false;
    *ret = lines->at + n + 1;
    *ret_size = (size_t)(end - *ret);
    lines->at = end + 1;
    return true;
}

static bool take_text(struct lines *lines, const char *name, char **ret)
{
    const char *value;
    size_t n;
    if (!take_value(lines, name, &value, &n) || memchr(value, 0, n) != NULL)
        return false;
    *ret = crn_str_dup_n(value, n);
    lines->is_out_of_memory |= *ret == NULL;
    return *ret != NULL;
}

static bool take_number(struct lines *lines, const char *name, uint64_t *ret)
{
    const char *value;
    size_t n;
    if (!take_value(lines, name, &value, &n))
        return false;
    *ret = 0;
    for (size_t i = 0; i < n; i++)
        if (value[i] < '0' || value[i] > '9' || __builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(value[i] - '0'), ret))
            return false;
    return n > 0;
}

static bool take_hex(struct lines *lines, const char *name, uint8_t ret[16])
{
    static const char digits[] = "0123456789abcdef";
    const char *value;
    size_t n;
    if (!take_value(lines, name, &value, &n) || n != 32)
        return false;
    for (size_t i = 0; i < 32; i++) {
        const char *digit = memchr(digits, value[i], 16);
        if (digit == NULL)
            return false;
        ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (digit - digits));
    }
    return true;
}

static bool take_claim(struct lines *lines, struct crn_mark *ret)
{
    CRN_AUTO_FREE char *of = NULL;
    if (!take_text(lines, "of", &of))
        return false;
    ret->of_job = strcmp(of, OF_JOB) == 0;
    return take_text(lines, "job", &ret->job) && take_text(lines, "location", &ret->location) &&
           take_number(lines, "fence-id", &ret->fence_id) &&
           take_number(lines, "fence-epoch", &ret->fence_epoch) &&
           take_hex(lines, "fence-uuid", ret->fence_uuid);
}

static bool take_lines(struct lines *lines, struct crn_mark *ret)
{
    CRN_AUTO_FREE char *kind = NULL;
    uint64_t time_ms;
    if (!take_text(lines, "kind", &kind) || !take_number(lines, "id", &ret->id) ||
        !take_hex(lines, "uuid", ret->uuid))
        return false;
    ret->kind = strcmp(kind, CRN_MARK_CLAIMED) == 0 ? CRN_MARK_CLAIM : CRN_MARK_DISPOSAL;
    if (ret->kind == CRN_MARK_CLAIM && !take_claim(lines, ret))
        return false;
    if (!take_number(lines, "time", &time_ms) || time_ms > INT64_MAX ||
        !take_text(lines, "host", &ret->host) || !take_number(lines, "pid", &ret->pid))
        return false;
    ret->time_ms = (int64_t)time_ms;
    return true;
}

/* The checksum's line ends the text, and is right. */
static bool is_sealed(const uint8_t *data, size_t size)
{
    char line[CHECKSUM_LINE + 1];
    if (size < CHECKSUM_LINE || size > CRN_LIMIT_MARK)
        return false;
    (void)snprintf(line, sizeof(line), CHECKSUM "%016" PRIx64 "\n",
                   crn_hash64_of(data, size - CHECKSUM_LINE));
    return memcmp(data + size - CHECKSUM_LINE, line, CHECKSUM_LINE) == 0;
}

/* Whatever the lines were taken for, they are a mark if we would have written them so. */
static bool is_spelled_so(const struct crn_mark *mark, const void *data, size_t size,
                          bool *ret_out_of_memory)
{
    CRN_AUTO_BUFFER struct cairn_buffer again = {0};
    if (!is_possible(mark))
        return false;
    *ret_out_of_memory = put_lines(&again, mark) < 0;
    return !*ret_out_of_memory && again.size == size && memcmp(again.data, data, size) == 0;
}

/* A mark of one kind under the other's key would be taken for what it is not. */
static bool is_at(const struct crn_mark *mark, const char *object)
{
    const char *slash = strrchr(object, '/');
    return strcmp(slash != NULL ? slash + 1 : object, crn_mark_key(mark->kind)) == 0;
}

int crn_mark_decode(const char *object, const void *data, size_t size, struct crn_mark *ret,
                    cairn_error **reterr)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    struct lines lines = {.at = data, .end = (const char *)data + size};
    uint64_t version;
    if (!is_sealed(data, size) || !take_number(&lines, "cairn-mark", &version) || version == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "mark '%s' is damaged", object);
    if (version > VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, object,
                            "mark '%s' has version %" PRIu64 ", this library knows %u", object,
                            version, VERSION);
    if (!take_lines(&lines, &mark) || !is_at(&mark, object) ||
        !is_spelled_so(&mark, data, size, &lines.is_out_of_memory))
        return lines.is_out_of_memory
                   ? crn_err_nomem(reterr)
                   : crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                                  "mark '%s' is not written as marks are", object);
    *ret = mark;
    mark = (struct crn_mark){0};
    return 0;
}
