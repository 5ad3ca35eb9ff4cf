/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries into a database, many ranges at a time: each unit is one bulk load of its own. Ranges of
 * one state do not overlap, so neither do the loads (state.h).
 *
 * Every key is looked at once more before it goes in: one outside of its unit's key groups would be
 * found by no one again, or shadow another unit's. That a canonical file says so in its index, or
 * that a database came out of a verified checkpoint, does not make it true (P11).
 *
 * The first failure stops all threads at their next entries. One mutex makes the ticks one at a
 * time. Crash: local files only.
 */
#include "engine/restore/load.h"

#include "base/thread.h"
#include "engine/restore/parallel.h"

#define ENTRIES_BETWEEN_LOOKS 1024u

struct run {
    const struct crn_load *load;
    struct crn_parallel parallel;
    _Atomic uint64_t bytes;
    struct crn_mutex lock; /* around ticks */
};

/* One unit on its way. */
struct passage {
    struct run *run;
    const struct crn_load_unit *unit;
    struct crn_state_load *target;
    uint64_t entries, bytes;
};

/* What a composite key begins with (keys.h). */
static size_t group_bytes(uint32_t max_parallelism)
{
    return max_parallelism <= 128 ? 1 : 2;
}

static size_t put_group(uint8_t out[2], uint32_t group, uint32_t max_parallelism)
{
    size_t n = group_bytes(max_parallelism);
    if (n == 2)
        *out++ = (uint8_t)(group >> 8);
    *out = (uint8_t)group;
    return n;
}

void crn_group_range_init(struct crn_group_range *range, uint32_t first, uint32_t last,
                          uint32_t max_parallelism)
{
    range->range = (struct crn_state_range){.first = range->bounds[0], .end = range->bounds[1]};
    range->range.first_size = put_group(range->bounds[0], first, max_parallelism);
    range->range.end_size = put_group(range->bounds[1], last + 1, max_parallelism);
}

static int check_stop(const struct run *run, cairn_error **reterr)
{
    const atomic_bool *cancelled = run->load->cancelled;
    if (cancelled != NULL && atomic_load(cancelled))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled");
    if (atomic_load(&run->parallel.stop))
        return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "another part of the load failed");
    return 0;
}

static bool is_in_unit(const struct passage *passage, const uint8_t *key, size_t size)
{
    const struct crn_load_unit *unit = passage->unit;
    size_t group_size = group_bytes(passage->run->load->max_parallelism);
    if (size < group_size)
        return false;
    uint32_t group = group_size == 1 ? key[0] : (uint32_t)key[0] << 8 | key[1];
    return group >= unit->key_group_first && group <= unit->key_group_last;
}

static int pass_on(struct passage *passage, const uint8_t *key, size_t key_size,
                   const uint8_t *value, size_t value_size, cairn_error **reterr)
{
    struct run *run = passage->run;
    if (!is_in_unit(passage, key, key_size))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "a stored key is not of the key groups %u to %u in which it stands",
                            passage->unit->key_group_first, passage->unit->key_group_last);
    if (passage->entries++ % ENTRIES_BETWEEN_LOOKS == 0)
        CRN_TRY(check_stop(run, reterr));
    passage->bytes += key_size + value_size;
    return run->load->db->ops->load_put(passage->target, key, key_size, value, value_size, reterr);
}

static int pass_canonical(struct passage *passage, cairn_error **reterr)
{
    const struct crn_load_unit *unit = passage->unit;
    struct crn_canonical_scan *scan = NULL;
    struct crn_canonical_entry entry;
    CRN_TRY(crn_canonical_scan(unit->reader, unit->number, unit->key_group_first,
                               unit->key_group_last, &scan, reterr));
    int r;
    while ((r = crn_canonical_next(scan, &entry, reterr)) == 1) {
        r = pass_on(passage, entry.key, entry.key_size, entry.value, entry.value_size, reterr);
        if (r < 0)
            break;
    }
    crn_canonical_scan_end(scan);
    return r;
}

static int pass_native(struct passage *passage, cairn_error **reterr)
{
    const struct crn_load_unit *unit = passage->unit;
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size;
    struct crn_group_range groups;
    crn_group_range_init(&groups, unit->key_group_first, unit->key_group_last,
                         passage->run->load->max_parallelism);
    CRN_TRY(unit->ops->scan(unit->snapshot, unit->from, &groups.range, &iterator, reterr));
    int r;
    while ((r = unit->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) == 1) {
        r = pass_on(passage, key, key_size, value, value_size, reterr);
        if (r < 0)
            break;
    }
    unit->ops->end(iterator);
    return r;
}

static int load_unit(void *context, size_t i, cairn_error **reterr)
{
    struct run *run = context;
    const struct crn_load_unit *unit = &run->load->units[i];
    const struct crn_state_ops *ops = run->load->db->ops;
    struct passage passage = {.run = run, .unit = unit};
    CRN_TRY(check_stop(run, reterr));
    CRN_TRY(ops->load_begin(run->load->db, unit->to, &passage.target, reterr));
    int r = unit->reader != NULL ? pass_canonical(&passage, reterr) : pass_native(&passage, reterr);
    int r2 = ops->load_end(passage.target, r == 0, r == 0 ? reterr : NULL);
    if (r < 0 || r2 < 0)
        return r < 0 ? r : r2;
    atomic_fetch_add(&run->bytes, passage.bytes);
    crn_mutex_lock(&run->lock);
    int wanted = run->load->tick(run->load->tick_context, unit->stored_bytes);
    crn_mutex_unlock(&run->lock);
    return wanted == 0 ? 0 : crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled by the caller");
}

int crn_load_run(const struct crn_load *load, uint64_t *ret_bytes, cairn_error **reterr)
{
    struct run run = {
        .load = load,
        .parallel = {.count = load->count,
                     .threads = load->threads,
                     .name = "cairn-load",
                     .work = load_unit,
                     .context = &run},
    };
    crn_mutex_init(&run.lock, CRN_RANK_LEAF);
    int r = crn_parallel_run(&run.parallel, reterr);
    crn_mutex_done(&run.lock);
    *ret_bytes += r == 0 ? atomic_load(&run.bytes) : 0;
    return r;
}
