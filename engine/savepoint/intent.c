/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intents: what a job remembers of a savepoint that it has begun elsewhere (P6).
 *
 * A savepoint's objects lie outside of the job's prefix, where no collector would ever look. So
 * before the first of them is put, a small object in the job's prefix says where. A crash leaves
 * it, and whoever opens or collects the job settles it once the id is resolved: a directory with a
 * manifest is a whole savepoint and the user's; of any other, exactly those objects go whose names
 * have this id and epoch. Only then the intent itself may be removed.
 *
 * An intent is read back from a store, so nothing in it is trusted (P11): a checksum, a directory's
 * name that is a job's name, and never more is removed than names that Cairn alone gives. The bytes
 * are in docs/format.md.
 *
 * No locks; any thread. @crash the intent is still there, and is settled again.
 */
#include "engine/savepoint/directory.h"

#include "backends/storage/storage.h"
#include "base/text.h"
#include "cairn/inspect.h"
#include "engine/log/joblog.h"
#include "engine/savepoint/create.h"

#include <string.h>

#define INTENT_NAME "savepoint-intent"
#define MAGIC "CRNINT1\n"
#define MAGIC_SIZE (sizeof MAGIC - 1)
#define LOCATION_MAX 4096u
#define INTENT_MAX (MAGIC_SIZE + LOCATION_MAX + 256u)

bool crn_intent_is(const char *key)
{
    struct crn_key_info info = crn_key_parse(key);
    if (info.type != CRN_KEY_OBJECT || info.shared)
        return false;
    char expected[CRN_KEY_MAX];
    crn_key_object(expected, false, info.epoch, info.id, info.number, INTENT_NAME);
    return strcmp(key, expected) == 0;
}

static int append_text(struct cairn_buffer *out, const char *text)
{
    size_t n = strlen(text);
    int r = crn_buf_append_varint(out, n);
    return r < 0 ? r : crn_buf_append(out, text, n);
}

static int encode(struct cairn_buffer *out, const char *location, const char *name)
{
    int r = crn_buf_append(out, MAGIC, MAGIC_SIZE);
    if (r == 0)
        r = append_text(out, location);
    if (r == 0)
        r = append_text(out, name);
    return r < 0 ? r : crn_buf_append_be64(out, crn_hash64_of(out->data, out->size));
}

int crn_intent_put(cairn_store *store, const char *job, uint64_t epoch, uint64_t id,
                   uint64_t number, const char *location, const char *name, char **ret_key,
                   cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_FREE char *key = NULL;
    char relative[CRN_KEY_MAX];
    if (strlen(location) > LOCATION_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the target of a savepoint is named by more than %u bytes",
                            LOCATION_MAX);
    crn_key_object(relative, false, epoch, id, number, INTENT_NAME);
    CRN_AUTO_FREE char *copy = crn_str_dup_n(relative, strlen(relative));
    if (copy == NULL || encode(&bytes, location, name) < 0)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_joblog_key(job, relative, &key, reterr));
    CRN_TRY(crn_create_settled(store, key, &bytes, reterr));
    *ret_key = CRN_TAKE(copy);
    return 0;
}

struct intent {
    char *location;
    char *name;
};

static void intent_done(struct intent *intent)
{
    free(intent->location);
    free(intent->name);
}

static bool take_text(struct crn_reader *reader, size_t max, char **ret)
{
    uint64_t n;
    const uint8_t *data;
    if (!crn_read_varint(reader, &n) || n > max || !crn_read_bytes(reader, n, &data) ||
        memchr(data, 0, n) != NULL)
        return false;
    *ret = crn_str_dup_n(data, n);
    return *ret != NULL;
}

