/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One large object by several threads: whoever is free takes the next range, and writes it into its
 * place in a file that has its full size from the start.
 *
 * The file's checksum is one over all bytes in order, so it is computed behind the downloads: as
 * soon as the next range in order is there, the thread that finds this reads it back, which is from
 * memory as long as it has just been written, and adds it. The last to add compares, and the file
 * gets its name (P8). The sum is of what is in the local file, not of what came over the network.
 *
 * Where files are kept for a next start, the file grows there, under its content's name and
 * ".part". Behind the data it then has the size of a range and a byte per range, which is 1 once
 * the range is written. A start that finds it takes these ranges as they are; a crash may have
 * lost some of their bytes, which the sum shows, and then all of them are fetched again. A lock on
 * the file keeps two threads from filling it at once: the second has a file of its own.
 *
 *   size bytes of data | 8 bytes: range size, little-endian | 1 byte per range
 *
 * Lock: one mutex per object, a leaf, for who does what; never held while bytes are moved.
 * @crash The ".part" file stays for the next start; another is in a directory that the caller
 * removes anyway.
 */
#include "engine/transfer/arrival.h"

#include "base/file.h"
#include "base/thread.h"
#include "engine/transfer/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RANGE_BYTES_MIN ((uint64_t)64 << 10)
#define RANGE_BYTES_MAX ((uint64_t)1 << 30)
#define RANGE_SIZE_FIELD 8u

struct crn_ranges {
    const struct crn_intake *intake;
    const struct crn_file *file;
    char *key, *path, *final_path;
    char *kept_path; /* NULL: it is not kept, path is a temporary file */
    int fd;
    bool is_published;
    uint64_t range_bytes;
    size_t count;
    struct crn_digest *digest;
    struct crn_sums sums; /* of the thread that adds to them */
    struct crn_mutex lock;
    /* Guarded by lock. */
    uint8_t *done;  /* per range */
    size_t next;    /* not looked at by take */
    size_t added;   /* to the sums */
    size_t resumed; /* ranges that were there already, and are not proved right yet */
    bool is_adding;
};

static size_t count_ranges(uint64_t size, uint64_t range_bytes)
{
    return (size_t)(size / range_bytes + (size % range_bytes != 0));
}

static uint64_t range_start(const struct crn_ranges *ranges, size_t range)
{
    return (uint64_t)range * ranges->range_bytes;
}

static uint64_t range_size(const struct crn_ranges *ranges, size_t range)
{
    uint64_t left = ranges->file->info.size - range_start(ranges, range);
    return left < ranges->range_bytes ? left : ranges->range_bytes;
}

static int tick(const struct crn_ranges *ranges, int64_t bytes, cairn_error **reterr)
{
    return ranges->intake->tick(ranges->intake->tick_context, bytes, reterr);
}

/* --- the file --- */

