/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_INSPECT_STORE_TEST_H
#define CRN_INSPECT_STORE_TEST_H

#include "base/buffer.h"
#include "base/error.h"
#include "cairn/inspect.h"
#include "cairn/store.h"

/* A store that is tried, by store_test.c and store_race.c. */
struct crn_store_bench {
    cairn_store *store;
    char place[48]; /* "store-test-<random>/": every key begins with it */
    uint32_t writers, rounds;
    cairn_store *const *others; /* the same store, by other ways */
    size_t other_count;
};

/* Appends the place and a name; "" if there is no memory, which no store takes for a key. */
const char *crn_store_bench_key(const struct crn_store_bench *bench, struct cairn_buffer *key,
                                const char *format, ...) CRN_PRINTF(3, 4);
/* Of all writers one creates, in each round, and its bytes stay. */
int crn_store_race(struct crn_store_bench *bench, cairn_error **reterr);

#endif
