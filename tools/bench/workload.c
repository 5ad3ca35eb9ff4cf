/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of keys and values that every method is fed with.
 *
 * All of it is a pure function of (seed, index, version) and (seed, round, position), so that each
 * method gets the same bytes in the same order however long it takes, and so that a restored
 * database can be checked entry by entry without a list of what was written.
 *
 * A key is 16 hexadecimal digits of a mixed (bijective) index: unique, and in random order. The raw
 * key is byte for byte the composite key that Cairn stores for it. A value starts with its index
 * and version, goes on with random bytes up to its half, and ends in text that compresses well.
 */
#include "tools/bench/workload.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#define HEADER_SIZE (sizeof(uint64_t) + sizeof(uint32_t))
#define ZIPF_THETA 0.99 /* as in YCSB */

/* The finalizer of splitmix64: a bijection on 64 bits. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Constants of the approximation in Gray et al., "Quickly generating billion-record synthetic
 * databases" (SIGMOD 1994). */
static void init_zipf(struct bench_workload *workload)
{
    double zeta = 0;
    for (uint64_t i = 1; i <= workload->keys; i++)
        zeta += pow((double)i, -ZIPF_THETA);
    double zeta2 = 1 + pow(2, -ZIPF_THETA);
    workload->zeta = zeta;
    workload->eta = (1 - pow(2.0 / (double)workload->keys, 1 - ZIPF_THETA)) / (1 - zeta2 / zeta);
}

void bench_workload_init(struct bench_workload *workload, const struct bench_options *options)
{
    double updates = ceil((double)options->keys * options->update_percent / 100);
    *workload = (struct bench_workload){
        .seed = mix(options->seed),
        .keys = options->keys,
        .updates = updates < 1 ? 1 : (uint64_t)updates,
        .value_size = options->value_size_bytes,
        .zipf = options->zipf,
    };
    if (workload->zipf)
        init_zipf(workload);
}

void bench_record_fill_key(const struct bench_workload *workload, uint64_t index,
                           struct bench_record *record)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t mixed = mix(index ^ workload->seed);
    for (int i = 0; i < BENCH_KEY_SIZE; i++)
        record->key[i] = (uint8_t)digits[(mixed >> (60 - 4 * i)) & 15];
    /* With as many subtasks as key groups, the subtask of a key is its group. */
    int group =
        cairn_subtask_of_key(record->key, BENCH_KEY_SIZE, BENCH_KEY_GROUPS, BENCH_KEY_GROUPS);
    record->raw_key[0] = (uint8_t)group;
    record->raw_key[1] = BENCH_KEY_SIZE;
    memcpy(record->raw_key + 2, record->key, BENCH_KEY_SIZE);
    record->raw_key[2 + BENCH_KEY_SIZE] = 0;
}

void bench_record_fill(const struct bench_workload *workload, uint64_t index, uint32_t version,
                       struct bench_record *record)
{
    bench_record_fill_key(workload, index, record);
    uint64_t index_le = htole64(index);
    uint32_t version_le = htole32(version);
    memcpy(record->value, &index_le, sizeof(index_le));
    memcpy(record->value + sizeof(index_le), &version_le, sizeof(version_le));

    size_t position = HEADER_SIZE, half = workload->value_size / 2;
    uint64_t state = mix(workload->seed ^ mix(index) ^ ((uint64_t)version << 40));
    while (position < half) {
        state = mix(state);
        size_t n = half - position < sizeof(state) ? half - position : sizeof(state);
        memcpy(record->value + position, &state, n);
        position += n;
    }
    static const char text[] = "the quick brown fox jumps over the lazy dog; ";
    while (position < workload->value_size) {
        size_t left = workload->value_size - position;
        size_t n = left < sizeof(text) - 1 ? left : sizeof(text) - 1;
        memcpy(record->value + position, text, n);
        position += n;
    }
    record->value_size = workload->value_size;
}

uint64_t bench_update_index(const struct bench_workload *workload, uint32_t round, uint64_t i)
{
    uint64_t random = mix(mix(workload->seed + round) + i);
    if (!workload->zipf)
        return random % workload->keys; /* of 64 bits: the bias is far below what counts here */
    /* Ranks need no scrambling: keys are in random order already. */
    double u = (double)(random >> 11) * 0x1p-53;
    double uz = u * workload->zeta;
    if (uz < 1)
        return 0;
    if (uz < 1 + pow(0.5, ZIPF_THETA))
        return 1;
    double rank =
        (double)workload->keys * pow(workload->eta * u - workload->eta + 1, 1 / (1 - ZIPF_THETA));
    return rank >= (double)workload->keys ? workload->keys - 1 : (uint64_t)rank;
}

void bench_shuffle(const struct bench_workload *workload, uint32_t round, size_t *ret, size_t n)
{
    uint64_t state = mix(workload->seed - round);
    for (size_t i = 0; i < n; i++) {
        state = mix(state);
        size_t j = state % (i + 1);
        ret[i] = ret[j];
        ret[j] = i;
    }
}

int bench_distinct_updates(const struct bench_workload *workload, uint32_t round, uint64_t *ret,
                           cairn_error **reterr)
{
    BENCH_AUTO_FREE uint8_t *seen = calloc(workload->keys / 8 + 1, 1);
    if (!seen)
        return bench_fail_nomem(reterr);
    uint64_t distinct = 0;
    for (uint64_t i = 0; i < workload->updates; i++) {
        uint64_t index = bench_update_index(workload, round, i);
        uint8_t bit = (uint8_t)(1u << (index % 8));
        distinct += !(seen[index / 8] & bit);
        seen[index / 8] |= bit;
    }
    *ret = distinct;
    return 0;
}

bool bench_value_is_genuine(const struct bench_workload *workload, const void *value,
                            size_t value_size, uint32_t max_version, struct bench_record *scratch,
                            uint64_t *ret_index)
{
    if (value_size != workload->value_size)
        return false;
    uint64_t index;
    uint32_t version;
    memcpy(&index, value, sizeof(index));
    memcpy(&version, (const uint8_t *)value + sizeof(index), sizeof(version));
    index = le64toh(index);
    version = le32toh(version);
    if (index >= workload->keys || version > max_version)
        return false;
    bench_record_fill(workload, index, version, scratch);
    *ret_index = index;
    return memcmp(scratch->value, value, value_size) == 0;
}
