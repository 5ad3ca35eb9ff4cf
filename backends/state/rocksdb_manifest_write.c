/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A RocksDB MANIFEST for tables that no RocksDB has put together.
 *
 * The shortest history that leads to a version: one edit with what every MANIFEST must say
 * (comparator, log number, next file number, last sequence number), one for each column family, and
 * one for the tables of each. Column families are numbered anew, by their place.
 *
 * All that the reader keeps of a table is written: the tails of its bounds, since RocksDB cuts
 * range tombstones at them, the crc32c that a capture compares later (P8), and the unique id, by
 * which RocksDB finds out that a file is not the one it was. What is left out, RocksDB takes from
 * the table itself or does without.
 *
 * A pure function of its argument. Proved by tests/test_assemble.c (our reader reads what was
 * written, RocksDB opens it) and the fuzzer of the reader.
 */
#include "backends/state/rocksdb_manifest.h"
#include "backends/state/rocksdb_manifest_tags.h"

#include <string.h>

static int append_number(struct cairn_buffer *out, uint32_t tag, uint64_t value)
{
    CRN_TRY(crn_buf_append_varint(out, tag));
    return crn_buf_append_varint(out, value);
}

static int append_sized(struct cairn_buffer *out, uint32_t tag, const void *data, size_t size)
{
    CRN_TRY(append_number(out, tag, size));
    return size > 0 ? crn_buf_append(out, data, size) : 0;
}

static int append_key(struct cairn_buffer *out, const uint8_t *key, size_t size, uint64_t tail)
{
    uint8_t bytes[INTERNAL_KEY_TAIL];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(tail >> 8 * i);
    CRN_TRY(crn_buf_append_varint(out, size + sizeof(bytes)));
    if (size > 0)
        CRN_TRY(crn_buf_append(out, key, size));
    return crn_buf_append(out, bytes, sizeof(bytes));
}

static int append_time(struct cairn_buffer *out, uint32_t tag, uint64_t time)
{
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    CRN_TRY(crn_buf_append_varint(&text, time));
    return append_sized(out, tag, text.data, text.size);
}

static int append_table(struct cairn_buffer *out, const struct crn_rocksdb_table *table)
{
    CRN_TRY(append_number(out, TAG_NEW_FILE_4, table->level));
    CRN_TRY(crn_buf_append_varint(out, table->number));
    CRN_TRY(crn_buf_append_varint(out, table->size));
    CRN_TRY(append_key(out, table->smallest, table->smallest_size, table->smallest_tail));
    CRN_TRY(append_key(out, table->largest, table->largest_size, table->largest_tail));
    CRN_TRY(crn_buf_append_varint(out, table->sequence_first));
    CRN_TRY(crn_buf_append_varint(out, table->sequence_last));
    CRN_TRY(append_time(out, FILE_OLDEST_TIME, table->oldest_time));
    CRN_TRY(append_time(out, FILE_CREATION_TIME, table->creation_time));
    if (table->has_crc32c) {
        const uint8_t crc[] = {(uint8_t)(table->crc32c >> 24), (uint8_t)(table->crc32c >> 16),
                               (uint8_t)(table->crc32c >> 8), (uint8_t)table->crc32c};
        CRN_TRY(append_sized(out, FILE_CHECKSUM, crc, sizeof(crc)));
        CRN_TRY(append_sized(out, FILE_CHECKSUM_FUNCTION, CHECKSUM_FUNCTION,
                             strlen(CHECKSUM_FUNCTION)));
    }
    if (table->has_unique_id)
        CRN_TRY(append_sized(out, FILE_UNIQUE_ID, table->unique_id, sizeof(table->unique_id)));
    return crn_buf_append_varint(out, FILE_END);
}

/* `edit` is scratch: it is empty before and after. */
static int finish_edit(struct cairn_buffer *out, struct cairn_buffer *edit)
{
    CRN_TRY(crn_rocksdb_records_append(out, edit->data, edit->size));
    crn_buf_clear(edit);
    return 0;
}

static int append_head(const struct crn_rocksdb_manifest *manifest, struct cairn_buffer *out,
                       struct cairn_buffer *edit)
{
    CRN_TRY(append_sized(edit, TAG_COMPARATOR, COMPARATOR, strlen(COMPARATOR)));
    CRN_TRY(append_number(edit, TAG_LOG_NUMBER, 0));
    CRN_TRY(append_number(edit, TAG_PREV_LOG_NUMBER, 0));
    CRN_TRY(append_number(edit, TAG_NEXT_FILE_NUMBER, manifest->next_file_number));
    CRN_TRY(append_number(edit, TAG_LAST_SEQUENCE, manifest->last_sequence));
    CRN_TRY(append_number(edit, TAG_MAX_COLUMN_FAMILY, manifest->column_family_count - 1));
    return finish_edit(out, edit);
}

static int append_family(const struct crn_rocksdb_manifest *manifest, size_t family,
                         struct cairn_buffer *out, struct cairn_buffer *edit)
{
    const char *name = manifest->column_families[family];
    if (family > 0) {
        CRN_TRY(append_number(edit, TAG_COLUMN_FAMILY, family));
        CRN_TRY(append_sized(edit, TAG_COLUMN_FAMILY_ADD, name, strlen(name)));
        CRN_TRY(append_sized(edit, TAG_COMPARATOR, COMPARATOR, strlen(COMPARATOR)));
        CRN_TRY(finish_edit(out, edit));
    }
    /* RocksDB wants a log number of each column family, too. */
    CRN_TRY(append_number(edit, TAG_COLUMN_FAMILY, family));
    CRN_TRY(append_number(edit, TAG_LOG_NUMBER, 0));
    for (size_t i = 0; i < manifest->table_count; i++)
        if (strcmp(manifest->tables[i].column_family, name) == 0)
            CRN_TRY(append_table(edit, &manifest->tables[i]));
    return finish_edit(out, edit);
}

int crn_rocksdb_manifest_write(const struct crn_rocksdb_manifest *manifest,
                               struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer edit = {0};
    CRN_TRY(append_head(manifest, out, &edit));
    for (size_t i = 0; i < manifest->column_family_count; i++)
        CRN_TRY(append_family(manifest, i, out, &edit));
    return 0;
}
