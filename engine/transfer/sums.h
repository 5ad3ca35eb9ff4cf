/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SUMS_H
#define CRN_ENGINE_SUMS_H

#include "base/hash.h"
#include "manifest/manifest.h"

/* The sums of a file's bytes as they come in, in order, and their comparison with the manifest's
 * (P8).
 *
 * Which ones are computed: XXH3-128 and crc32c in one pass when the manifest has XXH3; crc32c
 * alone, which costs less than half, when that is all that the manifest has (tables that were
 * linked into the store). */
struct crn_sums {
    struct crn_digest *digest; /* borrowed; NULL: crc32c alone */
    uint32_t crc32c;
    uint64_t size;
};
void crn_sums_start(struct crn_sums *sums, struct crn_digest *digest, const struct crn_file *file);
void crn_sums_add(struct crn_sums *sums, const void *data, size_t n);
/* 0 or CAIRN_ECORRUPT; key is the object's. */
int crn_sums_compare(const struct crn_sums *sums, const struct crn_file *file, const char *key,
                     cairn_error **reterr);
int crn_sums_fail_size(const struct crn_file *file, const char *key, uint64_t size,
                       cairn_error **reterr);

#endif
