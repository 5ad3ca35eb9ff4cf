/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expiry: the compaction filter that drops what is expired, and switching expiry on and off.
 *
 * The filter decides by the write's time, the state's duration as it is now and the job's clock, so
 * it can only drop what a read would hide as well: whether it runs or not is never visible. Merge
 * operands that no full value was made of yet are not shown to it. It runs in RocksDB's threads,
 * several at once, over bytes that may be damaged: what it cannot decode, it keeps, so that a
 * reader meets it and says so (P8). Without memory it keeps, too.
 *
 * SWITCHING. A value says nowhere whether it begins with a time, and a state that gets or loses
 * expiry is rewritten while compactions run. For some time its tables hold both forms. A filter
 * must not look at the form it was not made for:
 *   a compaction that began before the switch   sees only what was written before. It goes on by
 *                                               the old rules until set_expiry() takes them away,
 *                                               and never drops anything after that: its filter
 *                                               remembers the number of changes that it began with
 *   one that began while values are rewritten   has no filter: the duration is 0
 *   one that began after                        may meet values of the old form, each of them
 *                                               hidden behind its rewritten one. To drop it is as
 *                                               good as not, unless somebody still reads the state
 *                                               as it was: a capture whose barrier was before (P2),
 *                                               or a snapshot. As long as there is one, compactions
 *                                               have no filter
 *
 * Every state has the factory, so that expiry can be switched on. For a state without expiry it
 * gives no filter, and compactions run as if it were not there.
 */
#include "backends/state/rocksdb_internal.h"
#include "backends/state/values.h"

/* One compaction's filter: RocksDB copies a changed value out of `kept` before the next call. */
struct expiry {
    struct crn_state *state;
    uint64_t changes; /* the state's when the compaction began */
    struct cairn_buffer kept;
};

static const char *expiry_name(void *context)
{
    (void)context;
    return "cairn.expiry";
}

static void look_away(struct crn_state *state)
{
    atomic_fetch_add_explicit(&state->looks, 1, memory_order_release);
}

static void expiry_destroy(void *context)
{
    struct expiry *expiry = context;
    look_away(expiry->state);
    crn_buf_done(&expiry->kept);
    free(expiry);
}

static unsigned char expiry_filter(void *context, int level, const char *key, size_t key_size,
                                   const char *existing, size_t size, char **ret_value,
                                   size_t *ret_size, unsigned char *ret_changed)
{
    struct expiry *expiry = context;
    const struct crn_state *state = expiry->state;
    uint64_t ttl = atomic_load(&state->ttl_ms);

    (void)level, (void)key, (void)key_size;
    *ret_changed = 0;
    if (ttl == 0 || atomic_load(&state->expiry_changes) != expiry->changes)
        return 0;
    enum crn_expiry expired = crn_value_expiry(existing, size, state->is_list, ttl,
                                               state->now_ms(state->now_context), &expiry->kept);
    if (expired != CRN_EXPIRY_SOME)
        return expired == CRN_EXPIRY_ALL;
    *ret_value = (char *)expiry->kept.data;
    *ret_size = expiry->kept.size;
    *ret_changed = 1;
    return 0;
}

/* Nobody is left who may read what the state held before its values were rewritten. */
static bool is_settled(const struct crn_state *state)
{
    const struct crn_rocksdb *db = state->db;
    uint64_t rewritten = atomic_load(&state->rewritten_sequence);
    if (rewritten == 0)
        return true;
    if (atomic_load(&db->held) && atomic_load(&db->barrier_sequence) < rewritten)
        return false;
    uint64_t oldest = crn_rocksdb_property(db->db, "rocksdb.oldest-snapshot-sequence");
    return oldest == 0 || oldest >= rewritten;
}

/* NULL: this compaction drops nothing. */
static rocksdb_compactionfilter_t *expiry_create(void *context,
                                                 rocksdb_compactionfiltercontext_t *compaction)
{
    struct crn_state *state = context;
    uint64_t changes = atomic_load(&state->expiry_changes);
    (void)compaction;
    const bool wanted =
        atomic_load(&state->has_ttl) && atomic_load(&state->ttl_ms) > 0 && is_settled(state);
    struct expiry *expiry = wanted ? calloc(1, sizeof(*expiry)) : NULL;
    if (!expiry) {
        look_away(state);
        return NULL;
    }
    expiry->state = state;
    expiry->changes = changes;
    return rocksdb_compactionfilter_create(expiry, expiry_destroy, expiry_filter, expiry_name);
}

static void factory_destroy(void *context)
{
    (void)context; /* the state belongs to the database */
}

rocksdb_compactionfilterfactory_t *crn_rocksdb_expiry_filter(struct crn_state *state)
{
    return rocksdb_compactionfilterfactory_create(state, factory_destroy, expiry_create,
                                                  expiry_name);
}

int crn_rocksdb_set_expiry(struct crn_state_db *base, struct crn_state *state, bool has_ttl,
                           uint64_t ttl_ms, cairn_error **reterr)
{
    struct crn_rocksdb *db = crn_rocksdb_of(base);
    if (db->read_only || (ttl_ms > 0 && !has_ttl))
        return crn_err_fail(reterr, CAIRN_EINVAL, db->directory,
                            "the expiry of state '%s' in '%s' cannot be changed like this",
                            state->name, db->directory);
    /* First nothing is dropped any more, and compactions that run now never again. */
    atomic_store(&state->ttl_ms, 0);
    atomic_fetch_add(&state->expiry_changes, 1);
    atomic_store(&state->rewritten_sequence, rocksdb_get_latest_sequence_number(db->db));
    atomic_store(&state->has_ttl, has_ttl);
    atomic_store(&state->ttl_ms, ttl_ms);
    return 0;
}
