/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CURRENT and the MANIFEST that it names, in the directory of a database that is not open: reading
 * both, and writing them for a database that is put together of others' tables.
 *
 * Nothing is synced: a directory that such a database is made in is thrown away after a crash.
 */
#include "backends/state/rocksdb_manifest.h"

#include "base/file.h"

#include <inttypes.h>
#include <string.h>

#define MANIFEST_SIZE_MAX ((size_t)1 << 30)
#define CURRENT_SIZE_MAX 4096u

/* CURRENT is one line: a name. */
static int read_current(const char *directory, char **ret_name, cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_FREE uint8_t *text = NULL;
    size_t size;

    CRN_TRY(crn_str_printf(&path, reterr, "%s/CURRENT", directory));
    CRN_TRY(crn_file_read_all(path, CURRENT_SIZE_MAX, &text, &size, reterr));
    if (size < 2 || text[size - 1] != '\n' || memchr(text, '/', size) || memchr(text, 0, size))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, "CURRENT", "'CURRENT' names no manifest");
    *ret_name = crn_str_dup_n(text, size - 1);
    return *ret_name ? 0 : crn_err_nomem(reterr);
}

int crn_rocksdb_manifest_read(const char *directory, struct crn_rocksdb_manifest *ret,
                              cairn_error **reterr)
{
    CRN_AUTO_FREE char *name = NULL;
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;

    CRN_TRY(read_current(directory, &name, reterr));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", directory, name));
    CRN_TRY(crn_file_read_all(path, MANIFEST_SIZE_MAX, &data, &size, reterr));
    return crn_rocksdb_manifest_parse(data, size, name, ret, reterr);
}

int crn_rocksdb_manifest_create(const char *directory, const struct crn_rocksdb_manifest *manifest,
                                uint64_t number, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_FREE char *current_path = NULL;
    CRN_AUTO_FREE char *current = NULL;

    if (crn_rocksdb_manifest_write(manifest, &bytes) < 0)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_str_printf(&path, reterr, "%s/MANIFEST-%06" PRIu64, directory, number));
    CRN_TRY(crn_str_printf(&current_path, reterr, "%s/CURRENT", directory));
    CRN_TRY(crn_str_printf(&current, reterr, "MANIFEST-%06" PRIu64 "\n", number));
    CRN_TRY(crn_file_write_new(path, bytes.data, bytes.size, false, reterr));
    return crn_file_write_new(current_path, current, strlen(current), false, reterr);
}
