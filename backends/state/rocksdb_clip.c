/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a database has beyond its key groups: hiding it at once, removing it in the background.
 *
 * A database that was put together of stored tables (rocksdb_assemble.c) holds what other subtasks
 * own now. clip() removes tables that hold nothing else, and puts a range tombstone over the rest,
 * as tight as what it hides. It is called before anything else happens to the database.
 *
 * That leaves tables that reach beyond the key groups, and such a table cannot be taken as a file
 * when subtasks are merged. So the ranges beyond are compacted, until no table reaches there. When:
 * after the first checkpoint. RocksDB flushes memtables that overlap with a range that is to be
 * compacted, and a flush at a moment of its own choice would get between a barrier and its capture
 * (P2). By then the tombstones are in files; later writes are all within the key groups; so there
 * is nothing to flush. It also makes that checkpoint an increment of mere links, and what
 * compactions write is uploaded with the next one. A database that is opened with such tables goes
 * on with it.
 *
 * The compactions run in a thread of their own beside RocksDB's, one state after the other. Nobody
 * waits for them but close, which breaks them off. If snapshots or failures leave something, the
 * next releases try again, a few times: it costs space, and a slower merge, but nothing else
 * depends on it.
 *
 * Threads: clip() comes before the first barrier, releases follow one another, close is last. So
 * the cleaner's fields need no lock, only to know whether its thread is done.
 */
#include "backends/state/rocksdb_internal.h"

#include <inttypes.h>
#include <string.h>

#define ATTEMPTS_MAX 4u /* by as many releases */
#define ROUNDS_MAX 4u   /* of each */
#define ROUND_US 50000u

/* Behind all composite keys. */
static const char BEHIND_ALL[] = "\xff\xff\xff";

struct crn_rocksdb_cleaner {
    struct crn_rocksdb *db;
    struct cairn_buffer first, end; /* of what is kept; empty: no bound */
    uint64_t after_sequence;        /* the last tombstone */
    pthread_t thread;
    bool has_thread;
    /* the thread's while it runs */
    struct crn_state **states; /* a copy: the writer may add some meanwhile */
    size_t state_count;
    unsigned int attempts_left;
    /* atomic */
    atomic_bool is_running, stop;
};

/* ---- hiding ---- */

struct foreign {
    struct cairn_buffer first, end; /* keys from first on that are below end */
};

static void foreign_done(struct foreign *foreign)
{
    crn_buf_done(&foreign->first);
    crn_buf_done(&foreign->end);
}

