/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_WRITTEN_H
#define CRN_TESTS_WRITTEN_H

#include "cairn/writer.h"

/* Savepoints with keyed state of which a test knows what they have in common. Failures end the
 * test. */
struct crn_test_shape {
    uint32_t parallelism; /* of "a"; 0: 1. "b" has 1 */
    cairn_savepoint_format format;
    int64_t first, end;  /* keys first..end-1 */
    int64_t shift;       /* 0, or every 7th key has other values */
    const char *only_op; /* NULL: operators "a" and "b"; else only this one */
};
/* Each operator has keys of type int64, 128 key groups, and the states "list" (strings, with
 * expiry), "map" (string to int64) and "value" (int64); "a" has an operator list, too. The
 * savepoint is `name` in the store. */
void crn_test_write(cairn_store *store, const char *name, const char *scratch,
                    const struct crn_test_shape *shape);

#endif
