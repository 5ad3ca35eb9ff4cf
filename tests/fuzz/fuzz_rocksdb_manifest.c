/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as RocksDB's MANIFEST (P2, P11). The input is read as it is, and once more as a
 * row of records (length in two bytes, little-endian, then an edit) that get their fragments and
 * checksums here, since no fuzzer guesses those. What is accepted keeps the reader's rules; the
 * writer writes it anew, as the shortest history that leads to it, and that reads as the same.
 * Memory is bounded by the size of the input.
 */
#include "backends/state/rocksdb_manifest.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* ---- checking ---- */

static void check_rules(const struct crn_rocksdb_manifest *manifest, size_t size)
{
    /* A key takes its length's byte and its tail in the file: the zero behind it is no more. */
    crn_fuzz_must(manifest->bytes.size <= size + sizeof("default"));
    crn_fuzz_must(manifest->column_family_count >= 1 &&
                  strcmp(manifest->column_families[0], "default") == 0);
    for (size_t i = 1; i < manifest->column_family_count; i++)
        for (size_t k = 0; k < i; k++)
            crn_fuzz_must(strcmp(manifest->column_families[k], manifest->column_families[i]) != 0);
    for (size_t i = 0; i < manifest->table_count; i++) {
        const struct crn_rocksdb_table *table = &manifest->tables[i];
        size_t common =
            table->smallest_size < table->largest_size ? table->smallest_size : table->largest_size;
        int order = memcmp(table->smallest, table->largest, common);
        crn_fuzz_must(order < 0 || (order == 0 && table->smallest_size <= table->largest_size));
        crn_fuzz_must(table->sequence_first <= table->sequence_last);
        crn_fuzz_must(i == 0 || manifest->tables[i - 1].number < table->number);
    }
}

static void check_same_table(const struct crn_rocksdb_table *a, const struct crn_rocksdb_table *b)
{
    crn_fuzz_must(strcmp(a->column_family, b->column_family) == 0 && a->number == b->number &&
                  a->size == b->size && a->level == b->level &&
                  a->sequence_first == b->sequence_first && a->sequence_last == b->sequence_last &&
                  a->has_crc32c == b->has_crc32c && a->crc32c == b->crc32c &&
                  a->smallest_size == b->smallest_size && a->largest_size == b->largest_size &&
                  memcmp(a->smallest, b->smallest, a->smallest_size) == 0 &&
                  memcmp(a->largest, b->largest, a->largest_size) == 0 &&
                  a->smallest_tail == b->smallest_tail && a->largest_tail == b->largest_tail &&
                  a->has_unique_id == b->has_unique_id &&
                  memcmp(a->unique_id, b->unique_id, sizeof(a->unique_id)) == 0 &&
                  a->oldest_time == b->oldest_time && a->creation_time == b->creation_time);
}

static void check_same(const struct crn_rocksdb_manifest *a, const struct crn_rocksdb_manifest *b)
{
    crn_fuzz_must(
        a->last_sequence == b->last_sequence && a->next_file_number == b->next_file_number &&
        a->column_family_count == b->column_family_count && a->table_count == b->table_count);
    for (size_t i = 0; i < a->column_family_count; i++)
        crn_fuzz_must(strcmp(a->column_families[i], b->column_families[i]) == 0);
    for (size_t i = 0; i < a->table_count; i++)
        check_same_table(&a->tables[i], &b->tables[i]);
}

static void check(const uint8_t *data, size_t size)
{
    CRN_AUTO_ROCKSDB_MANIFEST struct crn_rocksdb_manifest manifest = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer again = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_rocksdb_manifest_parse(data, size, "fuzz", &manifest, &error);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION);
    crn_fuzz_must((r < 0) == (error != NULL) && (r == 0 || cairn_error_code(error) == r));
    if (r < 0) {
        crn_fuzz_must(manifest.tables == NULL && manifest.bytes.data == NULL);
        return;
    }
    check_rules(&manifest, size);
    crn_fuzz_must(crn_rocksdb_manifest_write(&manifest, &again) == 0);
    crn_fuzz_must(crn_rocksdb_manifest_parse(again.data, again.size, "anew", &back, NULL) == 0);
    check_same(&manifest, &back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer framed = {0};
    struct crn_reader in = {.data = data, .size = size};
    uint8_t low, high;
    while (crn_read_u8(&in, &low) && crn_read_u8(&in, &high)) {
        size_t n = (size_t)high << 8 | low, left = crn_reader_left(&in);
        const uint8_t *edit = data + in.position;
        n = n < left ? n : left;
        crn_fuzz_must(crn_rocksdb_records_append(&framed, edit, n) == 0);
        in.position += n;
    }
    check(data, size);
    check(framed.data, framed.size);
    return 0;
}