static void store_range_size(uint8_t field[RANGE_SIZE_FIELD], uint64_t value)
{
    for (size_t i = 0; i < RANGE_SIZE_FIELD; i++)
        field[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t load_range_size(const uint8_t field[RANGE_SIZE_FIELD])
{
    uint64_t value = 0;
    for (size_t i = 0; i < RANGE_SIZE_FIELD; i++)
        value |= (uint64_t)field[i] << 8 * i;
    return value;
}

static uint64_t marks_start(const struct crn_ranges *ranges)
{
    return ranges->file->info.size + RANGE_SIZE_FIELD;
}

/* Takes over what an earlier start has left, if it is such a file. The range size is as it was. */
static int resume(struct crn_ranges *ranges, uint64_t stored_size, bool *ret_resumed,
                  cairn_error **reterr)
{
    const uint64_t size = ranges->file->info.size;
    uint8_t field[RANGE_SIZE_FIELD];
    *ret_resumed = false;
    if (stored_size < marks_start(ranges))
        return 0;
    CRN_TRY(crn_file_pread_all(ranges->fd, field, sizeof field, size, ranges->path, reterr));
    uint64_t range_bytes = load_range_size(field);
    if (range_bytes < RANGE_BYTES_MIN || range_bytes > RANGE_BYTES_MAX ||
        stored_size - marks_start(ranges) != count_ranges(size, range_bytes))
        return 0;
    ranges->range_bytes = range_bytes;
    ranges->count = count_ranges(size, range_bytes);
    *ret_resumed = true;
    return 0;
}

/* Room for all of it, so that a full disk shows before the download. */
static int reserve(const struct crn_ranges *ranges, cairn_error **reterr)
{
    uint64_t size = ranges->file->info.size;
    if (ranges->kept_path != NULL)
        size = marks_start(ranges) + ranges->count;
    if (ftruncate(ranges->fd, 0) < 0 || ftruncate(ranges->fd, (off_t)size) < 0)
        return crn_err_os(reterr, errno, ranges->path, "resize '%s'", ranges->path);
    if (fallocate(ranges->fd, 0, 0, (off_t)size) < 0 && errno != EOPNOTSUPP && errno != EINTR)
        return crn_err_os(reterr, errno, ranges->path, "cannot reserve %" PRIu64 " bytes for '%s'",
                          size, ranges->path);
    if (ranges->kept_path == NULL)
        return 0;
    uint8_t field[RANGE_SIZE_FIELD];
    store_range_size(field, ranges->range_bytes);
    return crn_file_pwrite_all(ranges->fd, field, sizeof field, ranges->file->info.size,
                               ranges->path, reterr);
}

static int read_marks(struct crn_ranges *ranges, cairn_error **reterr)
{
    CRN_TRY(crn_file_pread_all(ranges->fd, ranges->done, ranges->count, marks_start(ranges),
                               ranges->path, reterr));
    for (size_t i = 0; i < ranges->count; i++) {
        ranges->done[i] = ranges->done[i] == 1;
        if (!ranges->done[i])
            continue;
        ranges->resumed++;
        CRN_TRY(tick(ranges, (int64_t)range_size(ranges, i), reterr));
    }
    return 0;
}

static bool is_at(int fd, const char *path, struct stat *ret_stat)
{
    struct stat named;
    return fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode) && lstat(path, &named) == 0 &&
           named.st_ino == ret_stat->st_ino && named.st_dev == ret_stat->st_dev;
}

/* 1: the kept file is open and ours alone; 0: somebody else fills it, or nothing can be kept. */
static int open_kept(struct crn_ranges *ranges, uint64_t *ret_size, cairn_error **reterr)
{
    const struct crn_intake *intake = ranges->intake;
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_FREE char *kept = NULL;
    struct stat stat;
    CRN_TRY(crn_kept_path(intake->kept, ranges->file, CRN_KEPT_PARTIAL, &path, reterr));
    CRN_TRY(crn_kept_path(intake->kept, ranges->file, "", &kept, reterr));
    if (path == NULL)
        return 0;
    CRN_TRY(crn_file_make_dirs(intake->kept, reterr));
    CRN_AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_at(fd, path, &stat))
        return 0;
    *ret_size = (uint64_t)stat.st_size;
    ranges->path = CRN_TAKE(path);
    ranges->kept_path = CRN_TAKE(kept);
    ranges->fd = fd;
    fd = -1;
    return 1;
}