static int decode(const char *key, const struct cairn_buffer *bytes, struct intent *ret,
                  cairn_error **reterr)
{
    size_t body = bytes->size < MAGIC_SIZE + 8 ? 0 : bytes->size - 8;
    struct crn_reader reader = {bytes->data, bytes->size, body};
    uint64_t sum = 0;
    const uint8_t *magic;
    bool is_right =
        body > 0 && crn_read_be64(&reader, &sum) && sum == crn_hash64_of(bytes->data, body);
    reader = (struct crn_reader){bytes->data, body, 0};
    is_right = is_right && crn_read_bytes(&reader, MAGIC_SIZE, &magic) &&
               memcmp(magic, MAGIC, MAGIC_SIZE) == 0 &&
               take_text(&reader, LOCATION_MAX, &ret->location) &&
               take_text(&reader, 128, &ret->name) && crn_reader_left(&reader) == 0 &&
               crn_text_is_job_name(ret->name);
    return is_right ? 0
                    : crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                                   "intent '%s' is damaged: where its savepoint was begun cannot "
                                   "be told",
                                   key);
}

/* ------------------------------------------------------------------------------------------ *
 * Settling
 * ------------------------------------------------------------------------------------------ */

struct leftovers {
    struct crn_key_info made_by; /* id and epoch of the intent */
    bool has_manifest;
    char **keys;
    size_t count, capacity;
};

static void leftovers_done(struct leftovers *left)
{
    for (size_t i = 0; i < left->count; i++)
        free(left->keys[i]);
    free(left->keys);
}

static int note_leftover(void *context, const char *key, const cairn_object_stat *stat)
{
    struct leftovers *left = context;
    struct crn_key_info info = crn_key_parse(key);
    (void)stat;
    left->has_manifest |= info.type == CRN_KEY_MANIFEST;
    if (info.type != CRN_KEY_OBJECT || info.shared || info.id != left->made_by.id ||
        info.epoch != left->made_by.epoch)
        return 0;
    if (left->count == left->capacity) {
        size_t capacity = left->capacity == 0 ? 32 : left->capacity * 2;
        char **keys = realloc(left->keys, capacity * sizeof *keys);
        if (keys == NULL)
            return CAIRN_ENOMEM;
        left->keys = keys;
        left->capacity = capacity;
    }
    left->keys[left->count] = crn_str_dup_n(key, strlen(key));
    return left->keys[left->count] == NULL ? CAIRN_ENOMEM : (left->count++, 0);
}

static int remove_leftovers(cairn_store *store, const char *name, uint64_t id, uint64_t epoch,
                            uint64_t *ret_removed, cairn_error **reterr)
{
    CRN_CLEANUP(leftovers_done) struct leftovers left = {.made_by = {.id = id, .epoch = epoch}};
    CRN_TRY(crn_joblog_list(store, name, "", note_leftover, &left, reterr));
    if (left.has_manifest || left.count == 0)
        return 0;
    CRN_TRY(crn_savepoint_withdraw(store, name, id, left.keys, left.count, reterr));
    *ret_removed += left.count;
    return 0;
}

static int settle_elsewhere(const struct intent *intent, const struct crn_key_info *info,
                            uint64_t *ret_removed, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *within = NULL;
    CRN_AUTO_FREE char *name = NULL;
    cairn_store *store = NULL;
    int r = cairn_store_open_existing(intent->location, &store, &within, NULL, &error);
    if (r == CAIRN_ENOTFOUND) /* with all that was in it */
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    r = within == NULL ? crn_str_printf(&name, reterr, "%s", intent->name)
                       : crn_joblog_key(within, intent->name, &name, reterr);
    if (r == 0)
        r = remove_leftovers(store, name, info->id, info->epoch, ret_removed, reterr);
    cairn_store_close(store);
    return r;
}

int crn_intent_settle(cairn_store *store, const char *job, const char *key, uint64_t *ret_removed,
                      cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *full = NULL;
    CRN_CLEANUP(intent_done) struct intent intent = {0};
    struct crn_key_info info = crn_key_parse(key);
    *ret_removed = 0;
    CRN_TRY(crn_joblog_key(job, key, &full, reterr));
    int r = crn_store_get_bytes(store, full, INTENT_MAX, &bytes, &error);
    if (r == CAIRN_ENOTFOUND) /* another collector was quicker */
        return 0;
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    CRN_TRY(decode(full, &bytes, &intent, reterr));
    if (intent.location[0] != '\0')
        return settle_elsewhere(&intent, &info, ret_removed, reterr);
    if (strcmp(intent.name, job) == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, full,
                            "intent '%s' names the job's own directory", full);
    return remove_leftovers(store, intent.name, info.id, info.epoch, ret_removed, reterr);
}
