/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as records in flight, and as a barrier off a wire (P8, P11). What is accepted is
 * stored again, and must give the same bytes, since the encoding has one spelling. Then it is dealt
 * out to three subtasks, which together hold each record once. Memory is bounded by the size of the
 * file, not by the numbers in it.
 */
#include "base/error.h"
#include "base/hash.h"
#include "engine/gate/in_flight.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define AUTO_IN_FLIGHT CRN_CLEANUP(crn_in_flight_done)
#define PARALLELISM 3u

static int take_all(void *context, const void *record, size_t size, const void **ret_key,
                    size_t *ret_key_size)
{
    (void)context;
    *ret_key = record;
    *ret_key_size = size;
    return 0;
}

static void deal(const struct crn_in_flight *records, cairn_partitioning partitioning)
{
    uint64_t count = 0;
    size_t bytes = 0;
    for (uint32_t subtask = 0; subtask < PARALLELISM; subtask++) {
        AUTO_IN_FLIGHT struct crn_in_flight got = {0};
        struct crn_dealing dealing = {
            .partitioning = partitioning,
            .key_of = take_all,
            .subtask = subtask,
            .parallelism = PARALLELISM,
            .max_parallelism = 128,
        };
        crn_fuzz_must(crn_in_flight_deal(&dealing, records, &got, NULL) == 0);
        crn_fuzz_must(dealing.dealt == records->count);
        count += got.count;
        bytes += got.bytes.size;
    }
    crn_fuzz_must(count == records->count && bytes == records->bytes.size);
}

static void try_records(const uint8_t *data, size_t size)
{
    AUTO_IN_FLIGHT struct crn_in_flight records = {0};
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_in_flight_unseal(data, size, &records, &error);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION);
    crn_fuzz_must((r < 0) == (error != NULL));
    if (r < 0) {
        crn_fuzz_must(records.count == 0 && records.bytes.size == 0);
        return;
    }
    crn_fuzz_must(crn_in_flight_seal(&records, &sealed, NULL) == 0);
    crn_fuzz_must(sealed.size == size && memcmp(sealed.data, data, size) == 0);
    deal(&records, CAIRN_PARTITION_ANY);
    deal(&records, CAIRN_PARTITION_BY_KEY);
}

/* The checksum hides what is behind it from a fuzzer: as if it were right. */
static void try_resealed(const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer copy = {0};
    if (size < 8)
        return;
    crn_fuzz_must(crn_buf_append(&copy, data, size - 8) == 0);
    crn_fuzz_must(crn_buf_append_be64(&copy, crn_hash64_of(data, size - 8)) == 0);
    try_records(copy.data, copy.size);
}

static void try_barrier(const uint8_t *data, size_t size)
{
    cairn_barrier barrier;
    uint8_t again[CAIRN_BARRIER_BYTES];
    int r = cairn_barrier_decode(data, size, &barrier);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT);
    if (r < 0)
        return;
    cairn_barrier_encode(&barrier, again);
    crn_fuzz_must(size == sizeof again && memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing;
    if (data == NULL)
        data = &nothing;
    try_records(data, size);
    try_resealed(data, size);
    try_barrier(data, size);
    return 0;
}
