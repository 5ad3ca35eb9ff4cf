/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of a file's bytes, and what is said when they are not the manifest's: sums.h. Pure. */
#include "engine/transfer/sums.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void crn_sums_start(struct crn_sums *sums, struct crn_digest *digest, const struct crn_file *file)
{
    *sums = (struct crn_sums){.digest = file->info.has_xxh3 ? digest : NULL};
    if (sums->digest != NULL)
        crn_digest_reset(sums->digest);
}

void crn_sums_add(struct crn_sums *sums, const void *data, size_t n)
{
    sums->size += n;
    if (sums->digest != NULL)
        crn_digest_update(sums->digest, data, n);
    else
        sums->crc32c = crn_crc32c(sums->crc32c, data, n);
}

int crn_sums_fail_size(const struct crn_file *file, const char *key, uint64_t size,
                       cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                        "object '%s' ('%s') is damaged: its size is %" PRIu64
                        " bytes, the manifest says %" PRIu64,
                        key, file->info.name, size,
                        crn_file_is_slice(file) ? file->info.object_size : file->info.size);
}

int crn_sums_compare(const struct crn_sums *sums, const struct crn_file *file, const char *key,
                     cairn_error **reterr)
{
    const cairn_file_info *info = &file->info;
    if (sums->size != info->size)
        return crn_sums_fail_size(file, key, sums->size, reterr);
    if (sums->digest != NULL) {
        struct crn_hash128 hash = crn_digest_hash128(sums->digest);
        if (memcmp(hash.bytes, info->xxh3, sizeof hash.bytes) != 0) {
            char found[33], expected[33];
            crn_hex(hash.bytes, sizeof hash.bytes, found);
            crn_hex(info->xxh3, sizeof info->xxh3, expected);
            return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                                "object '%s' ('%s') is damaged: its xxh3 is %s, the manifest says "
                                "%s",
                                key, info->name, found, expected);
        }
    }
    uint32_t crc = sums->digest != NULL ? crn_digest_crc32c(sums->digest) : sums->crc32c;
    if (info->has_crc32c && crc != info->crc32c)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "object '%s' ('%s') is damaged: its crc32c is %08" PRIx32
                            ", the manifest says %08" PRIx32,
                            key, info->name, crc, info->crc32c);
    if (!info->has_xxh3 && !info->has_crc32c)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "object '%s' ('%s') cannot be verified: the manifest has no checksum",
                            key, info->name);
    return 0;
}