static int open_temporary(struct crn_ranges *ranges, size_t ordinal, cairn_error **reterr)
{
    CRN_TRY(crn_str_printf(&ranges->path, reterr, "%s/.cairn-tmp-%zu", ranges->intake->directory,
                           ordinal));
    ranges->fd = open(ranges->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    return ranges->fd >= 0 ? 0
                           : crn_err_os(reterr, errno, ranges->path, "create '%s'", ranges->path);
}

static int open_file(struct crn_ranges *ranges, size_t ordinal, cairn_error **reterr)
{
    uint64_t stored_size = 0;
    bool resumed = false;
    int r = open_kept(ranges, &stored_size, reterr);
    if (r == 0)
        r = open_temporary(ranges, ordinal, reterr);
    else if (r == 1)
        r = resume(ranges, stored_size, &resumed, reterr);
    CRN_TRY(r);
    ranges->done = calloc(ranges->count, 1);
    if (ranges->done == NULL)
        return crn_err_nomem(reterr);
    return resumed ? read_marks(ranges, reterr) : reserve(ranges, reterr);
}

/* The kept name and the wanted one are both the file's; without links it has the wanted one only.
 */
static int name_kept(const struct crn_ranges *ranges, cairn_error **reterr)
{
    if (ftruncate(ranges->fd, (off_t)ranges->file->info.size) < 0 ||
        rename(ranges->path, ranges->kept_path) < 0)
        return crn_err_os(reterr, errno, ranges->kept_path, "rename to '%s'", ranges->kept_path);
    if (link(ranges->kept_path, ranges->final_path) < 0 &&
        rename(ranges->kept_path, ranges->final_path) < 0)
        return crn_err_os(reterr, errno, ranges->final_path, "link '%s' to '%s'", ranges->kept_path,
                          ranges->final_path);
    return 0;
}

static int publish(struct crn_ranges *ranges, cairn_error **reterr)
{
    if (ranges->intake->sync && fdatasync(ranges->fd) < 0)
        return crn_err_os(reterr, errno, ranges->path, "sync '%s'", ranges->path);
    if (ranges->kept_path != NULL)
        CRN_TRY(name_kept(ranges, reterr));
    else if (rename(ranges->path, ranges->final_path) < 0)
        return crn_err_os(reterr, errno, ranges->final_path, "rename to '%s'", ranges->final_path);
    ranges->is_published = true;
    return 0;
}

/* --- beginning --- */

/* The size is looked at first: nothing is reserved for what a manifest only says. */
static int check_stored_size(const struct crn_arrival *arrival, cairn_error **reterr)
{
    cairn_store *store = arrival->intake->store;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    int r = store->ops->stat(store, arrival->key, &stat, &error);
    if (r == CAIRN_ENOTFOUND)
        return crn_arrival_fail_missing(arrival, reterr);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    return stat.size == crn_file_object_size(arrival->file)
               ? 0
               : crn_sums_fail_size(arrival->file, arrival->key, stat.size, reterr);
}

static int begin(struct crn_ranges *ranges, size_t ordinal, cairn_error **reterr)
{
    ranges->digest = crn_digest_new();
    if (ranges->digest == NULL)
        return crn_err_nomem(reterr);
    crn_sums_start(&ranges->sums, ranges->digest, ranges->file);
    return open_file(ranges, ordinal, reterr);
}

int crn_ranges_begin(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                     const struct crn_file *file, uint64_t range_bytes, size_t ordinal,
                     struct crn_ranges **ret, cairn_error **reterr)
{
    CRN_CLEANUP(crn_arrival_done) struct crn_arrival arrival;
    CRN_TRY(crn_arrival_init(&arrival, intake, scratch, file, ordinal, NULL, reterr));
    *ret = NULL;
    int r = crn_arrival_find(&arrival, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    CRN_TRY(check_stored_size(&arrival, reterr));
    struct crn_ranges *ranges = calloc(1, sizeof *ranges);
    if (ranges == NULL)
        return crn_err_nomem(reterr);
    *ranges = (struct crn_ranges){.intake = intake,
                                  .file = file,
                                  .fd = -1,
                                  .range_bytes = range_bytes,
                                  .count = count_ranges(file->info.size, range_bytes)};
    ranges->key = CRN_TAKE(arrival.key);
    ranges->final_path = CRN_TAKE(arrival.final_path);
    crn_mutex_init(&ranges->lock, CRN_RANK_LEAF);
    r = begin(ranges, ordinal, reterr);
    if (r < 0)
        crn_ranges_free(ranges);
    else
        *ret = ranges;
    return r;
}

void crn_ranges_free(struct crn_ranges *ranges)
{
    if (ranges == NULL)
        return;
    crn_cleanup_fd(&ranges->fd); /* only now another thread may take a kept file up */
    if (ranges->path != NULL && ranges->kept_path == NULL && !ranges->is_published)
        (void)unlink(ranges->path); /* the caller removes the whole directory anyway */
    crn_mutex_done(&ranges->lock);
    crn_digest_free(ranges->digest);
    free(ranges->done);
    free(ranges->key);
    free(ranges->path);
    free(ranges->final_path);
    free(ranges->kept_path);
    free(ranges);
}

/* --- ranges --- */

bool crn_ranges_take(struct crn_ranges *ranges, size_t *ret_range)
{
    crn_mutex_lock(&ranges->lock);
    while (ranges->next < ranges->count && ranges->done[ranges->next])
        ranges->next++;
    bool is_one = ranges->next < ranges->count;
    *ret_range = ranges->next;
    ranges->next += is_one;
    crn_mutex_unlock(&ranges->lock);
    return is_one;
}

struct range_sink {
    struct crn_intake_sink sink;
    struct crn_ranges *ranges;
    uint64_t start, size, got;
};

static int restart(struct crn_intake_sink *base, cairn_error **reterr)
{
    struct range_sink *sink = (struct range_sink *)base;
    uint64_t got = sink->got;
    sink->got = 0;
    return got > 0 ? tick(sink->ranges, -(int64_t)got, reterr) : 0;
}

static int sink_write(cairn_sink *base, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct range_sink *sink = (struct range_sink *)base;
    const struct crn_ranges *ranges = sink->ranges;
    if (offset == 0)
        CRN_TRY(restart(&sink->sink, reterr));
    if (offset != sink->got || n > sink->size - sink->got)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, ranges->key,
                            "object '%s': the store gave %zu bytes at %" PRIu64 " of a range, of "
                            "which %" PRIu64 " of %" PRIu64 " were there",
                            ranges->key, n, offset, sink->got, sink->size);
    CRN_TRY(crn_file_pwrite_all(ranges->fd, data, n, sink->start + offset, ranges->path, reterr));
    sink->got += n;
    return tick(ranges, (int64_t)n, reterr);
}

static int fetch_range(struct crn_ranges *ranges, size_t range, cairn_error **reterr)
{
    static const uint8_t mark = 1;
    struct range_sink sink = {.sink = {.sink.write = sink_write, .restart = restart},
                              .ranges = ranges,
                              .start = range_start(ranges, range),
                              .size = range_size(ranges, range)};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r =
        crn_intake_get(ranges->intake, ranges->key, ranges->file->info.object_offset + sink.start,
                       sink.size, sink.size, &sink.sink, &error);
    if (r == 0 && sink.got != sink.size)
        r = crn_err_fail(&error, CAIRN_EINTERNAL, ranges->key,
                         "the store gave less of '%s' than it was asked for", ranges->key);
    if (r == CAIRN_ENOTFOUND)
        return crn_err_fail(reterr, CAIRN_EMISSING, ranges->key,
                            "object '%s' ('%s') has been removed meanwhile", ranges->key,
                            ranges->file->info.name);
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    if (ranges->kept_path != NULL)
        CRN_TRY(crn_file_pwrite_all(ranges->fd, &mark, 1, marks_start(ranges) + range, ranges->path,
                                    reterr));
    crn_mutex_lock(&ranges->lock);
    ranges->done[range] = 1;
    crn_mutex_unlock(&ranges->lock);
    return 0;
}

/* --- the sum --- */

static int add_range(struct crn_ranges *ranges, const struct crn_intake_scratch *scratch,
                     size_t range, cairn_error **reterr)
{
    uint64_t at = range_start(ranges, range), end = at + range_size(ranges, range);
    while (at < end) {
        size_t n =
            end - at < CRN_INTAKE_BUFFER_BYTES ? (size_t)(end - at) : CRN_INTAKE_BUFFER_BYTES;
        CRN_TRY(crn_file_pread_all(ranges->fd, scratch->buffer, n, at, ranges->path, reterr));
        crn_sums_add(&ranges->sums, scratch->buffer, n);
        at += n;
    }
    return 0;
}

/* What an earlier start wrote is not what it was: all of it comes again. */
static int begin_again(struct crn_ranges *ranges, cairn_error **reterr)
{
    crn_sums_start(&ranges->sums, ranges->digest, ranges->file);
    CRN_TRY(reserve(ranges, reterr));
    CRN_TRY(tick(ranges, -(int64_t)ranges->file->info.size, reterr));
    crn_mutex_lock(&ranges->lock);
    memset(ranges->done, 0, ranges->count);
    ranges->next = ranges->added = ranges->resumed = 0;
    ranges->is_adding = false;
    crn_mutex_unlock(&ranges->lock);
    return 0;
}

/* All is there and added. The caller is still the one that adds. */
static int finish(struct crn_ranges *ranges, enum crn_ranges_state *ret_state, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = crn_sums_compare(&ranges->sums, ranges->file, ranges->key, &error);
    if (r < 0 && ranges->resumed > 0) {
        *ret_state = CRN_RANGES_BEGIN_AGAIN;
        return begin_again(ranges, reterr);
    }
    if (r < 0 && ranges->kept_path != NULL)
        (void)unlink(ranges->path); /* the store's bytes are wrong: they need not be kept */
    if (r < 0)
        return crn_err_move(reterr, &error, r);
    *ret_state = CRN_RANGES_FINISHED;
    return publish(ranges, reterr);
}

/* The next range to add, by the thread that adds; false: it has to come yet. */
static bool next_to_add(struct crn_ranges *ranges, bool *ret_all)
{
    crn_mutex_lock(&ranges->lock);
    *ret_all = ranges->added == ranges->count;
    bool is_there = !*ret_all && ranges->done[ranges->added];
    ranges->is_adding = is_there || *ret_all;
    crn_mutex_unlock(&ranges->lock);
    return is_there;
}

int crn_ranges_advance(struct crn_ranges *ranges, const struct crn_intake_scratch *scratch,
                       enum crn_ranges_state *ret_state, cairn_error **reterr)
{
    bool all = false;
    *ret_state = CRN_RANGES_GO_ON;
    crn_mutex_lock(&ranges->lock);
    bool is_mine = !ranges->is_adding;
    ranges->is_adding = true;
    crn_mutex_unlock(&ranges->lock);
    if (!is_mine)
        return 0;
    while (next_to_add(ranges, &all)) {
        CRN_TRY(add_range(ranges, scratch, ranges->added, reterr));
        crn_mutex_lock(&ranges->lock);
        ranges->added++;
        crn_mutex_unlock(&ranges->lock);
    }
    return all ? finish(ranges, ret_state, reterr) : 0;
}

int crn_ranges_fetch(struct crn_ranges *ranges, const struct crn_intake_scratch *scratch,
                     size_t range, enum crn_ranges_state *ret_state, cairn_error **reterr)
{
    *ret_state = CRN_RANGES_GO_ON;
    CRN_TRY(fetch_range(ranges, range, reterr));
    return crn_ranges_advance(ranges, scratch, ret_state, reterr);
}
