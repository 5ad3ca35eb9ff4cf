/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pack as a whole, through this machine: for who copies a snapshot's objects from a store that
 * cannot copy them itself.
 *
 * All of the object comes in one piece, slices that nothing references any more as well, so that
 * the others keep their places. Those are verified (P8); of the dead bytes between them nothing is
 * known, and nobody will ever ask for them.
 */
#include "engine/restore/source.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define READ_BYTES ((size_t)256 << 10)

struct pack_sink {
    cairn_sink sink;
    const char *path;
    int fd;
    uint64_t end; /* of what has arrived */
};

static int take_bytes(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct pack_sink *sink = (struct pack_sink *)base;
    sink->end = offset + n;
    return crn_file_pwrite_all(sink->fd, data, n, offset, sink->path, reterr);
}

static int check_slice(const struct pack_sink *sink, const char *key, const cairn_file_info *info,
                       struct crn_digest *digest, uint8_t *buffer, cairn_error **reterr)
{
    crn_digest_reset(digest);
    for (uint64_t at = 0; at < info->size;) {
        size_t n = info->size - at < READ_BYTES ? (size_t)(info->size - at) : READ_BYTES;
        CRN_TRY(
            crn_file_pread_all(sink->fd, buffer, n, info->object_offset + at, sink->path, reterr));
        crn_digest_update(digest, buffer, n);
        at += n;
    }
    struct crn_hash128 hash = crn_digest_hash128(digest);
    bool is_right = (!info->has_xxh3 || memcmp(hash.bytes, info->xxh3, sizeof hash.bytes) == 0) &&
                    (!info->has_crc32c || crn_digest_crc32c(digest) == info->crc32c);
    return is_right ? 0
                    : crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                                   "object '%s' ('%s' at byte %llu) is damaged: its checksum is "
                                   "another than the manifest says",
                                   key, info->name, (unsigned long long)info->object_offset);
}

static int check_slices(const struct pack_sink *sink, const char *key,
                        const struct crn_pack_slice *slices, cairn_error **reterr)
{
    CRN_AUTO_FREE uint8_t *buffer = malloc(READ_BYTES);
    struct crn_digest *digest = crn_digest_new();
    int r = buffer == NULL || digest == NULL ? crn_err_nomem(reterr) : 0;
    for (; r == 0 && slices != NULL; slices = slices->next)
        r = check_slice(sink, key, &slices->file->info, digest, buffer, reterr);
    crn_digest_free(digest);
    return r;
}

int crn_pack_bring(cairn_store *store, const char *key, const struct crn_pack_slice *slices,
                   const char *path, cairn_error **reterr)
{
    uint64_t size = slices->file->info.object_size;
    CRN_AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return crn_err_os(reterr, errno, path, "create '%s'", path);
    struct pack_sink sink = {.sink.write = take_bytes, .path = path, .fd = fd};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = store->ops->get(store, key, 0, UINT64_MAX, &sink.sink, &error);
    if (r == CAIRN_ENOTFOUND)
        return crn_err_fail(reterr, CAIRN_EMISSING, key, "object '%s' is missing", key);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    if (sink.end != size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, key,
                            "object '%s' is damaged: its size is %llu bytes, the manifest says "
                            "%llu",
                            key, (unsigned long long)sink.end, (unsigned long long)size);
    return check_slices(&sink, key, slices, reterr);
}
