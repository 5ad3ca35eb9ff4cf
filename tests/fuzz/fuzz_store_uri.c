/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text at all as the URI of a store (P11). The directory store is replaced by one that only
 * notes what it was asked for, so nothing is ever made. What is asked for is a clean absolute path;
 * spelled as a file:// URI, every byte but letters, digits and slashes by its number, it leads to
 * the same place, and so does the plain path. A job's directory, seen as a store, is split into its
 * parent and the job's name.
 */
#include "backends/storage/storage.h"
#include "base/text.h"
#include "cairn/inspect.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static struct {
    char *path, *path_before; /* of the last two opens */
    enum crn_transfer transfer;
    size_t count;
} asked;

static void forget(void)
{
    free(asked.path);
    free(asked.path_before);
    memset(&asked, 0, sizeof(asked));
}

static void close_noted(cairn_store *store)
{
    (void)store;
}

/* There is a manifest in every directory. */
static int list_noted(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                      cairn_error **reterr)
{
    const cairn_object_stat stat = {0};
    (void)store;
    (void)prefix;
    (void)reterr;
    return fn(context, "MANIFEST-chk1", &stat);
}

static const cairn_store_ops noted_ops = {.struct_size = sizeof(noted_ops),
                                          .scheme = "file",
                                          .close = close_noted,
                                          .list_segments = list_noted};
static cairn_store noted = {.ops = &noted_ops};

/* These two stand in place of the library's, which are not linked. */
const char *crn_posix_store_root(const cairn_store *store)
{
    (void)store;
    return NULL;
}

int crn_posix_store_open(const char *root, enum crn_transfer transfer, bool create,
                         cairn_store **ret_store, cairn_error **reterr)
{
    size_t n = strlen(root);
    (void)create;
    (void)reterr;
    crn_fuzz_must(root[0] == '/' && (n == 1 || root[n - 1] != '/'));
    free(asked.path_before);
    asked.path_before = asked.path;
    asked.path = strdup(root);
    crn_fuzz_must(asked.path != NULL);
    asked.transfer = transfer;
    asked.count++;
    *ret_store = &noted;
    return 0;
}

static int open_store(const char *uri)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_store *store = NULL;
    int r = cairn_store_open(uri, &store, &error);
    crn_fuzz_must(r == 0 || r == CAIRN_EINVAL);
    crn_fuzz_must((r < 0) == (error != NULL) && (r < 0) == (store == NULL));
    cairn_store_close(store);
    return r;
}

static void must_lead_to(const char *uri, const char *path, enum crn_transfer transfer)
{
    forget();
    crn_fuzz_must(open_store(uri) == 0 && asked.count == 1);
    crn_fuzz_must(strcmp(asked.path, path) == 0 && asked.transfer == transfer);
}

static void check_spellings(void)
{
    static const char *const options[] = {"auto", "link", "reflink", "copy"};
    CRN_AUTO_BUFFER struct cairn_buffer uri = {0};
    CRN_AUTO_FREE char *path = CRN_TAKE(asked.path);
    enum crn_transfer transfer = asked.transfer;
    crn_fuzz_must(crn_buf_printf(&uri, "file://") == 0);
    for (const char *p = path; *p != 0; p++)
        crn_fuzz_must(crn_buf_printf(&uri,
                                     *p == '/' || isalnum((unsigned char)*p) ? "%c" : "%%%02x",
                                     (unsigned char)*p) == 0);
    crn_fuzz_must(crn_buf_printf(&uri, "?transfer=%s", options[transfer]) == 0);
    must_lead_to((const char *)uri.data, path, transfer);
    if (strchr(path, '?') == NULL)
        must_lead_to(path, path, CRN_TRANSFER_AUTO);
}

static void check_existing(const char *uri)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_FREE char *job = NULL;
    cairn_store *store = NULL;
    forget();
    uint64_t id = UINT64_MAX;
    int r = cairn_store_open_existing(uri, &store, &job, &id, &error);
    crn_fuzz_must((r < 0) == (error != NULL) && (r < 0) == (store == NULL));
    crn_fuzz_must(r == 0 || id == UINT64_MAX);
    crn_fuzz_must((r < 0) == (job == NULL));
    if (r < 0)
        return;
    size_t n = strlen(asked.path);
    crn_fuzz_must(asked.count == 2 && crn_text_is_job_name(job));
    crn_fuzz_must(strncmp(asked.path_before, asked.path, n) == 0);
    crn_fuzz_must(n == 1 || asked.path_before[n] == '/');
    crn_fuzz_must(strcmp(asked.path_before + n + (n > 1), job) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_FREE char *uri = crn_str_dup_n(data, size);
    if (uri == NULL)
        return 0;
    forget();
    if (open_store(uri) == 0 && asked.count > 0)
        check_spellings();
    check_existing(uri);
    forget();
    return 0;
}
