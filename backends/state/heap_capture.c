/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap backend's barrier and capture.
 *
 * The barrier is a snapshot, so it is exact (P2) and takes as long as a new reference to each state
 * (P3); writers are never held back. The capture writes the snapshot out as canonical files, each
 * of a range of key groups, several when there is much, so that they are uploaded in parallel.
 *
 * A crash leaves a directory of files, which the next open of the job removes with the rest.
 */
#include "backends/state/canonical.h"
#include "backends/state/heap_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 16u

int crn_heap_barrier(struct crn_state_db *base, struct crn_barrier *ret, cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    struct crn_state_snapshot *snapshot;
    CRN_TRY(crn_heap_snapshot(base, &snapshot, reterr));
    crn_mutex_lock(&db->mutex);
    db->barrier = snapshot;
    crn_mutex_unlock(&db->mutex);
    ret->sequence = db->sequence;
    return 0;
}

void crn_heap_release(struct crn_state_db *base)
{
    struct crn_heap *db = crn_heap_of(base);
    crn_mutex_lock(&db->mutex);
    struct crn_state_snapshot *snapshot = CRN_TAKE(db->barrier);
    crn_mutex_unlock(&db->mutex);
    crn_heap_release_snapshot(snapshot);
}

/* One file into the directory. */
static int write_file(const struct crn_canonical_dump *common, const char *directory,
                      uint32_t first, uint32_t last, struct crn_capture *capture,
                      cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    struct crn_canonical_dump dump = *common;
    struct crn_canonical_summary summary;
    cairn_file_info *info = &capture->files[capture->count++].info;
    char name[64];

    (void)snprintf(name, sizeof(name), "canonical-%" PRIu32 "-%" PRIu32, first, last);
    CRN_TRY(crn_str_printf(&path, reterr, "%s/%s", directory, name));
    dump.path = path;
    dump.header.key_group_first = first;
    dump.header.key_group_last = last;
    CRN_TRY(crn_canonical_write(&dump, &summary, reterr));
    *info = (cairn_file_info){.role = CAIRN_FILE_CANONICAL,
                              .name = strdup(name),
                              .size = summary.size,
                              .has_xxh3 = 1,
                              .has_crc32c = 1,
                              .crc32c = summary.crc32c,
                              .key_group_first = first,
                              .key_group_last = last,
                              .entry_count = summary.entry_count,
                              .has_identity = 1};
    memcpy(info->xxh3, summary.xxh3.bytes, sizeof(info->xxh3));
    memcpy(info->identity, summary.identity, sizeof(info->identity));
    return info->name ? 0 : crn_err_nomem(reterr);
}

static int write_files(struct crn_heap *db, struct crn_state_snapshot *snapshot,
                       const char *directory, const atomic_bool *cancelled,
                       struct crn_capture *capture, cairn_error **reterr)
{
    uint64_t groups = db->key_group_last - db->key_group_first + 1u;
    uint64_t files = snapshot->bytes / db->file_bytes + 1;
    files = files < FILES_MAX ? files : FILES_MAX;
    files = files < groups ? files : groups;
    if (snapshot->count == 0)
        files = 0; /* nothing to keep */

    CRN_AUTO_FREE const char **names = calloc(snapshot->count + 1, sizeof(*names));
    capture->files = calloc(files + 1, sizeof(*capture->files));
    if (!names || !capture->files)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < snapshot->count; i++)
        names[i] = snapshot->states[i].state->name;
    struct crn_canonical_dump dump = {
        .db = &db->base,
        .snapshot = snapshot,
        .header = {.max_parallelism = db->max_parallelism,
                   .states = names,
                   .state_count = snapshot->count},
        .cancelled = cancelled,
    };
    for (uint64_t i = 0; i < files; i++)
        CRN_TRY(write_file(&dump, directory, db->key_group_first + (uint32_t)(groups * i / files),
                           db->key_group_first + (uint32_t)(groups * (i + 1) / files) - 1, capture,
                           reterr));
    return 0;
}

int crn_heap_capture(struct crn_state_db *base, const struct crn_barrier *barrier,
                     const char *directory, const atomic_bool *cancelled, struct crn_capture *ret,
                     cairn_error **reterr)
{
    struct crn_heap *db = crn_heap_of(base);
    struct crn_capture capture = {0};
    uint64_t begun_us = crn_now_us();
    (void)barrier; /* it is the snapshot */

    crn_mutex_lock(&db->mutex);
    struct crn_state_snapshot *snapshot = db->barrier; /* until release() */
    crn_mutex_unlock(&db->mutex);
    if (mkdir(directory, 0777) != 0)
        return crn_err_os(reterr, errno, directory, "capture directory '%s'", directory);
    int r = write_files(db, snapshot, directory, cancelled, &capture, reterr);
    if (r < 0) {
        crn_capture_done(&capture);
        return r;
    }
    capture.capture_us = crn_now_us() - begun_us;
    *ret = capture;
    return 0;
}
