/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorted entries into tables, one after the other: what a bulk load and a database that is built
 * have in common.
 *
 * The tables are RocksDB's own work, with the state's options. Its checksum of whole files is left
 * out: RocksDB's crc32c does not use the processor's instructions, and the writer would not tell
 * us the sum anyway.
 *
 * One thread each. What is not taken out of the list is removed with it.
 */
#include "backends/state/rocksdb_internal.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define CHECK_SIZE_BYTES ((uint64_t)512 << 10) /* of entries, between looks at the file's size */

static int failed(struct crn_rocksdb_tables *tables, char *message, cairn_error **reterr)
{
    tables->failed = crn_rocksdb_fail(reterr, message, tables->place.directory,
                                      tables->place.state->name, "bulk load");
    return tables->failed;
}

void crn_rocksdb_tables_done(struct crn_rocksdb_tables *tables)
{
    if (tables->writer)
        rocksdb_sstfilewriter_destroy(tables->writer);
    if (tables->file_options)
        rocksdb_envoptions_destroy(tables->file_options);
    if (tables->options)
        rocksdb_options_destroy(tables->options);
    for (size_t i = 0; i < tables->count; i++) {
        if (tables->files[i].path)
            (void)unlink(tables->files[i].path); /* RocksDB may have moved it */
        crn_rocksdb_table_file_done(&tables->files[i]);
    }
    free(tables->files);
    crn_buf_done(&tables->last_key);
    *tables = (struct crn_rocksdb_tables){0};
}

void crn_rocksdb_table_file_done(struct crn_rocksdb_table_file *file)
{
    free(file->path);
    crn_buf_done(&file->smallest);
    crn_buf_done(&file->largest);
}

static int table_options(struct crn_rocksdb_tables *tables, const struct crn_state_config *config,
                         cairn_error **reterr)
{
    rocksdb_options_t *full = NULL;
    char *message = NULL;

    CRN_TRY(
        crn_rocksdb_options_new(config, config->extra_options, tables->place.state, &full, reterr));
    tables->options = rocksdb_options_create();
    rocksdb_get_options_from_string(full, "file_checksum_gen_factory=nullptr", tables->options,
                                    &message);
    rocksdb_options_destroy(full);
    return message ? failed(tables, message, reterr) : 0;
}

int crn_rocksdb_tables_init(struct crn_rocksdb_tables *tables,
                            const struct crn_rocksdb_tables_place *place,
                            const struct crn_state_config *config, cairn_error **reterr)
{
    *tables = (struct crn_rocksdb_tables){.place = *place};
    int r = table_options(tables, config, reterr);
    if (r < 0) {
        crn_rocksdb_tables_done(tables);
        return r;
    }
    tables->file_options = rocksdb_envoptions_create();
    tables->file_bytes = rocksdb_options_get_target_file_size_base(tables->options);
    tables->writer = rocksdb_sstfilewriter_create(tables->file_options, tables->options);
    return 0;
}

static int begin_file(struct crn_rocksdb_tables *tables, const void *key, size_t key_size,
                      cairn_error **reterr)
{
    const struct crn_rocksdb_tables_place *place = &tables->place;
    char *message = NULL;

    if (tables->count == tables->capacity) {
        size_t capacity = tables->capacity ? 2 * tables->capacity : 8;
        struct crn_rocksdb_table_file *grown =
            reallocarray(tables->files, capacity, sizeof(*grown));
        if (!grown)
            return crn_err_nomem(reterr);
        tables->files = grown;
        tables->capacity = capacity;
    }
    struct crn_rocksdb_table_file *file = &tables->files[tables->count];
    *file = (struct crn_rocksdb_table_file){.number = atomic_fetch_add(place->next_number, 1)};
    if (crn_buf_append(&file->smallest, key, key_size) < 0)
        return crn_err_nomem(reterr);
    tables->count++;
    CRN_TRY(crn_str_printf(&file->path, reterr, "%s/%s%06" PRIu64 "%s", place->directory,
                           place->prefix, file->number, place->suffix));
    rocksdb_sstfilewriter_open(tables->writer, file->path, &message);
    if (message)
        return failed(tables, message, reterr);
    tables->is_open = true;
    return 0;
}

static int finish_file(struct crn_rocksdb_tables *tables, cairn_error **reterr)
{
    struct crn_rocksdb_table_file *file = &tables->files[tables->count - 1];
    char *message = NULL;

    tables->is_open = false;
    tables->unchecked = 0;
    rocksdb_sstfilewriter_finish(tables->writer, &message);
    if (message)
        return failed(tables, message, reterr);
    file->largest = tables->last_key; /* the next one gets memory of its own */
    tables->last_key = (struct cairn_buffer){0};
    return 0;
}

static int check_size(struct crn_rocksdb_tables *tables, cairn_error **reterr)
{
    uint64_t size = 0;
    tables->unchecked = 0;
    rocksdb_sstfilewriter_file_size(tables->writer, &size);
    return size >= tables->file_bytes ? finish_file(tables, reterr) : 0;
}

static int failed_before(const struct crn_rocksdb_tables *tables, cairn_error **reterr)
{
    const struct crn_rocksdb_tables_place *place = &tables->place;
    return crn_err_fail(reterr, tables->failed, place->directory,
                        "the bulk load of state '%s' in '%s' failed before", place->state->name,
                        place->directory);
}

static int put(struct crn_rocksdb_tables *tables, const void *key, size_t key_size,
               const void *value, size_t value_size, cairn_error **reterr)
{
    char *message = NULL;

    if (!tables->is_open)
        CRN_TRY(begin_file(tables, key, key_size, reterr));
    rocksdb_sstfilewriter_put(tables->writer, key, key_size, value, value_size, &message);
    if (__builtin_expect(message != NULL, 0))
        return failed(tables, message, reterr);
    crn_buf_clear(&tables->last_key);
    if (crn_buf_append(&tables->last_key, key, key_size) < 0)
        return crn_err_nomem(reterr);
    tables->unchecked += key_size + value_size;
    return tables->unchecked >= CHECK_SIZE_BYTES ? check_size(tables, reterr) : 0;
}

int crn_rocksdb_tables_put(struct crn_rocksdb_tables *tables, const void *key, size_t key_size,
                           const void *value, size_t value_size, cairn_error **reterr)
{
    if (__builtin_expect(tables->failed < 0, 0))
        return failed_before(tables, reterr);
    int r = put(tables, key, key_size, value, value_size, reterr);
    if (__builtin_expect(r < 0, 0))
        tables->failed = r;
    return r;
}

int crn_rocksdb_tables_finish(struct crn_rocksdb_tables *tables, cairn_error **reterr)
{
    if (tables->failed < 0)
        return failed_before(tables, reterr);
    return tables->is_open ? finish_file(tables, reterr) : 0;
}
