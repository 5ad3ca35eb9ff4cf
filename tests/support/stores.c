/* SPDX-License-Identifier: Apache-2.0 */

/* See stores.h. Every helper fails the running test by itself when something is not as it must be.
 */

#include "tests/support/stores.h"

#include "backends/storage/s3/s3.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

char stores_dir[64];

void stores_make_dir(void)
{
    const char *base = getenv("TMPDIR");
    ck_assert_int_lt(snprintf(stores_dir, sizeof(stores_dir), "%s/cairn-store-XXXXXX",
                              base != NULL ? base : "/tmp"),
                     (int)sizeof(stores_dir));
    ck_assert_ptr_nonnull(mkdtemp(stores_dir));
}

void stores_drop_dir(void)
{
    ck_assert_int_eq(crn_file_remove_tree(stores_dir, NULL), 0);
}

char *stores_path(const char *name)
{
    char *path;
    ck_assert_int_eq(crn_str_printf(&path, NULL, "%s/%s", stores_dir, name), 0);
    return path;
}

int stores_kinds(void)
{
    const char *uri = getenv("CAIRN_TEST_S3");
    return uri != NULL && *uri != 0 ? STORE_S3 + 1 : STORE_S3;
}

/* Each directory of a test has a prefix of its own in the bucket. */
cairn_store *stores_open_s3(const char *name)
{
    const char *uri = getenv("CAIRN_TEST_S3"), *query = strchr(uri, '?');
    size_t n = query != NULL ? (size_t)(query - uri) : strlen(uri);
    CRN_AUTO_FREE char *whole = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_s3_config config;
    cairn_store *store = NULL;
    ck_assert_int_eq(crn_str_printf(&whole, NULL, "%.*s/%s/%s%s", (int)n, uri, stores_dir + 1, name,
                                    query != NULL ? query : ""),
                     0);
    int r = crn_s3_config_from_uri(whole + strlen("s3:"), whole, &config, &error);
    if (r == 0)
        r = crn_s3_store_open_config(&config, false, &store, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    return store;
}

cairn_store *stores_open(int kind)
{
    static const enum crn_transfer transfers[] = {[STORE_AUTO] = CRN_TRANSFER_AUTO,
                                                  [STORE_LINK] = CRN_TRANSFER_LINK,
                                                  [STORE_COPY] = CRN_TRANSFER_COPY};
    cairn_store *store = NULL, *inner = NULL;
    CRN_AUTO_FREE char *root = stores_path("store");
    if (kind == STORE_MEMORY) {
        ck_assert_int_eq(crn_memory_store_open(&store, NULL), 0);
    } else if (kind == STORE_S3) {
        store = stores_open_s3("store");
    } else if (kind == STORE_FAULT) {
        ck_assert_int_eq(crn_memory_store_open(&inner, NULL), 0);
        ck_assert_int_eq(crn_fault_store_open(inner, &store, NULL), 0);
    } else {
        ck_assert_int_eq(crn_posix_store_open(root, transfers[kind], true, &store, NULL), 0);
    }
    return store;
}

uint8_t *stores_bytes(size_t size, unsigned seed)
{
    uint8_t *data = malloc(size + 1);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((i + seed) * 2654435761u >> 11);
    return data;
}

int stores_put(cairn_store *store, const char *key, const void *data, size_t size)
{
    struct crn_bytes_source source;
    crn_bytes_source_init(&source, data, size);
    cairn_put_how how = CAIRN_PUT_CLONED;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = store->ops->put(store, key, &source.source, &how, &error);
    ck_assert_int_eq(r, cairn_error_code(error));
    if (r == 0)
        ck_assert_int_eq(how, CAIRN_PUT_COPIED);
    return r;
}

int stores_put_text(cairn_store *store, const char *key, const char *text)
{
    return stores_put(store, key, text, strlen(text));
}

void stores_expect(cairn_store *store, const char *key, const void *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_store_get_bytes(store, key, SIZE_MAX, &got, &error);
    ck_assert_msg(r == 0, "'%s': %s", key, cairn_error_message(error));
    ck_assert_uint_eq(got.size, size);
    ck_assert(size == 0 || memcmp(got.data, data, size) == 0);
    cairn_object_stat stat;
    ck_assert_int_eq(store->ops->stat(store, key, &stat, NULL), 0);
    ck_assert_uint_eq(stat.size, size);
}

void stores_expect_missing(cairn_store *store, const char *key)
{
    CRN_AUTO_BUFFER struct cairn_buffer got = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    ck_assert_int_eq(crn_store_get_bytes(store, key, SIZE_MAX, &got, &error), CAIRN_ENOTFOUND);
    ck_assert_str_eq(cairn_error_object(error), key);
    ck_assert_int_eq(store->ops->stat(store, key, &stat, NULL), CAIRN_ENOTFOUND);
}

static int add_line(void *context, const char *key, const cairn_object_stat *stat)
{
    ck_assert_int_eq(stat == NULL, key[strlen(key) - 1] == '/');
    return crn_buf_printf(context, "%s\n", key);
}

char *stores_list(cairn_store *store, const char *prefix)
{
    struct cairn_buffer text = {0};
    ck_assert_int_eq(store->ops->list(store, prefix, add_line, &text, NULL), 0);
    return crn_buf_take_text(&text);
}

char *stores_list_segments(cairn_store *store, const char *prefix)
{
    struct cairn_buffer text = {0};
    ck_assert_int_eq(store->ops->list_segments(store, prefix, add_line, &text, NULL), 0);
    return crn_buf_take_text(&text);
}

int stores_remove(cairn_store *store, const char *key)
{
    return store->ops->remove(store, &key, 1, NULL);
}

int stores_in_child(int (*fn)(void *context), void *context)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(fn(context));
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int count_temps_in(const char *dir)
{
    char **names;
    size_t count;
    int temps = 0;
    ck_assert_int_eq(crn_file_list_dir(dir, &names, &count, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        ck_assert_int_eq(crn_str_printf(&path, NULL, "%s/%s", dir, names[i]), 0);
        temps += strncmp(names[i], CRN_STORE_TEMP_PREFIX, strlen(CRN_STORE_TEMP_PREFIX)) == 0;
        if (crn_file_is_dir(path))
            temps += count_temps_in(path);
    }
    crn_file_free_names(names, count);
    return temps;
}

int stores_count_temps(void)
{
    CRN_AUTO_FREE char *root = stores_path("store");
    return crn_file_is_dir(root) ? count_temps_in(root) : 0;
}
