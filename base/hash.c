/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checksums (P8): XXH3 for what Cairn writes itself, crc32c because RocksDB recorded it for its
 * tables when it wrote them, so that damage between its write and our copy is found.
 *
 * Where xxHash can choose its code by the processor, it does so through functions of their own,
 * which the header puts in place of the plain ones: with AVX2 a sum is five times as fast.
 *
 * crc32c comes from ISA-L, which uses the processor's instructions but leaves both inversions to
 * the caller, takes an int length and, in its prototype, a pointer that is not const. It only
 * reads.
 */

#include "base/hash.h"

#include <isa-l/crc.h>
#include <stdlib.h>
#ifdef CRN_HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

/* Both sums of a digest are taken over a piece before the next is looked at: it fits the L2 cache.
 */
#define DIGEST_PIECE_BYTES ((size_t)64 * 1024)
#define CRC_PIECE_BYTES ((size_t)1 << 30)

_Static_assert(sizeof(XXH128_canonical_t) == sizeof(struct crn_hash128), "canonical form");

static struct crn_hash128 canonical(XXH128_hash_t hash)
{
    XXH128_canonical_t form;
    XXH128_canonicalFromHash(&form, hash);
    struct crn_hash128 result;
    for (size_t i = 0; i < sizeof(result.bytes); i++)
        result.bytes[i] = form.digest[i];
    return result;
}

struct crn_hash128 crn_hash128_of(const void *data, size_t n)
{
    return canonical(XXH3_128bits(data, n));
}

uint64_t crn_hash64_of(const void *data, size_t n)
{
    return XXH3_64bits(data, n);
}

uint64_t crn_hash64_seeded(const void *data, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, n, seed);
}

uint32_t crn_crc32c(uint32_t crc, const void *data, size_t n)
{
    uintptr_t at = (uintptr_t)data;
    crc = ~crc;
    while (n > 0) {
        size_t piece = n < CRC_PIECE_BYTES ? n : CRC_PIECE_BYTES;
        crc = crc32_iscsi((unsigned char *)at, (int)piece, crc);
        at += piece;
        n -= piece;
    }
    return ~crc;
}

struct crn_digest {
    XXH3_state_t *xxh3;
    uint32_t crc;
    uint64_t size;
};

struct crn_digest *crn_digest_new(void)
{
    struct crn_digest *digest = calloc(1, sizeof(*digest));
    if (digest == NULL)
        return NULL;
    digest->xxh3 = XXH3_createState();
    if (digest->xxh3 == NULL) {
        free(digest);
        return NULL;
    }
    crn_digest_reset(digest);
    return digest;
}

void crn_digest_free(struct crn_digest *digest)
{
    if (digest == NULL)
        return;
    (void)XXH3_freeState(digest->xxh3); /* always XXH_OK */
    free(digest);
}

void crn_digest_reset(struct crn_digest *digest)
{
    (void)XXH3_128bits_reset(digest->xxh3); /* fails for a NULL state only; so does update */
    digest->crc = 0;
    digest->size = 0;
}

void crn_digest_update(struct crn_digest *digest, const void *data, size_t n)
{
    const uint8_t *at = data;
    digest->size += n;
    while (n > 0) {
        size_t piece = n < DIGEST_PIECE_BYTES ? n : DIGEST_PIECE_BYTES;
        (void)XXH3_128bits_update(digest->xxh3, at, piece);
        digest->crc = crn_crc32c(digest->crc, at, piece);
        at += piece;
        n -= piece;
    }
}

struct crn_hash128 crn_digest_hash128(const struct crn_digest *digest)
{
    return canonical(XXH3_128bits_digest(digest->xxh3));
}

uint32_t crn_digest_crc32c(const struct crn_digest *digest)
{
    return digest->crc;
}

uint64_t crn_digest_size(const struct crn_digest *digest)
{
    return digest->size;
}

void crn_hex(const void *data, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * n] = 0;
}
