/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as RocksDB's MANIFEST (P2, P11). The input is read as it is, and once more as a
 * row of records (length in two bytes, little-endian, then an edit) that get their fragments and
 * checksums here, since no fuzzer guesses those. What is accepted keeps the reader's rules; it is
 * written anew, as the shortest history that leads to it, and that reads as the same. Memory is
 * bounded by the size of the input.
 */
#include "backends/state/rocksdb_manifest.h"
#include "base/hash.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define BLOCK_SIZE 32768u
#define HEADER_SIZE 7u
#define CHECKSUM_FUNCTION "FileChecksumCrc32c"

/* ---- writing ---- */

static void put_bytes(struct cairn_buffer *out, const void *data, size_t size)
{
    crn_fuzz_must(crn_buf_append(out, data, size) == 0);
}

static void put_u8(struct cairn_buffer *out, uint8_t value)
{
    put_bytes(out, &value, 1);
}

static void put_varint(struct cairn_buffer *out, uint64_t value)
{
    crn_fuzz_must(crn_buf_append_varint(out, value) == 0);
}

static void put_sized(struct cairn_buffer *out, const void *data, size_t size)
{
    put_varint(out, size);
    put_bytes(out, data, size);
}

static void put_fragment(struct cairn_buffer *out, uint8_t type, const uint8_t *data, size_t size)
{
    uint32_t crc = crn_crc32c(crn_crc32c(0, &type, 1), data, size);
    uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    for (unsigned int shift = 0; shift < 32; shift += 8)
        put_u8(out, (uint8_t)(masked >> shift));
    put_u8(out, (uint8_t)size);
    put_u8(out, (uint8_t)(size >> 8));
    put_u8(out, type);
    put_bytes(out, data, size);
}

/* In as many fragments as the ends of blocks ask for. */
static void put_record(struct cairn_buffer *out, const uint8_t *data, size_t size)
{
    enum { FULL = 1, FIRST, MIDDLE, LAST };
    bool first = true, last = false;
    while (!last) {
        while (BLOCK_SIZE - out->size % BLOCK_SIZE < HEADER_SIZE)
            put_u8(out, 0);
        size_t room = BLOCK_SIZE - out->size % BLOCK_SIZE - HEADER_SIZE;
        size_t n = size < room ? size : room;
        last = n == size;
        put_fragment(out, first ? (last ? FULL : FIRST) : (last ? LAST : MIDDLE), data, n);
        data += n;
        size -= n;
        first = false;
    }
}

static void put_key(struct cairn_buffer *out, const uint8_t *key, size_t size)
{
    put_varint(out, size + 8);
    put_bytes(out, key, size);
    put_bytes(out, "\1\0\0\0\0\0\0", 8);
}

static void put_table(struct cairn_buffer *out, const struct crn_rocksdb_table *table)
{
    put_varint(out, 103);
    put_varint(out, table->level);
    put_varint(out, table->number);
    put_varint(out, table->size);
    put_key(out, table->smallest, table->smallest_size);
    put_key(out, table->largest, table->largest_size);
    put_varint(out, table->sequence_first);
    put_varint(out, table->sequence_last);
    if (table->has_crc32c) {
        uint8_t crc[4] = {(uint8_t)(table->crc32c >> 24), (uint8_t)(table->crc32c >> 16),
                          (uint8_t)(table->crc32c >> 8), (uint8_t)table->crc32c};
        put_varint(out, 7);
        put_sized(out, crc, sizeof(crc));
        put_varint(out, 8);
        put_sized(out, CHECKSUM_FUNCTION, strlen(CHECKSUM_FUNCTION));
    }
    put_varint(out, 1);
}

static size_t family_index(const struct crn_rocksdb_manifest *manifest, const char *name)
{
    size_t i = 0;
    while (i < manifest->column_family_count && manifest->column_families[i] != name)
        i++;
    crn_fuzz_must(i < manifest->column_family_count);
    return i;
}

static void write_anew(const struct crn_rocksdb_manifest *manifest, struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer edit = {0};
    for (size_t i = 1; i < manifest->column_family_count; i++) {
        crn_buf_clear(&edit);
        put_varint(&edit, 200);
        put_varint(&edit, i);
        put_varint(&edit, 201);
        put_sized(&edit, manifest->column_families[i], strlen(manifest->column_families[i]));
        put_record(out, edit.data, edit.size);
    }
    for (size_t i = 0; i < manifest->table_count; i++) {
        crn_buf_clear(&edit);
        put_table(&edit, &manifest->tables[i]);
        put_varint(&edit, 200);
        put_varint(&edit, family_index(manifest, manifest->tables[i].column_family));
        put_record(out, edit.data, edit.size);
    }
    crn_buf_clear(&edit);
    put_varint(&edit, 3);
    put_varint(&edit, manifest->next_file_number);
    put_varint(&edit, 4);
    put_varint(&edit, manifest->last_sequence);
    put_record(out, edit.data, edit.size);
}

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
                  memcmp(a->largest, b->largest, a->largest_size) == 0);
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
    write_anew(&manifest, &again);
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
        put_record(&framed, edit, n);
        in.position += n;
    }
    check(data, size);
    check(framed.data, framed.size);
    return 0;
}
