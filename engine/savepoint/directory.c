/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A savepoint's directory: its name, its birth and its withdrawal.
 *
 * The directory is a prefix of a store, like a job's, with a log of one record. The record's
 * manifest is created last, after a flush: before it there is no savepoint, after it there is a
 * whole one (P1). Taking one away goes the other way round: the manifest, a flush, and only then
 * the objects, so that a crash in between leaves objects without a manifest and never the reverse.
 * A manifest that cannot be removed keeps its objects.
 *
 * A job's ids start again in a new store, while savepoints of its earlier life may be in the target
 * still. So a name that is taken gets a letter. Two savepoints that find the same name free at the
 * same time put objects of different names there, and the manifest decides whose it is.
 *
 * An outcome that the store does not tell is not guessed: the same bytes are created again until
 * they are there, or something else is.
 *
 * No locks; any thread. @crash objects without a manifest may be left; intent.c remembers them.
 */
#include "engine/savepoint/directory.h"

#include "backends/storage/storage.h"
#include "base/text.h"
#include "base/thread.h"
#include "engine/log/joblog.h"
#include "engine/savepoint/create.h"

#include <inttypes.h>
#include <string.h>

/* A name is a job's name as well, so that whatever reads jobs reads savepoints: 128 bytes. */
#define JOB_IN_NAME_MAX 95u /* "savepoint-", "-", 20 digits and "-z" go with it */
#define CUT_JOB_MAX 78u     /* with "-" and 16 digits of a hash behind it */
#define LAST_SUFFIX 'z'     /* "-b" and so on, where the name itself is taken */

#define CREATE_TRIES 6u
#define CREATE_PAUSE_US 10000u
#define REMOVE_BATCH 512u

int crn_savepoint_name(const char *job, uint64_t id, char **ret_name, cairn_error **reterr)
{
    size_t n = strlen(job);
    if (n <= JOB_IN_NAME_MAX)
        return crn_str_printf(ret_name, reterr, "savepoint-%s-%" PRIu64, job, id);
    uint64_t hash = crn_hash64_of(job, n);
    n = CUT_JOB_MAX;
    while (n > 0 && ((unsigned char)job[n] & 0xc0) == 0x80) /* not within a character */
        n--;
    return crn_str_printf(ret_name, reterr, "savepoint-%.*s-%016" PRIx64 "-%" PRIu64, (int)n, job,
                          hash, id);
}

#define FOUND_SOMETHING 1

static int find_anything(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)context;
    (void)key;
    (void)stat;
    return FOUND_SOMETHING;
}

/* 1: something is there. */
static int is_taken(cairn_store *store, const char *name, cairn_error **reterr)
{
    return crn_joblog_list(store, name, "", find_anything, NULL, reterr);
}

static int fail_taken(cairn_store *store, const char *name, cairn_error **reterr)
{
    const char *root = crn_posix_store_root(store);
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&path, reterr, "%s%s%s", root != NULL ? root : "",
                           root != NULL ? "/" : "", name));
    return crn_err_fail(reterr, CAIRN_EEXIST, path,
                        "there is something at '%s' already, and a savepoint never adds to what it "
                        "finds: remove it with `cairn dispose`, or choose another target",
                        path);
}

int crn_savepoint_check_absent(cairn_store *store, const char *name, cairn_error **reterr)
{
    int r = is_taken(store, name, reterr);
    return r == FOUND_SOMETHING ? fail_taken(store, name, reterr) : r;
}

int crn_savepoint_free_name(cairn_store *store, const char *job, uint64_t id, char **ret_name,
                            cairn_error **reterr)
{
    CRN_AUTO_FREE char *plain = NULL;
    CRN_TRY(crn_savepoint_name(job, id, &plain, reterr));
    int r = is_taken(store, plain, reterr);
    if (r == 0)
        *ret_name = CRN_TAKE(plain);
    for (char suffix = 'b'; r == FOUND_SOMETHING && suffix <= LAST_SUFFIX; suffix++) {
        CRN_AUTO_FREE char *name = NULL;
        CRN_TRY(crn_str_printf(&name, reterr, "%s-%c", plain, suffix));
        r = is_taken(store, name, reterr);
        if (r == 0)
            *ret_name = CRN_TAKE(name);
    }
    return r == FOUND_SOMETHING ? fail_taken(store, plain, reterr) : r;
}

