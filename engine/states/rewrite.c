/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rewriting a whole keyed state in place: values of older schemas into the present one
 * (cairn_task_migrate), and values with a time stamp in front into such without, or the reverse
 * (registration).
 *
 * One pass over a snapshot of the state, entry by entry, so memory is bounded by the largest entry.
 * The time of a write is kept, so nothing lives longer for having been rewritten; what has expired
 * is removed, since without its time nobody could tell any more.
 *
 * Migration may stop anywhere: each value says by its tag what it is. A switch of expiry may not:
 * nothing tells a value with a time from one without. So the database is told first that nothing
 * expires while both stand in it, and if the pass fails no checkpoint is taken of it any more. The
 * snapshot that it was restored from is untouched: the next open begins again.
 */

#include "engine/states/keyed.h"
#include <string.h>

struct rewrite {
    struct crn_keyed *keyed;
    bool had_ttl, has_ttl; /* how values stand, and how they shall */
    uint64_t ttl_ms;       /* what is older is dropped; 0: nothing is */
    int64_t now_ms;
    struct cairn_buffer key;
    struct cairn_buffer value; /* the new one */
};

/* A value or element without its time: with the present tag if values have one. */
static int settle_bytes(struct rewrite *rewrite, const uint8_t **data, size_t *size,
                        bool *is_changed, cairn_error **reterr)
{
    struct crn_keyed *keyed = rewrite->keyed;
    if (keyed->schemas == NULL || crn_keyed_tag_is_present(keyed, *data, *size))
        return 0;
    CRN_TRY(crn_keyed_untag(keyed, data, size, crn_keyed_converted(keyed), reterr));
    const void *tagged = *data;
    CRN_TRY(crn_keyed_tag(keyed, &tagged, size, reterr));
    *data = tagged;
    *is_changed = true;
    return 0;
}

/* A list's elements into rewrite->value. */
static int rewrite_list(struct rewrite *rewrite, const uint8_t *value, size_t size,
                        bool *is_changed, cairn_error **reterr)
{
    struct crn_reader reader = {.data = value, .size = size};
    struct crn_list_element element;
    int r;
    while ((r = crn_list_next_element(&reader, rewrite->had_ttl, &element)) > 0) {
        if (rewrite->had_ttl &&
            crn_ttl_expired(element.written_ms, rewrite->ttl_ms, rewrite->now_ms)) {
            *is_changed = true;
            continue;
        }
        CRN_TRY(settle_bytes(rewrite, &element.data, &element.size, is_changed, reterr));
        int64_t written_ms = rewrite->had_ttl ? element.written_ms : rewrite->now_ms;
        if (crn_list_append_element(&rewrite->value, rewrite->has_ttl, written_ms, element.data,
                                    element.size) < 0)
            return crn_err_nomem(reterr);
    }
    return r < 0 ? crn_keyed_corrupt(rewrite->keyed, "a list's elements are damaged", reterr) : 0;
}

