/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_WORKLOAD_H
#define CAIRN_BENCH_WORKLOAD_H

#include "tools/bench/bench.h"

#define BENCH_KEY_SIZE 16
#define BENCH_KEY_GROUPS 128 /* what Cairn takes for up to 85 subtasks */
/* What Cairn makes of such a key: key group, length, key, length of the empty namespace. */
#define BENCH_RAW_KEY_SIZE (1 + 1 + BENCH_KEY_SIZE + 1)

struct bench_workload {
    uint64_t seed;
    uint64_t keys;
    uint64_t updates; /* per round */
    uint32_t value_size;
    bool zipf;
    double zeta, eta; /* of the zipf distribution; see workload.c */
};

struct bench_record {
    uint8_t key[BENCH_KEY_SIZE];
    uint8_t raw_key[BENCH_RAW_KEY_SIZE];
    uint8_t *value; /* value_size bytes, the caller's */
    size_t value_size;
};

void bench_workload_init(struct bench_workload *workload, const struct bench_options *options);
/* Key and value of an index; version 0 is the load, version r what round r writes. */
void bench_record_fill(const struct bench_workload *workload, uint64_t index, uint32_t version,
                       struct bench_record *record);
void bench_record_fill_key(const struct bench_workload *workload, uint64_t index,
                           struct bench_record *record);
/* Index that update number i of a round hits. Pure: every method sees the same. */
uint64_t bench_update_index(const struct bench_workload *workload, uint32_t round, uint64_t i);
/* A permutation of 0 .. n - 1, another one for each round. */
void bench_shuffle(const struct bench_workload *workload, uint32_t round, size_t *ret, size_t n);
/* Distinct keys that a round updates. */
int bench_distinct_updates(const struct bench_workload *workload, uint32_t round, uint64_t *ret,
                           cairn_error **reterr);
/* Is this value one that the workload wrote, with a version up to max_version? *ret_index tells
 * under which key, and `scratch` (a record with room for a value) holds that key. */
bool bench_value_is_genuine(const struct bench_workload *workload, const void *value,
                            size_t value_size, uint32_t max_version, struct bench_record *scratch,
                            uint64_t *ret_index);

#endif