static int compare(const char *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int order = common > 0 ? memcmp(a, b, common) : 0;
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int copy_key(const rocksdb_iterator_t *it, struct cairn_buffer *out)
{
    size_t size;
    const char *key = rocksdb_iter_key(it, &size);
    crn_buf_clear(out);
    return crn_buf_append(out, key, size);
}

/* The last key, and a zero byte: the next one that there can be. */
static int copy_successor(const rocksdb_iterator_t *it, struct cairn_buffer *out)
{
    CRN_TRY(copy_key(it, out));
    return crn_buf_append_u8(out, 0);
}

/* 1: there are keys below what is kept. */
static int seek_below(rocksdb_iterator_t *it, const struct crn_state_range *keep,
                      struct foreign *ret)
{
    size_t size;
    rocksdb_iter_seek_to_first(it);
    if (keep->first_size == 0 || !rocksdb_iter_valid(it))
        return 0;
    const char *key = rocksdb_iter_key(it, &size);
    if (compare(key, size, keep->first, keep->first_size) >= 0)
        return 0;
    CRN_TRY(copy_key(it, &ret->first));
    rocksdb_iter_seek_for_prev(it, (const char *)keep->first, keep->first_size);
    key = rocksdb_iter_key(it, &size);
    if (compare(key, size, keep->first, keep->first_size) == 0)
        rocksdb_iter_prev(it);
    CRN_TRY(rocksdb_iter_valid(it) ? copy_successor(it, &ret->end) : 0);
    return rocksdb_iter_valid(it);
}

/* 1: there are keys behind what is kept. */
static int seek_behind(rocksdb_iterator_t *it, const struct crn_state_range *keep,
                       struct foreign *ret)
{
    if (keep->end_size == 0)
        return 0;
    rocksdb_iter_seek(it, (const char *)keep->end, keep->end_size);
    if (!rocksdb_iter_valid(it))
        return 0;
    CRN_TRY(copy_key(it, &ret->first));
    rocksdb_iter_seek_to_last(it);
    CRN_TRY(rocksdb_iter_valid(it) ? copy_successor(it, &ret->end) : 0);
    return rocksdb_iter_valid(it);
}

typedef int (*seek_fn)(rocksdb_iterator_t *it, const struct crn_state_range *keep,
                       struct foreign *ret);

/* 1: there are keys on that side, and which. */
static int find_foreign(struct crn_rocksdb *db, struct crn_state *state, seek_fn seek,
                        const struct crn_state_range *keep, struct foreign *ret,
                        cairn_error **reterr)
{
    char *message = NULL;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(options, 1);
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(db->db, options, state->family);
    int r = seek(it, keep, ret);
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    if (message)
        return crn_rocksdb_fail(reterr, message, db->directory, state->name, "read");
    return r < 0 ? crn_err_nomem(reterr) : r;
}

/* Tables of level 1 and deeper with no key of the kept ones. A table that is older may show up in
 * their place, with keys between the same bounds. */
static int drop_tables(struct crn_rocksdb *db, struct crn_state *state,
                       const struct foreign *foreign, cairn_error **reterr)
{
    char *message = NULL;
    /* RocksDB's end is inclusive: the last key, without what makes it the next one. */
    rocksdb_delete_file_in_range_cf(db->db, state->family, (const char *)foreign->first.data,
                                    foreign->first.size, (const char *)foreign->end.data,
                                    foreign->end.size - 1, &message);
    return message ? crn_rocksdb_fail(reterr, message, db->directory, state->name, "removal") : 0;
}

static int hide(struct crn_rocksdb *db, struct crn_state *state, const struct foreign *foreign,
                cairn_error **reterr)
{
    char *message = NULL;
    crn_rocksdb_pace(db, state, foreign->first.size + foreign->end.size);
    rocksdb_delete_range_cf(db->db, db->write_options, state->family,
                            (const char *)foreign->first.data, foreign->first.size,
                            (const char *)foreign->end.data, foreign->end.size, &message);
    return message ? crn_rocksdb_fail(reterr, message, db->directory, state->name, "write") : 0;
}

static int clip_side(struct crn_rocksdb *db, struct crn_state *state, seek_fn seek,
                     const struct crn_state_range *keep, cairn_error **reterr)
{
    CRN_CLEANUP(foreign_done) struct foreign foreign = {0};
    int r = find_foreign(db, state, seek, keep, &foreign, reterr);
    if (r <= 0)
        return r;
    if (!atomic_load(&db->held)) /* what a capture is about to link, stays */
        CRN_TRY(drop_tables(db, state, &foreign, reterr));
    r = find_foreign(db, state, seek, keep, &foreign, reterr);
    return r > 0 ? hide(db, state, &foreign, reterr) : r;
}

int crn_rocksdb_clip(struct crn_state_db *base, const struct crn_state_range *keep,
                     cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    for (size_t i = 0; i < db->state_count; i++) {
        CRN_TRY(clip_side(db, db->states[i], seek_below, keep, reterr));
        CRN_TRY(clip_side(db, db->states[i], seek_behind, keep, reterr));
    }
    return crn_rocksdb_clean_later(db, keep, reterr);
}

/* ---- removing ---- */

/* Some table of the state reaches below what is kept, or behind it. */
static bool reaches_out(const rocksdb_livefiles_t *files, const struct crn_state *state,
                        const struct crn_rocksdb_cleaner *cleaner, bool below)
{
    size_t prefix = strlen(CRN_ROCKSDB_FAMILY_PREFIX), size;
    for (int i = 0; i < rocksdb_livefiles_count(files); i++) {
        const char *family = rocksdb_livefiles_column_family_name(files, i);
        if (strlen(family) <= prefix || strcmp(family + prefix, state->name) != 0)
            continue;
        const char *key = below ? rocksdb_livefiles_smallestkey(files, i, &size)
                                : rocksdb_livefiles_largestkey(files, i, &size);
        const struct cairn_buffer *bound = below ? &cleaner->first : &cleaner->end;
        int order = compare(key, size, bound->data, bound->size);
        if (bound->size > 0 && (below ? order < 0 : order > 0))
            return true;
    }
    return false;
}

static bool is_clean(const struct crn_rocksdb_cleaner *cleaner)
{
    const rocksdb_livefiles_t *files = rocksdb_livefiles(cleaner->db->db);
    bool clean = true;
    for (size_t i = 0; i < cleaner->state_count && clean; i++)
        clean = !reaches_out(files, cleaner->states[i], cleaner, true) &&
                !reaches_out(files, cleaner->states[i], cleaner, false);
    rocksdb_livefiles_destroy(files);
    return clean;
}

static void compact_state(const struct crn_rocksdb_cleaner *cleaner, const struct crn_state *state)
{
    rocksdb_t *db = cleaner->db->db;
    const rocksdb_livefiles_t *files = rocksdb_livefiles(db);
    bool below = reaches_out(files, state, cleaner, true);
    bool behind = reaches_out(files, state, cleaner, false);
    rocksdb_livefiles_destroy(files);

    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    /* With both bounds given, RocksDB looks whether memtables overlap; without, it flushes. */
    if (below && !atomic_load(&cleaner->stop))
        rocksdb_compact_range_cf_opt(db, state->family, options, "", 0,
                                     (const char *)cleaner->first.data, cleaner->first.size);
    if (behind && !atomic_load(&cleaner->stop))
        rocksdb_compact_range_cf_opt(db, state->family, options, (const char *)cleaner->end.data,
                                     cleaner->end.size, BEHIND_ALL, sizeof(BEHIND_ALL) - 1);
    rocksdb_compactoptions_destroy(options);
}

/* A range ends at the deepest level that has keys of it; a tombstone that gets there stays while
 * the level below overlaps with its table elsewhere. RocksDB compacts such tables by itself when it
 * is asked to, and flushes nothing for it. */
static void suggest_state(const struct crn_rocksdb_cleaner *cleaner, const struct crn_state *state)
{
    rocksdb_t *db = cleaner->db->db;
    char *message = NULL;
    if (cleaner->first.size > 0)
        rocksdb_suggest_compact_range_cf(db, state->family, "", 0,
                                         (const char *)cleaner->first.data, cleaner->first.size,
                                         &message);
    if (cleaner->end.size > 0 && !message)
        rocksdb_suggest_compact_range_cf(db, state->family, (const char *)cleaner->end.data,
                                         cleaner->end.size, BEHIND_ALL, sizeof(BEHIND_ALL) - 1,
                                         &message);
    rocksdb_free(message); /* it is a suggestion */
}

/* One round may miss what RocksDB's own compactions move meanwhile. */
static void *clean_thread(void *arg)
{
    struct crn_rocksdb_cleaner *cleaner = arg;
    struct crn_rocksdb *db = cleaner->db;
    uint64_t begin_us = crn_now_us();
    bool clean = false;

    for (unsigned int round = 0; round < ROUNDS_MAX && !clean; round++) {
        for (size_t i = 0; i < cleaner->state_count; i++)
            compact_state(cleaner, cleaner->states[i]);
        clean = is_clean(cleaner);
        if (atomic_load(&cleaner->stop) ||
            crn_rocksdb_property(db->db, "rocksdb.num-snapshots") > 0)
            break;
        for (size_t i = 0; i < cleaner->state_count && !clean; i++)
            suggest_state(cleaner, cleaner->states[i]);
        if (!clean)
            crn_sleep_us(ROUND_US);
    }
    clean = is_clean(cleaner);
    if (clean)
        cleaner->attempts_left = 0;
    crn_log_write(&db->log, CAIRN_LOG_DEBUG, "rocksdb",
                  "'%s': cut tables to its key groups in %" PRIu64 " ms%s", db->directory,
                  (crn_now_us() - begin_us) / 1000, clean ? "" : ", but not all of them");
    atomic_store(&cleaner->is_running, false);
    return NULL;
}

static int copy_states(struct crn_rocksdb_cleaner *cleaner)
{
    struct crn_rocksdb *db = cleaner->db;
    free(CRN_TAKE(cleaner->states));
    cleaner->state_count = 0;
    crn_mutex_lock(&db->mutex);
    cleaner->states = calloc(db->state_count + 1, sizeof(*cleaner->states));
    for (size_t i = 0; cleaner->states && i < db->state_count; i++)
        cleaner->states[cleaner->state_count++] = db->states[i];
    crn_mutex_unlock(&db->mutex);
    return cleaner->states ? 0 : CAIRN_ENOMEM;
}

static void join(struct crn_rocksdb_cleaner *cleaner)
{
    if (cleaner->has_thread)
        (void)pthread_join(cleaner->thread, NULL);
    cleaner->has_thread = false;
}

void crn_rocksdb_clean_now(struct crn_rocksdb *db)
{
    struct crn_rocksdb_cleaner *cleaner = db->cleaner;
    if (!cleaner || atomic_load(&cleaner->is_running))
        return;
    join(cleaner);
    if (cleaner->attempts_left == 0 ||
        atomic_load(&db->flushed_sequence) < cleaner->after_sequence || copy_states(cleaner) < 0)
        return;
    if (is_clean(cleaner)) {
        cleaner->attempts_left = 0;
        return;
    }
    cleaner->attempts_left--;
    atomic_store(&cleaner->is_running, true);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cleaner->has_thread =
        crn_thread_start(&cleaner->thread, "cairn-clean", clean_thread, cleaner, &error) == 0;
    if (!cleaner->has_thread) /* the next release tries again */
        atomic_store(&cleaner->is_running, false);
}

void crn_rocksdb_clean_done(struct crn_rocksdb *db)
{
    struct crn_rocksdb_cleaner *cleaner = CRN_TAKE(db->cleaner);
    if (!cleaner)
        return;
    if (cleaner->has_thread) {
        atomic_store(&cleaner->stop, true);
        rocksdb_disable_manual_compaction(db->db); /* and waits for what runs */
        join(cleaner);
        rocksdb_enable_manual_compaction(db->db);
    }
    free(cleaner->states);
    crn_buf_done(&cleaner->first);
    crn_buf_done(&cleaner->end);
    free(cleaner);
}

int crn_rocksdb_clean_later(struct crn_rocksdb *db, const struct crn_state_range *keep,
                            cairn_error **reterr)
{
    crn_rocksdb_clean_done(db);
    struct crn_rocksdb_cleaner *cleaner = calloc(1, sizeof(*cleaner));
    if (!cleaner)
        return crn_err_nomem(reterr);
    db->cleaner = cleaner;
    cleaner->db = db;
    cleaner->after_sequence = rocksdb_get_latest_sequence_number(db->db);
    cleaner->attempts_left = ATTEMPTS_MAX;
    if ((keep->first_size > 0 &&
         crn_buf_append(&cleaner->first, keep->first, keep->first_size) < 0) ||
        (keep->end_size > 0 && crn_buf_append(&cleaner->end, keep->end, keep->end_size) < 0))
        return crn_err_nomem(reterr);
    return 0;
}
