/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be true of the output, the journal and the store of a job of several processes. */
#include "tests/support/cluster_run.h"

#include "cairn/inspect.h"
#include "cairn/store.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * Output
 * ------------------------------------------------------------------------------------------ */

static uint64_t read_lines(struct cluster *c, const char *path, uint8_t *seen)
{
    char line[64];
    uint64_t n = 0;
    uint32_t key, round;
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%" SCNu32 " %" SCNu32, &key, &round) != 2 || key >= CLUSTER_KEYS ||
            round < 1 || round > c->rounds)
            crash_fail(c->dir.path, "'%s' has '%s'", path, line);
        if (seen[key * CLUSTER_ROUNDS_MAX + round - 1]++ != 0)
            crash_fail(c->dir.path, "'%s' has '%" PRIu32 " %" PRIu32 "', which was there already",
                       path, key, round);
        n++;
    }
    fclose(file);
    return n;
}

uint64_t cluster_lines(struct cluster *c)
{
    char path[PATH_MAX];
    uint64_t n = 0;
    uint8_t *seen = calloc(CLUSTER_KEYS, CLUSTER_ROUNDS_MAX);
    ck_assert_ptr_nonnull(seen);
    int end = snprintf(path, sizeof path, "%s/output", c->dir.path);
    DIR *directory = opendir(path);
    ck_assert(directory != NULL || errno == ENOENT);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        (void)snprintf(path + end, sizeof path - (size_t)end, "/%s", entry->d_name);
        if (entry->d_name[0] != '.')
            n += read_lines(c, path, seen);
    }
    if (directory != NULL)
        (void)closedir(directory);
    free(seen);
    return n;
}

/* ------------------------------------------------------------------------------------------ *
 * The journal
 * ------------------------------------------------------------------------------------------ */

#define EPOCHS_MAX 512u
#define WORKERS_MAX 16u

/* What the workers of an epoch have restored. */
struct restored {
    uint32_t workers; /* 0: nobody has said anything */
    uint64_t id;
    int64_t total, sums[WORKERS_MAX];
    bool has[WORKERS_MAX];
    bool is_started; /* all of them were there */
};

struct story {
    struct cluster *cluster;
    struct restored epochs[EPOCHS_MAX];
    uint64_t newest[EPOCHS_MAX]; /* that came to be complete in it */
};

static void read_restored(struct story *story, const char *line)
{
    uint64_t epoch, id;
    uint32_t index, workers;
    int64_t sum, total;
    if (sscanf(line,
               "restored %" SCNu64 " %" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNd64 " %" SCNd64,
               &epoch, &index, &workers, &id, &sum, &total) != 6)
        return;
    ck_assert_uint_lt(epoch, EPOCHS_MAX);
    ck_assert_uint_lt(index, WORKERS_MAX);
    struct restored *r = &story->epochs[epoch];
    if (r->workers != 0 &&
        (r->id != id || r->total != total || (r->has[index] && r->sums[index] != sum)))
        crash_fail(story->cluster->dir.path, "epoch %" PRIu64 " has restored different things: %s",
                   epoch, line);
    r->workers = workers;
    r->id = id;
    r->total = total;
    r->sums[index] = sum;
    r->has[index] = true;
}

/* The barrier of what was restored was taken at this sum. */
static void check_barrier(struct story *story, const char *line)
{
    uint64_t id, epoch;
    uint32_t index;
    int64_t sum;
    if (sscanf(line, "barrier %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNd64, &id, &epoch, &index,
               &sum) != 4 ||
        id == 0 || id != story->newest[epoch])
        return;
    for (uint64_t later = epoch + 1; later < EPOCHS_MAX; later++) {
        const struct restored *r = &story->epochs[later];
        if (r->workers == story->epochs[epoch].workers && r->id == id && r->has[index] &&
            r->sums[index] != sum)
            crash_fail(story->cluster->dir.path,
                       "checkpoint %" PRIu64 " was taken in subtask %u at %" PRId64
                       ", and restored at %" PRId64,
                       id, (unsigned)index, sum, r->sums[index]);
    }
}

static void each_line(struct story *story, void (*fn)(struct story *story, const char *line))
{
    char path[PATH_MAX], line[320];
    (void)snprintf(path, sizeof path, "%s/journal", story->cluster->dir.path);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL)
        fn(story, line);
    fclose(file);
}

static void read_completed(struct story *story, const char *line)
{
    uint64_t id, epoch;
    if (sscanf(line, "complete %" SCNu64 " %" SCNu64, &id, &epoch) == 2) {
        ck_assert_uint_lt(epoch, EPOCHS_MAX);
        if (id > story->newest[epoch])
            story->newest[epoch] = id;
    }
    if (sscanf(line, "started %*d coordinator %*u %" SCNu64, &epoch) == 1)
        story->epochs[epoch].is_started = true;
}

