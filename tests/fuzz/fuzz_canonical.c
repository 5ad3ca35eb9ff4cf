/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a canonical file (P8, P11). The input is read as it is, and once more with
 * every checksum put right on the way, since no fuzzer guesses those: whatever looks like a header,
 * a block or an end gets its sum. What is read to its end keeps the rules; written anew by the
 * writer, it reads as the same. Memory is bounded: a block may unpack to 255 times its size,
 * nothing to more.
 */
#include "backends/state/canonical_internal.h"
#include "base/file.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

struct bytes {
    const uint8_t *data;
    size_t size;
};

static int read_bytes(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr)
{
    const struct bytes *bytes = context;
    (void)reterr;
    crn_fuzz_must(offset <= bytes->size && n <= bytes->size - offset);
    if (n > 0)
        memcpy(data, bytes->data + offset, n);
    return 0;
}

static struct crn_canonical_input input_of(struct bytes *bytes)
{
    return (struct crn_canonical_input){
        .object = "fuzz", .size = bytes->size, .read = read_bytes, .context = bytes};
}

/* ---- checksums put right ---- */

static size_t seal_header(uint8_t *data, size_t size)
{
    if (size < CRN_CANONICAL_HEADER_MIN)
        return size;
    memcpy(data, CRN_CANONICAL_MAGIC, CRN_CANONICAL_MAGIC_SIZE);
    size_t header = crn_get_le32(data + 20);
    if (header < CRN_CANONICAL_HEADER_MIN || header > size)
        return size;
    crn_put_le64(data + header - 8, crn_hash64_of(data, header - 8));
    return header;
}

/* Of a header that may be none. */
static uint64_t seed_of(const uint8_t *data, size_t header_size)
{
    struct crn_canonical_header header = {0};
    if (header_size >= CRN_CANONICAL_HEADER_FIXED + CRN_CANONICAL_IDENTITY_SIZE &&
        (crn_get_le32(data + 16) & CRN_CANONICAL_FEATURE_IDENTITY)) {
        header.has_identity = true;
        memcpy(header.identity, data + CRN_CANONICAL_HEADER_FIXED, sizeof(header.identity));
    }
    return crn_canonical_seed(&header);
}

static void seal(uint8_t *data, size_t size)
{
    size_t at = seal_header(data, size);
    if (size - at < CRN_CANONICAL_FOOTER_SIZE)
        return;
    uint64_t seed = seed_of(data, at);
    uint64_t index = crn_get_le64(data + size - CRN_CANONICAL_FOOTER_SIZE);
    size_t end = size - CRN_CANONICAL_FOOTER_SIZE;
    if (index > end - at)
        return;
    end -= (size_t)index;
    crn_put_le64(data + size - 8, crn_hash64_seeded(data + end, size - 8 - end, seed));
    while (end - at >= CRN_CANONICAL_BLOCK_HEADER) {
        size_t stored = crn_get_le32(data + at + 8);
        if (stored > end - at - CRN_CANONICAL_BLOCK_HEADER)
            return;
        crn_put_le64(data + at, crn_hash64_seeded(data + at + 8,
                                                  CRN_CANONICAL_BLOCK_HEADER - 8 + stored, seed));
        at += CRN_CANONICAL_BLOCK_HEADER + stored;
    }
}

/* ---- reading, and writing anew ---- */

static bool comes_before(const struct crn_canonical_entry *last,
                         const struct cairn_buffer *last_key,
                         const struct crn_canonical_entry *entry)
{
    if (last->key_group != entry->key_group)
        return last->key_group < entry->key_group;
    if (last->state != entry->state)
        return last->state < entry->state;
    size_t common = last_key->size < entry->key_size ? last_key->size : entry->key_size;
    int order = memcmp(last_key->data, entry->key, common);
    return order < 0 || (order == 0 && last_key->size < entry->key_size);
}

/* Reads to the end, into a writer if there is one; the entries' sum. */
static int read_all(struct crn_canonical_reader *reader, struct crn_canonical_writer *writer,
                    uint64_t *ret_sum)
{
    CRN_AUTO_BUFFER struct cairn_buffer last_key = {0};
    const struct crn_canonical_header *header = crn_canonical_header(reader);
    size_t group_bytes = crn_canonical_group_bytes(header->max_parallelism);
    struct crn_canonical_entry last = {0}, entry;
    struct crn_canonical_scan *scan = NULL;
    uint64_t sum = 0;
    int r;

    crn_fuzz_must(crn_canonical_scan(reader, -1, 0, UINT32_MAX, &scan, NULL) == 0);
    for (size_t n = 0; (r = crn_canonical_next(scan, &entry, NULL)) > 0; n++) {
        crn_fuzz_must(entry.state < header->state_count);
        crn_fuzz_must(entry.key_group >= header->key_group_first &&
                      entry.key_group <= header->key_group_last);
        crn_fuzz_must(entry.key_size >= group_bytes &&
                      crn_canonical_group_of(entry.key, group_bytes) == entry.key_group);
        crn_fuzz_must(n == 0 || comes_before(&last, &last_key, &entry));
        if (writer)
            crn_fuzz_must(crn_canonical_put(writer, entry.state, entry.key, entry.key_size,
                                            entry.value, entry.value_size, NULL) == 0);
        sum = sum * 31 + crn_hash64_of(entry.key, entry.key_size);
        sum = sum * 31 + crn_hash64_of(entry.value, entry.value_size) + entry.state;
        crn_buf_clear(&last_key);
        crn_fuzz_must(crn_buf_append(&last_key, entry.key, entry.key_size) == 0);
        last = entry;
    }
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT);
    crn_canonical_scan_end(scan);
    *ret_sum = sum;
    return r;
}

static void write_anew(struct crn_canonical_reader *reader, uint64_t sum)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    struct crn_canonical_writer *writer = NULL;
    struct crn_canonical_reader *again = NULL;
    struct crn_canonical_summary summary;
    struct bytes bytes;
    uint64_t sum_again;
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/cairn-fuzz-canonical-%d", (int)getpid());
    (void)unlink(path);
    crn_fuzz_must(crn_canonical_create(path, crn_canonical_header(reader), &writer, NULL) == 0);
    crn_fuzz_must(read_all(reader, writer, &sum_again) == 0 && sum_again == sum);
    crn_fuzz_must(crn_canonical_finish(writer, &summary, NULL) == 0);
    crn_fuzz_must(crn_file_read_all(path, SIZE_MAX, &data, &bytes.size, NULL) == 0);
    (void)unlink(path);
    bytes.data = data;
    struct crn_canonical_input input = input_of(&bytes);
    input.identity = summary.identity;
    crn_fuzz_must(summary.size == bytes.size);
    crn_fuzz_must(crn_canonical_open(&input, &again, NULL) == 0);
    crn_fuzz_must(read_all(again, NULL, &sum_again) == 0 && sum_again == sum);
    crn_canonical_close(again);
}

static void check(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    struct crn_canonical_input input = input_of(&bytes);
    struct crn_canonical_reader *reader = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    uint64_t sum;
    int r = crn_canonical_open(&input, &reader, &error);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION);
    crn_fuzz_must((r < 0) == (error != NULL));
    if (r < 0)
        return;
    crn_fuzz_must(crn_canonical_range_bytes(reader, 0, UINT32_MAX) < size);
    if (read_all(reader, NULL, &sum) == 0)
        write_anew(reader, sum);
    crn_canonical_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    check(data, size);
    crn_fuzz_must(crn_buf_append(&sealed, data, size) == 0);
    seal(sealed.data, size);
    check(sealed.data, size);
    return 0;
}
