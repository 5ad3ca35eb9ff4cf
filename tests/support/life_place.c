/* SPDX-License-Identifier: Apache-2.0 */
/* Where the random lives take place: stores for jobs and for savepoints, in directories or in
 * memory, and the local directory; all of it removed at the end. */
#include "tests/support/life_place.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/thread.h"
#include "cairn/inspect.h"
#include "manifest/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void open_store(const char *path, const char *transfer, cairn_store **ret)
{
    char uri[300];
    (void)snprintf(uri, sizeof uri, "file://%s?transfer=%s", path, transfer);
    ck_ok(cairn_store_open(uri, ret, reterr));
}

void life_place_init(struct life_place *place, bool on_disk, const char *transfer)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    *place = (struct life_place){.on_disk = on_disk};
    (void)snprintf(place->root, sizeof place->root, "%s/cairn-life-XXXXXX", base);
    ck_assert_ptr_nonnull(mkdtemp(place->root));
    (void)snprintf(place->local, sizeof place->local, "%s/local", place->root);
    (void)snprintf(place->jobs_path, sizeof place->jobs_path, "%s/jobs", place->root);
    (void)snprintf(place->saves_path, sizeof place->saves_path, "%s/saves", place->root);
    if (on_disk) {
        open_store(place->jobs_path, transfer, &place->jobs);
        open_store(place->saves_path, transfer, &place->saves);
    } else {
        ck_ok(cairn_store_open("memory:", &place->jobs, reterr));
        ck_ok(cairn_store_open("memory:", &place->saves, reterr));
    }
}

void life_place_done(struct life_place *place)
{
    cairn_store_close(place->jobs);
    cairn_store_close(place->saves);
    ck_ok(crn_file_remove_tree(place->root, reterr));
}

static const char *path_of(const struct life_place *place, const cairn_store *store)
{
    return store == place->jobs ? place->jobs_path : place->saves_path;
}

void life_place_uri(const struct life_place *place, const cairn_store *store, const char *name,
                    char out[600])
{
    (void)snprintf(out, 600, "%s/%s", path_of(place, store), name);
}

/* ------------------------------------------------------------------------------------------ *
 * By hand
 * ------------------------------------------------------------------------------------------ */

struct keys {
    char *keys[4096];
    size_t count;
};

static int note_key(void *context, const char *key, const cairn_object_stat *stat)
{
    struct keys *keys = context;
    (void)stat;
    ck_assert_uint_lt(keys->count, CRN_COUNT(keys->keys));
    keys->keys[keys->count++] = strdup(key);
    return 0;
}

static void list_keys(cairn_store *store, const char *name, struct keys *keys)
{
    CRN_AUTO_FREE char *prefix = NULL;
    keys->count = 0;
    ck_ok(crn_str_printf(&prefix, reterr, "%s/", name));
    ck_ok(store->ops->list(store, prefix, note_key, keys, reterr));
}

static void free_keys(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        free(keys->keys[i]);
}

size_t life_place_count(cairn_store *store, const char *name)
{
    struct keys keys;
    list_keys(store, name, &keys);
    free_keys(&keys);
    return keys.count;
}

void life_place_remove(cairn_store *store, const char *name)
{
    struct keys keys;
    list_keys(store, name, &keys);
    ck_ok(store->ops->remove(store, (const char *const *)keys.keys, keys.count, reterr));
    free_keys(&keys);
}

static void copy_directory(cairn_store *store, const char *name, const char *to)
{
    struct keys keys;
    list_keys(store, name, &keys);
    ck_assert_uint_gt(keys.count, 0);
    for (size_t i = 0; i < keys.count; i++) {
        CRN_AUTO_FREE char *key = NULL;
        CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
        struct crn_bytes_source source;
        cairn_put_how how;
        ck_ok(crn_str_printf(&key, reterr, "%s%s", to, keys.keys[i] + strlen(name)));
        ck_ok(crn_store_get_bytes(store, keys.keys[i], SIZE_MAX, &bytes, reterr));
        crn_bytes_source_init(&source, bytes.data, bytes.size);
        ck_ok(store->ops->put(store, key, &source.source, &how, reterr));
    }
    free_keys(&keys);
}

void life_place_move(const struct life_place *place, cairn_store *store, const char *name,
                     const char *to, bool by_copy)
{
    char old_path[600], new_path[600];
    if (by_copy || !place->on_disk) {
        copy_directory(store, name, to);
        life_place_remove(store, name);
        return;
    }
    life_place_uri(place, store, name, old_path);
    life_place_uri(place, store, to, new_path);
    ck_assert_int_eq(rename(old_path, new_path), 0);
}

/* ------------------------------------------------------------------------------------------ *
 * What is there
 * ------------------------------------------------------------------------------------------ */

bool life_place_is_gone(const struct life_place *place, cairn_store *store, const char *name)
{
    char path[600];
    life_place_uri(place, store, name, path);
    return life_place_count(store, name) == 0 && !(place->on_disk && crn_file_is_dir(path));
}

static bool is_released(const struct life_place *place, cairn_store *store, const char *name,
                        bool is_job)
{
    char mark[200];
    cairn_object_stat stat;
    (void)snprintf(mark, sizeof mark, "%s/" CRN_MARK_CLAIMED, name);
    return is_job ? life_place_count(store, name) == 1 &&
                        store->ops->stat(store, mark, &stat, NULL) == 0
                  : life_place_is_gone(place, store, name);
}

void life_place_expect_release(const struct life_place *place, cairn_store *store, const char *name,
                               bool is_job)
{
    for (int ms = 0; ms < 10000 && !is_released(place, store, name, is_job); ms++)
        crn_sleep_us(1000);
    ck_assert_msg(is_released(place, store, name, is_job), "'%s' was not released", name);
}

static void verify(cairn_store *store, const char *name)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    options.full = 1;
    ck_ok(cairn_verify(store, name, &options, NULL, reterr));
}

int life_place_has_snapshot(cairn_store *store, const char *name)
{
    cairn_snapshot *snapshot;
    int r = cairn_snapshot_open(store, name, 0, &snapshot, NULL);
    ck_assert_msg(r == 0 || r == CAIRN_ENOTFOUND, "'%s': %s", name, cairn_error_name(r));
    if (r == CAIRN_ENOTFOUND)
        return 0;
    cairn_snapshot_close(snapshot);
    verify(store, name);
    return 1;
}

void life_place_check_tidy(cairn_store *store, const char *job)
{
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_ok(cairn_gc(store, job, NULL, NULL, reterr));
    verify(store, job);
    ck_ok(cairn_job_usage(store, job, &usage, reterr));
    ck_assert_msg(
        usage.dead_count == 0 && usage.unresolved_count == 0 && usage.missing_count == 0 &&
            usage.foreign_count == 0,
        "%s: %" PRIu64 " dead, %" PRIu64 " unresolved, %" PRIu64 " missing, %" PRIu64 " foreign",
        job, usage.dead_count, usage.unresolved_count, usage.missing_count, usage.foreign_count);
}
