/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stored canonical file, read in ranges where it lies. The bytes are not verified here: every
 * block of such a file carries its own checksum, which the reader compares, and which only blocks
 * of the file with the manifest's identity have (P8, canonical.h).
 *
 * Each read is a get of its own, from whatever thread; nothing is shared but what is constant. A
 * store that is away for a moment does not end a restore: such reads are tried again.
 */
#include "engine/transfer/object_input.h"

#include "base/thread.h"
#include "engine/log/joblog.h"

#include <string.h>

#define READ_TRIES 4u
#define READ_PAUSE_US 50000u

struct range_sink {
    cairn_sink sink;
    uint8_t *data;
    size_t size;
    uint64_t end; /* of what arrived */
};

static int take_bytes(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct range_sink *sink = (struct range_sink *)base;
    if (offset > sink->size || n > sink->size - offset)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL,
                            "the store gave more bytes than it was asked for");
    memcpy(sink->data + offset, data, n);
    sink->end = offset + n;
    return 0;
}

static int get_range(const struct crn_object_input *object, uint64_t offset, void *data, size_t n,
                     cairn_error **reterr)
{
    struct range_sink sink = {.sink.write = take_bytes, .data = data, .size = n};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(crn_downloads_begin(object->downloads, n, reterr));
    int r =
        object->store->ops->get(object->store, object->key,
                                object->file->info.object_offset + offset, n, &sink.sink, &error);
    crn_downloads_end(object->downloads);
    if (r == CAIRN_ENOTFOUND)
        return crn_err_fail(reterr, CAIRN_EMISSING, object->key, "object '%s' is missing",
                            object->key);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    return sink.end == n ? 0
                         : crn_err_fail(reterr, CAIRN_EINTERNAL, object->key,
                                        "the store gave %llu of %zu bytes of '%s'",
                                        (unsigned long long)sink.end, n, object->key);
}

static int read_object(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr)
{
    const struct crn_object_input *object = context;
    const struct crn_file *file = object->file;
    if (offset > file->info.size || n > file->info.size - offset)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object->key,
                            "object '%s' has %llu bytes, of which %zu at %llu are wanted",
                            object->key, (unsigned long long)file->info.size, n,
                            (unsigned long long)offset);
    if (n == 0)
        return 0;
    if (file->info.object == NULL) {
        memcpy(data, file->inlined + offset, n);
        return 0;
    }
    for (unsigned tries = 1;; tries++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = get_range(object, offset, data, n, &error);
        if (r == 0)
            return 0;
        if (tries == READ_TRIES || cairn_error_class_of(r) != CAIRN_CLASS_RETRY)
            return crn_err_move(reterr, &error, r);
        crn_sleep_us(crn_random_u64() % ((uint64_t)READ_PAUSE_US << tries));
    }
}

int crn_object_input_init(struct crn_object_input *object, cairn_store *store, const char *prefix,
                          const struct crn_file *file, cairn_error **reterr)
{
    char manifest[CRN_KEY_MAX];
    *object = (struct crn_object_input){.store = store, .file = file};
    crn_key_manifest(manifest, file->info.checkpoint_id);
    CRN_TRY(crn_joblog_key(prefix, file->info.object != NULL ? file->info.object : manifest,
                           &object->key, reterr));
    object->input = (struct crn_canonical_input){
        .object = object->key,
        .size = file->info.size,
        .read = read_object,
        .context = object,
        .identity = file->info.has_identity ? file->info.identity : NULL,
    };
    return 0;
}

void crn_object_input_done(struct crn_object_input *object)
{
    free(object->key);
    object->key = NULL;
}
