/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The files of the fake state backend: tables, and the three small ones that say which tables there
 * are, under RocksDB's names. The bytes are of no interest but to this file:
 *
 *   NNNNNN.sst       "FAKESST1", entries { u8 removed, be64 sequence, varint sizes, key, value }
 *   MANIFEST-NNNNNN  "FAKEMAN1", varint next number, sequence, states { name, tables { number,
 * level } } CURRENT          the manifest's name and a newline OPTIONS-NNNNNN   a line of text
 *
 * A table is written once into the database's directory, then linked into each capture.
 */

#include "tests/support/fake_state_internal.h"
#include "base/file.h"
#include "base/hash.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC_SIZE 8
#define FILE_SIZE_MAX ((size_t)2 << 30)
static const char table_magic[MAGIC_SIZE + 1] = "FAKESST1";
static const char manifest_magic[MAGIC_SIZE + 1] = "FAKEMAN1";

void fake_table_path(const struct fake_db *db, uint64_t number, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/%06" PRIu64 ".sst", db->directory, number);
}

/* ------------------------------------------------------------------------------------------ *
 * Encoding
 * ------------------------------------------------------------------------------------------ */

static int append_sized(struct cairn_buffer *out, const void *data, size_t size)
{
    CRN_TRY(crn_buf_append_varint(out, size));
    return crn_buf_append(out, data, size);
}

static int encode_table(const struct fake_table *table, struct cairn_buffer *out)
{
    CRN_TRY(crn_buf_append(out, table_magic, MAGIC_SIZE));
    for (size_t i = 0; i < table->entries.count; i++) {
        const struct fake_entry *entry = table->entries.items[i];
        CRN_TRY(crn_buf_append_u8(out, entry->removed));
        CRN_TRY(crn_buf_append_be64(out, entry->sequence));
        CRN_TRY(append_sized(out, entry->bytes, entry->key_size));
        CRN_TRY(append_sized(out, entry->bytes + entry->key_size, entry->value_size));
    }
    return 0;
}