void cluster_check_journal(struct cluster *c)
{
    static struct story story;
    uint64_t newest = 0;
    memset(&story, 0, sizeof story);
    story.cluster = c;
    each_line(&story, read_restored);
    each_line(&story, read_completed);
    each_line(&story, check_barrier);
    for (uint64_t epoch = 0; epoch < EPOCHS_MAX; epoch++) {
        const struct restored *r = &story.epochs[epoch];
        int64_t sum = 0;
        bool is_whole = r->workers > 0;
        for (uint32_t i = 0; i < r->workers; i++) {
            is_whole &= r->has[i];
            sum += r->sums[i];
        }
        if (r->is_started && !is_whole)
            crash_fail(c->dir.path, "epoch %" PRIu64 " has started without all of its workers",
                       epoch);
        if (is_whole && r->id > 0 && sum != r->total)
            crash_fail(c->dir.path, "epoch %" PRIu64 " restored %" PRId64 " of %" PRId64 " counts",
                       epoch, sum, r->total);
        if (r->workers > 0 && r->id < newest)
            crash_fail(c->dir.path,
                       "epoch %" PRIu64 " restored checkpoint %" PRIu64 ", but %" PRIu64
                       " of an earlier epoch came to be complete",
                       epoch, r->id, newest);
        if (story.newest[epoch] > 0) {
            ck_assert_uint_gt(story.newest[epoch], newest);
            newest = story.newest[epoch];
        }
    }
    ck_assert_uint_gt(newest, 0);
}

/* ------------------------------------------------------------------------------------------ *
 * The store
 * ------------------------------------------------------------------------------------------ */

static void must(struct cluster *c, int r, const char *what, cairn_error *error)
{
    if (r < 0)
        crash_fail(c->dir.path, "%s: %s: %s (object '%s')", what, cairn_error_name(r),
                   cairn_error_message(error), cairn_error_object(error));
}

/* @return its epoch */
static uint64_t check_log(struct cluster *c, cairn_store *store)
{
    uint64_t epoch = 0;
    cairn_log *log;
    cairn_error *error = NULL;
    must(c, cairn_log_open(store, CRASH_JOB, &log, &error), "log", error);
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *record = cairn_log_at(log, i);
        epoch = record->epoch;
        ck_assert_int_ne(record->state, CAIRN_STATE_UNREADABLE);
        if (i > 0) {
            ck_assert_uint_eq(record->id, cairn_log_at(log, i - 1)->id + 1);
            ck_assert_uint_ge(record->epoch, cairn_log_at(log, i - 1)->epoch);
        }
    }
    cairn_log_close(log);
    return epoch;
}

/* Posts of the epoch before are kept: its workers may not have read yet that it is over. */
struct boards {
    uint64_t epoch; /* of the log */
    uint64_t dead;
};

static int see_board(void *context, const char *key, const cairn_object_stat *stat)
{
    struct boards *boards = context;
    uint64_t epoch;
    (void)stat;
    ck_assert_int_eq(sscanf(key, CRASH_JOB "/cluster/e%" SCNu64, &epoch), 1);
    boards->dead += epoch + (strstr(key, "/post-") != NULL) < boards->epoch;
    return 0;
}

static unsigned temporaries;

static int count_temporary(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    temporaries += type == FTW_F && strncmp(path + ftw->base, ".cairn-tmp-", 11) == 0;
    return 0;
}

static unsigned count_temporaries(struct cluster *c, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", c->dir.path, name);
    temporaries = 0;
    (void)nftw(path, count_temporary, 16, FTW_PHYS);
    return temporaries;
}

void cluster_check_store(struct cluster *c)
{
    cairn_store *store;
    cairn_error *error = NULL;
    cairn_usage usage = CAIRN_USAGE_INIT;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    cairn_gc_report first = CAIRN_GC_REPORT_INIT, second = CAIRN_GC_REPORT_INIT;
    struct boards boards = {0};
    options.full = 1;
    must(c, cairn_store_open(c->store, &store, &error), "store", error);
    must(c, cairn_verify(store, CRASH_JOB, &options, &report, &error), "verify", error);
    boards.epoch = check_log(c, store);
    must(c, cairn_gc(store, CRASH_JOB, NULL, &first, &error), "gc", error);
    must(c, cairn_gc(store, CRASH_JOB, NULL, &second, &error), "gc", error);
    must(c, cairn_verify(store, CRASH_JOB, &options, &report, &error), "verify", error);
    must(c, cairn_job_usage(store, CRASH_JOB, &usage, &error), "usage", error);
    must(c, store->ops->list(store, CRASH_JOB "/cluster/", see_board, &boards, &error), "list",
         error);
    must(c, store->ops->reap(store, CRASH_JOB "/", 0, NULL, &error), "reap", error);
    cairn_store_close(store);
    if (report.checkpoints == 0 || second.removed_count > 0 || boards.dead > 0 ||
        usage.dead_count + usage.unresolved_count + usage.missing_count + usage.foreign_count > 0)
        crash_fail(c->dir.path,
                   "%" PRIu64 " checkpoints; %" PRIu64 " objects are dead, %" PRIu64
                   " unresolved, %" PRIu64 " missing, %" PRIu64
                   " foreign; a second collection removed %" PRIu64 "; %" PRIu64
                   " posts and mails of old epochs are left",
                   report.checkpoints, usage.dead_count, usage.unresolved_count,
                   usage.missing_count, usage.foreign_count, second.removed_count, boards.dead);
    if (count_temporaries(c, "store") + count_temporaries(c, "output") > 0)
        crash_fail(c->dir.path, "temporary files are left");
}
