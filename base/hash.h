/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_HASH_H
#define CRN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct crn_hash128 {
    uint8_t bytes[16]; /* XXH3-128 in its canonical (big-endian) form */
};

struct crn_hash128 crn_hash128_of(const void *data, size_t n);
uint64_t crn_hash64_of(const void *data, size_t n); /* XXH3-64, seed 0 */
uint64_t crn_hash64_seeded(const void *data, size_t n, uint64_t seed);
uint32_t crn_crc32c(uint32_t crc, const void *data, size_t n); /* start with crc = 0 */

/* Running digest of a stream: both sums in one pass over cache-warm chunks. */
struct crn_digest;
struct crn_digest *crn_digest_new(void); /* NULL: out of memory */
void crn_digest_free(struct crn_digest *digest);
void crn_digest_reset(struct crn_digest *digest);
void crn_digest_update(struct crn_digest *digest, const void *data, size_t n);
struct crn_hash128 crn_digest_hash128(const struct crn_digest *digest);
uint32_t crn_digest_crc32c(const struct crn_digest *digest);
uint64_t crn_digest_size(const struct crn_digest *digest);

void crn_hex(const void *data, size_t n, char *ret_text); /* 2n characters and a zero byte */

#endif