static int encode_manifest(const struct fake_db *db, struct cairn_buffer *out)
{
    CRN_TRY(crn_buf_append(out, manifest_magic, MAGIC_SIZE));
    CRN_TRY(crn_buf_append_varint(out, db->next_number));
    CRN_TRY(crn_buf_append_varint(out, db->barrier_sequence));
    for (const struct crn_state *state = db->states; state != NULL; state = state->next) {
        CRN_TRY(append_sized(out, state->name, strlen(state->name)));
        CRN_TRY(crn_buf_append_varint(out, state->table_count));
        for (size_t i = 0; i < state->table_count; i++) {
            CRN_TRY(crn_buf_append_varint(out, state->tables[i]->number));
            CRN_TRY(crn_buf_append_varint(out, state->tables[i]->level));
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Capture
 * ------------------------------------------------------------------------------------------ */

static struct crn_captured_file *add_file(struct crn_capture *capture, const char *name,
                                          cairn_file_role role)
{
    struct crn_captured_file *files =
        reallocarray(capture->files, capture->count + 1, sizeof(*files));
    if (files == NULL)
        return NULL;
    capture->files = files;
    struct crn_captured_file *file = &files[capture->count];
    *file = (struct crn_captured_file){.info.role = role, .info.name = strdup(name)};
    if (file->info.name == NULL)
        return NULL;
    capture->count++;
    return file;
}

static const uint8_t *copy_key(const struct fake_entry *entry)
{
    return (const uint8_t *)crn_str_dup_n(entry->bytes, entry->key_size);
}

/* The table's file, written into the database's directory at its first capture. */
static int write_table(const struct fake_db *db, struct fake_table *table, cairn_error **reterr)
{
    if (table->on_disk)
        return 0;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (encode_table(table, &bytes) < 0)
        return crn_err_nomem(reterr);
    char path[4096];
    fake_table_path(db, table->number, path, sizeof(path));
    (void)unlink(path); /* what an earlier attempt may have left half written */
    CRN_TRY(crn_file_write_new(path, bytes.data, bytes.size, false, reterr));
    table->size = bytes.size;
    table->crc32c = crn_crc32c(0, bytes.data, bytes.size);
    table->on_disk = true;
    return 0;
}

static int capture_table(const struct fake_db *db, const struct crn_state *state,
                         struct fake_table *table, const char *directory, struct crn_capture *ret,
                         cairn_error **reterr)
{
    CRN_TRY(write_table(db, table, reterr));
    char from[4096], name[32];
    fake_table_path(db, table->number, from, sizeof(from));
    (void)snprintf(name, sizeof(name), "%06" PRIu64 ".sst", table->number);
    CRN_AUTO_FREE char *to = NULL;
    CRN_TRY(crn_str_printf(&to, reterr, "%s/%s", directory, name));
    if (link(from, to) < 0)
        return crn_err_os(reterr, errno, to, "link '%s' to '%s'", from, to);
    struct crn_captured_file *file = add_file(ret, name, CAIRN_FILE_TABLE);
    if (file == NULL)
        return crn_err_nomem(reterr);
    const struct fake_entries *entries = &table->entries;
    cairn_file_info *info = &file->info;
    info->size = table->size;
    info->has_crc32c = 1;
    info->crc32c = table->crc32c;
    info->number = table->number;
    info->level = table->level;
    info->sequence_first = info->sequence_last = entries->items[0]->sequence;
    for (size_t i = 0; i < entries->count; i++) {
        uint64_t sequence = entries->items[i]->sequence;
        info->sequence_first = sequence < info->sequence_first ? sequence : info->sequence_first;
        info->sequence_last = sequence > info->sequence_last ? sequence : info->sequence_last;
    }
    info->state = strdup(state->name);
    info->smallest = copy_key(entries->items[0]);
    info->smallest_size = entries->items[0]->key_size;
    info->largest = copy_key(entries->items[entries->count - 1]);
    info->largest_size = entries->items[entries->count - 1]->key_size;
    if (info->state == NULL || info->smallest == NULL || info->largest == NULL)
        return crn_err_nomem(reterr);
    return 0;
}

static int capture_small(const char *directory, const char *name, const void *data, size_t size,
                         struct crn_capture *ret, cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", directory, name));
    CRN_TRY(crn_file_write_new(path, data, size, false, reterr));
    struct crn_captured_file *file = add_file(ret, name, CAIRN_FILE_DATABASE);
    if (file == NULL)
        return crn_err_nomem(reterr);
    file->info.size = size;
    return 0;
}

static int capture_small_files(const struct fake_db *db, const struct cairn_buffer *manifest,
                               const char *directory, struct crn_capture *ret, cairn_error **reterr)
{
    static const char options[] = "the fake state backend has no options\n";
    char manifest_name[40], options_name[40], current[48];
    (void)snprintf(manifest_name, sizeof(manifest_name), "MANIFEST-%06" PRIu64,
                   db->manifest_number);
    (void)snprintf(options_name, sizeof(options_name), "OPTIONS-%06" PRIu64, db->options_number);
    (void)snprintf(current, sizeof(current), "%s\n", manifest_name);
    CRN_TRY(capture_small(directory, "CURRENT", current, strlen(current), ret, reterr));
    CRN_TRY(capture_small(directory, manifest_name, manifest->data, manifest->size, ret, reterr));
    return capture_small(directory, options_name, options, strlen(options), ret, reterr);
}

/* The states that there are now; more may be opened while the capture runs. */
static int list_states(const struct fake_db *db, struct crn_state ***ret, size_t *ret_count)
{
    size_t count = 0;
    for (struct crn_state *state = db->states; state != NULL; state = state->next)
        count++;
    struct crn_state **states = calloc(count + 1, sizeof(struct crn_state *));
    if (states == NULL)
        return CAIRN_ENOMEM;
    count = 0;
    for (struct crn_state *state = db->states; state != NULL; state = state->next)
        states[count++] = state;
    *ret = states;
    *ret_count = count;
    return 0;
}

/* A state's tables change at barriers only, and none is taken before this capture's release. */
static int capture_all(struct fake_db *db, const char *directory, const atomic_bool *cancelled,
                       struct crn_capture *ret, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer manifest = {0};
    CRN_AUTO_FREE struct crn_state **states = NULL;
    size_t state_count = 0;
    crn_mutex_lock(&db->lock);
    int r = encode_manifest(db, &manifest);
    if (r == 0)
        r = list_states(db, &states, &state_count);
    crn_mutex_unlock(&db->lock);
    if (r < 0)
        return crn_err_nomem(reterr);
    if (mkdir(directory, 0777) < 0)
        return crn_err_os(reterr, errno, directory, "create '%s'", directory);
    for (size_t s = 0; s < state_count; s++)
        for (size_t i = 0; i < states[s]->table_count; i++) {
            if (cancelled != NULL && atomic_load(cancelled))
                return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "the capture was canceled");
            CRN_TRY(capture_table(db, states[s], states[s]->tables[i], directory, ret, reterr));
        }
    return capture_small_files(db, &manifest, directory, ret, reterr);
}

int fake_capture(struct fake_db *db, const char *directory, const atomic_bool *cancelled,
                 struct crn_capture *ret, cairn_error **reterr)
{
    struct crn_capture capture = {0};
    uint64_t started = crn_now_us();
    int r = capture_all(db, directory, cancelled, &capture, reterr);
    if (r < 0) {
        crn_capture_done(&capture);
        return r;
    }
    capture.capture_us = crn_now_us() - started;
    *ret = capture;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Restore
 * ------------------------------------------------------------------------------------------ */

static int damaged(const char *path, cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, path, "'%s' is not a file of the fake backend",
                        path);
}

static bool read_magic(struct crn_reader *reader, const char *magic)
{
    const uint8_t *bytes;
    return crn_read_bytes(reader, MAGIC_SIZE, &bytes) && memcmp(bytes, magic, MAGIC_SIZE) == 0;
}

static bool read_sized(struct crn_reader *reader, const uint8_t **ret, size_t *ret_size)
{
    uint64_t size;
    if (!crn_read_varint(reader, &size) || !crn_read_bytes(reader, (size_t)size, ret))
        return false;
    *ret_size = (size_t)size;
    return true;
}

static int decode_table(struct fake_table *table, const uint8_t *data, size_t size,
                        const char *path, cairn_error **reterr)
{
    struct crn_reader reader = {.data = data, .size = size};
    if (!read_magic(&reader, table_magic))
        return damaged(path, reterr);
    while (crn_reader_left(&reader) > 0) {
        uint8_t removed;
        uint64_t sequence;
        const uint8_t *key, *value;
        size_t key_size, value_size;
        if (!crn_read_u8(&reader, &removed) || !crn_read_be64(&reader, &sequence) ||
            !read_sized(&reader, &key, &key_size) || !read_sized(&reader, &value, &value_size))
            return damaged(path, reterr);
        struct fake_entry *entry =
            fake_entry_new(key, key_size, value, value_size, sequence, removed != 0);
        if (entry == NULL || fake_entries_set(&table->entries, entry) < 0)
            return crn_err_nomem(reterr);
    }
    return table->entries.count > 0 ? 0 : damaged(path, reterr);
}

static int read_table(const struct fake_db *db, struct fake_table *table, cairn_error **reterr)
{
    char path[4096];
    fake_table_path(db, table->number, path, sizeof(path));
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    CRN_TRY(crn_file_read_all(path, FILE_SIZE_MAX, &data, &size, reterr));
    table->on_disk = true;
    table->size = size;
    table->crc32c = crn_crc32c(0, data, size);
    return decode_table(table, data, size, path, reterr);
}

/* Newer tables over older ones, which come first. */
static int apply_table(struct crn_state *state, const struct fake_table *table)
{
    for (size_t i = 0; i < table->entries.count; i++) {
        atomic_fetch_add(&table->entries.items[i]->refs, 1);
        CRN_TRY(fake_entries_set(&state->live, table->entries.items[i]));
    }
    return 0;
}

static int restore_table(struct fake_db *db, struct crn_state *state, uint64_t number,
                         uint64_t level, cairn_error **reterr)
{
    struct fake_table *table = calloc(1, sizeof(*table));
    if (table == NULL || fake_state_add_table(state, table) < 0) {
        fake_table_free(table);
        return crn_err_nomem(reterr);
    }
    table->number = number;
    table->level = (uint32_t)level;
    CRN_TRY(read_table(db, table, reterr));
    return apply_table(state, table) < 0 ? crn_err_nomem(reterr) : 0;
}

static int restore_state(struct fake_db *db, struct crn_reader *reader, const char *path,
                         cairn_error **reterr)
{
    const uint8_t *bytes;
    size_t size;
    uint64_t tables, number, level;
    if (!read_sized(reader, &bytes, &size) || !crn_read_varint(reader, &tables))
        return damaged(path, reterr);
    CRN_AUTO_FREE char *name = crn_str_dup_n(bytes, size);
    struct crn_state *state;
    if (name == NULL || fake_state_add(db, name, &state) < 0)
        return crn_err_nomem(reterr);
    for (uint64_t i = 0; i < tables; i++) {
        if (!crn_read_varint(reader, &number) || !crn_read_varint(reader, &level) ||
            number >= db->next_number)
            return damaged(path, reterr);
        CRN_TRY(restore_table(db, state, number, level, reterr));
    }
    return 0;
}

int fake_restore(struct fake_db *db, cairn_error **reterr)
{
    CRN_AUTO_FREE char *current_path = NULL;
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_FREE uint8_t *current = NULL;
    CRN_AUTO_FREE uint8_t *manifest = NULL;
    size_t size;
    CRN_TRY(crn_str_printf(&current_path, reterr, "%s/CURRENT", db->directory));
    CRN_TRY(crn_file_read_all(current_path, 4096, &current, &size, reterr));
    if (size < 2 || current[size - 1] != '\n' || memchr(current, '/', size) != NULL)
        return damaged(current_path, reterr);
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%.*s", db->directory, (int)size - 1,
                           (const char *)current));
    CRN_TRY(crn_file_read_all(path, FILE_SIZE_MAX, &manifest, &size, reterr));
    struct crn_reader reader = {.data = manifest, .size = size};
    if (!read_magic(&reader, manifest_magic) || !crn_read_varint(&reader, &db->next_number) ||
        !crn_read_varint(&reader, &db->sequence))
        return damaged(path, reterr);
    db->barrier_sequence = db->sequence;
    while (crn_reader_left(&reader) > 0)
        CRN_TRY(restore_state(db, &reader, path, reterr));
    for (struct crn_state *state = db->states; state != NULL; state = state->next)
        fake_entries_drop_removed(&state->live);
    return 0;
}