/* A value into rewrite->value, which stays empty if it has expired. */
static int rewrite_value(struct rewrite *rewrite, const uint8_t *value, size_t size,
                         bool *ret_is_live, bool *is_changed, cairn_error **reterr)
{
    int64_t written_ms;
    if (!crn_value_split(value, size, rewrite->had_ttl, &written_ms, &value, &size))
        return crn_keyed_corrupt(rewrite->keyed, "a value is too short for its time stamp", reterr);
    *ret_is_live =
        !rewrite->had_ttl || !crn_ttl_expired(written_ms, rewrite->ttl_ms, rewrite->now_ms);
    if (!*ret_is_live)
        return 0;
    CRN_TRY(settle_bytes(rewrite, &value, &size, is_changed, reterr));
    if (crn_value_append(&rewrite->value, rewrite->has_ttl,
                         rewrite->had_ttl ? written_ms : rewrite->now_ms, value, size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int rewrite_entry(struct rewrite *rewrite, const uint8_t *key, size_t key_size,
                         const uint8_t *value, size_t size, cairn_error **reterr)
{
    struct crn_keyed *keyed = rewrite->keyed;
    struct crn_state_db *db = keyed->task->db;
    bool is_changed = rewrite->had_ttl != rewrite->has_ttl;
    bool is_live = true;
    crn_scratch_trim(&rewrite->value);
    crn_buf_clear(&rewrite->value);
    crn_buf_clear(&rewrite->key);
    if (crn_buf_append(&rewrite->key, key, key_size) < 0)
        return crn_err_nomem(reterr);
    if (keyed->info.kind == CAIRN_KIND_LIST) {
        CRN_TRY(rewrite_list(rewrite, value, size, &is_changed, reterr));
        is_live = rewrite->value.size > 0;
    } else {
        CRN_TRY(rewrite_value(rewrite, value, size, &is_live, &is_changed, reterr));
    }
    if (!is_live)
        return db->ops->remove(db, keyed->state, rewrite->key.data, rewrite->key.size, reterr);
    if (!is_changed)
        return 0;
    return db->ops->put(db, keyed->state, rewrite->key.data, rewrite->key.size, rewrite->value.data,
                        rewrite->value.size, reterr);
}

static int rewrite_all(struct rewrite *rewrite, cairn_error **reterr)
{
    struct crn_keyed *keyed = rewrite->keyed;
    struct crn_state_db *db = keyed->task->db;
    struct crn_state_iterator *iterator;
    const uint8_t *key, *value;
    size_t key_size, size;
    rewrite->now_ms = crn_keyed_now(keyed);
    int r = db->ops->iterate(db, keyed->state, NULL, 0, &iterator, reterr);
    if (r < 0)
        return r;
    while ((r = db->ops->next(iterator, &key, &key_size, &value, &size, reterr)) > 0) {
        r = rewrite_entry(rewrite, key, key_size, value, size, reterr);
        if (r < 0)
            break;
    }
    db->ops->end(iterator);
    crn_buf_done(&rewrite->key);
    crn_buf_done(&rewrite->value);
    return r;
}

int crn_keyed_switch_expiry(struct crn_keyed *keyed, uint64_t stored_ttl_ms, cairn_error **reterr)
{
    struct crn_state_db *db = keyed->task->db;
    struct rewrite rewrite = {.keyed = keyed,
                              .had_ttl = stored_ttl_ms > 0,
                              .has_ttl = keyed->has_ttl,
                              .ttl_ms = stored_ttl_ms};
    CRN_TRY(db->ops->set_expiry(db, keyed->state, keyed->has_ttl, 0, reterr));
    CRN_TRY(rewrite_all(&rewrite, reterr));
    return db->ops->set_expiry(db, keyed->state, keyed->has_ttl, keyed->info.ttl_ms, reterr);
}

static int migrate(struct crn_keyed *keyed, cairn_error **reterr)
{
    struct rewrite rewrite = {.keyed = keyed,
                              .had_ttl = keyed->has_ttl,
                              .has_ttl = keyed->has_ttl,
                              .ttl_ms = keyed->info.ttl_ms};
    if (keyed->schemas == NULL || keyed->info.schema_count == 1)
        return 0; /* every value has the present schema */
    CRN_TRY(rewrite_all(&rewrite, reterr));
    crn_schemas_forget(keyed);
    return 0;
}

int cairn_task_migrate(cairn_task *task, const char *state_name, cairn_error **reterr)
{
    CRN_TRY(crn_handle_check(task, reterr));
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return crn_task_not_ready(task, CAIRN_ECLOSED, reterr);
    bool is_found = false;
    for (struct crn_keyed *keyed = task->keyed; keyed != NULL; keyed = keyed->next) {
        if (state_name != NULL && strcmp(keyed->info.name, state_name) != 0)
            continue;
        is_found = true;
        CRN_TRY(migrate(keyed, reterr));
    }
    return is_found || state_name == NULL
               ? 0
               : crn_err_fail(reterr, CAIRN_ENOTFOUND, NULL,
                              "task '%s' has no registered keyed state '%s'", task->uid,
                              state_name);
}
