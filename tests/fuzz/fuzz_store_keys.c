/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any lines of text at all as object keys (P11). Which of them are keys is asked of iconv and of
 * the rules in cairn/store.h, written down once more. They are put into a store in memory, and made
 * as files in a directory by others than the store; what is no key is refused by the first and not
 * there for the second. Both then list, whole and by segments, what a sorted array says, for the
 * prefix that the first line gives.
 */
#include "backends/storage/storage.h"
#include "base/file.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LINES_MAX 12

/* ---- the rules once more ---- */

/* UTF-8 without control characters, as iconv sees it. */
static bool is_text(const char *text, size_t n)
{
    static iconv_t utf8 = NULL;
    uint32_t points[CRN_STORE_SEGMENT_MAX];
    char *in = (char *)(uintptr_t)text, *out = (char *)points;
    size_t in_left = n, out_left = sizeof(points);
    if (utf8 == NULL)
        utf8 = iconv_open("UTF-32LE", "UTF-8");
    crn_fuzz_must(utf8 != (iconv_t)-1);
    (void)iconv(utf8, NULL, NULL, NULL, NULL);
    if (iconv(utf8, &in, &in_left, &out, &out_left) == (size_t)-1)
        return false;
    for (size_t i = 0; i < (sizeof(points) - out_left) / sizeof(points[0]); i++)
        if (points[i] < 0x20 || (points[i] >= 0x7f && points[i] < 0xa0))
            return false;
    return true;
}

static bool is_key(const char *key)
{
    if (strlen(key) > 1024)
        return false;
    for (const char *end; key != NULL; key = *end == '/' ? end + 1 : NULL) {
        end = strchrnul(key, '/');
        size_t n = (size_t)(end - key);
        if (n < 1 || n > 255 || strncmp(key, "./", n + 1) == 0 || strncmp(key, "../", n + 1) == 0 ||
            strcmp(key, ".") == 0 || strcmp(key, "..") == 0 ||
            strncmp(key, ".cairn-tmp-", 11) == 0 || !is_text(key, n))
            return false;
    }
    return true;
}

/* ---- the sorted array ---- */

struct model {
    const char *keys[LINES_MAX];
    size_t count;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void expect(struct model *model, const char *prefix, bool segments, struct cairn_buffer *out)
{
    CRN_AUTO_FREE char *last = NULL;
    size_t n = strlen(prefix);
    qsort(model->keys, model->count, sizeof(model->keys[0]), compare);
    for (size_t i = 0; i < model->count; i++) {
        const char *key = model->keys[i];
        if (strncmp(key, prefix, n) != 0)
            continue;
        const char *shown = segments ? key + n : key;
        const char *slash = segments ? strchr(shown, '/') : NULL;
        char *line = crn_str_dup_n(shown, slash ? (size_t)(slash - shown) + 1 : strlen(shown));
        crn_fuzz_must(line != NULL);
        if (last == NULL || strcmp(last, line) != 0)
            crn_fuzz_must(crn_buf_printf(out, "%s\n", line) == 0);
        free(last);
        last = line;
    }
}

/* ---- the stores ---- */

static int note(void *context, const char *key, const cairn_object_stat *stat)
{
    size_t n = strlen(key);
    crn_fuzz_must((stat == NULL) == (n > 0 && key[n - 1] == '/'));
    crn_fuzz_must(crn_buf_printf(context, "%s\n", key) == 0);
    return 0;
}

static void must_be(const struct cairn_buffer *a, const struct cairn_buffer *b)
{
    crn_fuzz_must(a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0));
}

static void check_lists(cairn_store *store, struct model *model, const char *prefix)
{
    CRN_AUTO_BUFFER struct cairn_buffer expected = {0}, told = {0};
    const char *slash = strrchr(prefix, '/');
    CRN_AUTO_FREE char *directory = crn_str_dup_n(prefix, slash ? (size_t)(slash - prefix) + 1 : 0);
    crn_fuzz_must(directory != NULL);
    expect(model, prefix, false, &expected);
    crn_fuzz_must(store->ops->list(store, prefix, note, &told, NULL) == 0);
    must_be(&expected, &told);
    crn_buf_clear(&expected);
    crn_buf_clear(&told);
    expect(model, directory, true, &expected);
    crn_fuzz_must(store->ops->list_segments(store, directory, note, &told, NULL) == 0);
    must_be(&expected, &told);
}

static void check_memory(char *const *lines, size_t count, const char *prefix)
{
    struct model model = {0};
    cairn_store *store;
    crn_fuzz_must(crn_memory_store_open(&store, NULL) == 0);
    for (size_t i = 0; i < count; i++) {
        struct crn_bytes_source source;
        cairn_put_how how;
        crn_bytes_source_init(&source, "x", 1);
        int r = store->ops->put(store, lines[i], &source.source, &how, NULL);
        crn_fuzz_must(r == (is_key(lines[i]) ? 0 : CAIRN_EINVAL));
        if (r == 0)
            model.keys[model.count++] = lines[i];
    }
    check_lists(store, &model, prefix);
    store->ops->close(store);
}

/* ---- a directory that others write to ---- */

static char root[64];

static void remove_root(void)
{
    (void)crn_file_remove_tree(root, NULL);
}

/* Leads to below the root, and to where it says. */
static bool is_plain_path(const char *path)
{
    for (const char *end; path != NULL; path = *end == '/' ? end + 1 : NULL) {
        end = strchrnul(path, '/');
        if (end == path || strncmp(path, "./", 2) == 0 || strncmp(path, "../", 3) == 0 ||
            strcmp(path, ".") == 0 || strcmp(path, "..") == 0)
            return false;
    }
    return true;
}

static bool make_file(const char *path)
{
    char full[4096];
    size_t n = (size_t)snprintf(full, sizeof(full), "%s/", root);
    if (!is_plain_path(path) || strlen(path) >= sizeof(full) - n)
        return false;
    strcpy(full + n, path);
    for (char *slash = full + n; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    int fd = open(full, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static void check_directory(char *const *lines, size_t count, const char *prefix)
{
    struct model model = {0};
    cairn_store *store;
    if (root[0] == 0) {
        const char *tmp = getenv("TMPDIR");
        (void)snprintf(root, sizeof(root), "%.40s/cairn-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
        crn_fuzz_must(mkdtemp(root) != NULL && atexit(remove_root) == 0);
    }
    crn_fuzz_must(crn_file_remove_tree(root, NULL) == 0 && mkdir(root, 0700) == 0);
    for (size_t i = 0; i < count; i++)
        if (make_file(lines[i]) && is_key(lines[i]))
            model.keys[model.count++] = lines[i];
    crn_fuzz_must(crn_posix_store_open(root, CRN_TRANSFER_COPY, false, &store, NULL) == 0);
    check_lists(store, &model, prefix);
    store->ops->close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_FREE char *text = crn_str_dup_n(data, size);
    char *lines[LINES_MAX], *rest = text;
    size_t count = 0;
    if (text == NULL)
        return 0;
    crn_fuzz_must(crn_store_key_is_valid(text) == is_key(text));
    const char *prefix = strsep(&rest, "\n");
    while (rest != NULL && count < LINES_MAX)
        lines[count++] = strsep(&rest, "\n");
    check_memory(lines, count, prefix);
    check_directory(lines, count, prefix);
    return 0;
}