bool crn_savepoint_name_is(const char *name, const char *job, uint64_t id)
{
    CRN_AUTO_FREE char *plain = NULL;
    if (crn_savepoint_name(job, id, &plain, NULL) < 0)
        return false;
    size_t n = strlen(plain);
    if (strncmp(name, plain, n) != 0)
        return false;
    const char *rest = name + n;
    return *rest == '\0' ||
           (rest[0] == '-' && rest[1] >= 'b' && rest[1] <= LAST_SUFFIX && rest[2] == '\0');
}

/* ------------------------------------------------------------------------------------------ *
 * Creating what may have been created
 * ------------------------------------------------------------------------------------------ */

/* Somebody has the key. 0 if it is these very bytes, durable. */
static int is_same(cairn_store *store, const char *key, const struct cairn_buffer *bytes,
                   cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer found = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_store_get_bytes(store, key, bytes->size, &found, &error);
    if (r < 0 && r != CAIRN_ECORRUPT) /* that: it is larger */
        return crn_err_move(reterr, &error,
                            cairn_error_class_of(r) == CAIRN_CLASS_RETRY ? CAIRN_EUNKNOWN : r);
    if (r < 0 || found.size != bytes->size || memcmp(found.data, bytes->data, found.size) != 0)
        return crn_err_fail(reterr, CAIRN_EEXIST, key, "object '%s' exists already", key);
    r = store->ops->flush(store, &error);
    return r < 0 ? crn_err_move(reterr, &error, CAIRN_EUNKNOWN) : 0;
}

int crn_create_settled(cairn_store *store, const char *key, const struct cairn_buffer *bytes,
                       cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    bool in_doubt = false;
    int r = 0;
    for (unsigned tries = 0; tries < CREATE_TRIES; tries++) {
        if (tries > 0) {
            uint64_t base = (uint64_t)CREATE_PAUSE_US << (tries - 1);
            crn_sleep_us(base + crn_random_u64() % base);
        }
        cairn_error_free(CRN_TAKE(error));
        r = store->ops->create(store, key, bytes->data, bytes->size, &error);
        if (r == CAIRN_EEXIST) {
            cairn_error_free(CRN_TAKE(error));
            r = is_same(store, key, bytes, &error);
        }
        in_doubt |= r == CAIRN_EUNKNOWN || r == CAIRN_ETIMEOUT;
        if (r == 0 || r == CAIRN_EEXIST || cairn_error_class_of(r) != CAIRN_CLASS_RETRY)
            break;
    }
    if (r == 0)
        return 0;
    if (r == CAIRN_EEXIST || !in_doubt)
        return crn_err_move(reterr, &error, r);
    return crn_err_fail(reterr, CAIRN_EUNKNOWN, key, "it is not known whether '%s' was written: %s",
                        key, cairn_error_message(error));
}

int crn_savepoint_publish(cairn_store *store, const char *name, const struct crn_record *record,
                          cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_FREE char *key = NULL;
    char manifest[CRN_KEY_MAX];
    crn_key_manifest(manifest, record->info.id);
    CRN_TRY(crn_joblog_key(name, manifest, &key, reterr));
    CRN_TRY(crn_record_encode(record, &bytes, reterr));
    CRN_TRY(store->ops->flush(store, reterr));
    return crn_create_settled(store, key, &bytes, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Taking away
 * ------------------------------------------------------------------------------------------ */

static int remove_batch(cairn_store *store, const char *name, char *const *keys, size_t count,
                        cairn_error **reterr)
{
    char *full[REMOVE_BATCH] = {0};
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = crn_joblog_key(name, keys[i], &full[i], reterr);
    if (r == 0)
        r = store->ops->remove(store, (const char *const *)full, count, reterr);
    for (size_t i = 0; i < count; i++)
        free(full[i]);
    return r;
}

static int remove_manifest(cairn_store *store, const char *name, uint64_t id, cairn_error **reterr)
{
    char manifest[CRN_KEY_MAX];
    char *keys[] = {manifest};
    crn_key_manifest(manifest, id);
    CRN_TRY(remove_batch(store, name, keys, 1, reterr));
    return store->ops->flush(store, reterr);
}

int crn_savepoint_withdraw(cairn_store *store, const char *name, uint64_t id, char *const *keys,
                           size_t count, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *first = NULL;
    int code = 0;
    if (id != 0)
        CRN_TRY(remove_manifest(store, name, id, reterr));
    for (size_t i = 0; i < count; i += REMOVE_BATCH) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        size_t n = count - i < REMOVE_BATCH ? count - i : REMOVE_BATCH;
        int r = remove_batch(store, name, keys + i, n, &error);
        if (r < 0 && code == 0) {
            code = r;
            first = CRN_TAKE(error);
        }
    }
    return code < 0 ? crn_err_move(reterr, &first, code) : 0;
}
