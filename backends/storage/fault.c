/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store that fails on demand, around any other one. For tests; not in libcairn.
 *
 * Each call of an operation in the plan gets a number; the plan says at which one (and whether at
 * all later ones) to fail, and how. The modes are the ways in which real stores fail: a refusal, a
 * reply that got lost after the work was done, a transfer that breaks off half-way, a flipped bit,
 * the death of the process.
 *
 * The mutex guards plan and counters, and is never held while the inner store works. It ranks as a
 * leaf: whoever may call a store may take it.
 */

#include "backends/storage/fault.h"

#include "backends/storage/storage.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/thread.h"

#include <signal.h>
#include <string.h>

#define PIECE_BYTES ((size_t)64 * 1024)

struct fault_store {
    cairn_store store;
    cairn_store_ops ops; /* of its own: what the inner store lacks is NULL here as well */
    cairn_store *inner;
    struct crn_mutex lock;
    /* guarded by lock */
    struct crn_fault_plan plan;
    uint64_t calls;
    bool fired;
};

static struct fault_store *self(cairn_store *store)
{
    return (struct fault_store *)store;
}

/* Counts a call. Returns how it is to fail; CRN_FAULT_NEVER: not at all. */
static enum crn_fault_mode begin(struct fault_store *store, enum crn_fault_op op, int *ret_code)
{
    crn_mutex_lock(&store->lock);
    struct crn_fault_plan plan = store->plan;
    bool counts = (plan.ops & (unsigned)op) != 0, hit = false;
    if (counts) {
        uint64_t number = ++store->calls;
        hit = plan.mode != CRN_FAULT_NEVER &&
              (number == plan.at || (plan.and_after && number > plan.at));
        store->fired = store->fired || hit;
    }
    crn_mutex_unlock(&store->lock);
    if (counts && plan.delay_us > 0)
        crn_sleep_us(plan.delay_us);
    if (hit && plan.mode == CRN_FAULT_KILL)
        (void)raise(SIGKILL); /* does not return */
    *ret_code = plan.code < 0 ? plan.code : CAIRN_EUNAVAIL;
    return hit ? plan.mode : CRN_FAULT_NEVER;
}

/* What a mode that lets the operation happen does afterwards. */
static int happened(enum crn_fault_mode mode, int r)
{
    if (mode == CRN_FAULT_KILL_AFTER)
        (void)raise(SIGKILL);
    return r;
}

static int refuse(int code, const char *key, cairn_error **reterr)
{
    return crn_err_fail(reterr, code, key, "injected failure at '%s'", key);
}

/* r is what the inner store said. A reply that says "done" is lost; a failure is passed on. */
static int lose_reply(int r, const char *key, cairn_error **reterr)
{
    return r < 0 ? r : crn_err_fail(reterr, CAIRN_EUNKNOWN, key, "lost reply for '%s'", key);
}

static int read_half(cairn_source *source, cairn_error **reterr)
{
    static _Thread_local uint8_t piece[PIECE_BYTES];
    for (uint64_t done = 0, half = source->size / 2; done < half;) {
        size_t n = half - done < PIECE_BYTES ? (size_t)(half - done) : PIECE_BYTES;
        CRN_TRY(source->read(source, done, piece, n, reterr));
        done += n;
    }
    return 0;
}

static int fault_put(cairn_store *base, const char *key, cairn_source *source,
                     cairn_put_how *ret_how, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    cairn_put_how how;
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_PUT, &code);
    switch (mode) {
    case CRN_FAULT_BEFORE:
        return refuse(code, key, reterr);
    case CRN_FAULT_SHORT:
        CRN_TRY(read_half(source, reterr));
        return refuse(code, key, reterr);
    case CRN_FAULT_LOST_REPLY:
        return lose_reply(store->inner->ops->put(store->inner, key, source, &how, reterr), key,
                          reterr);
    default:
        return happened(mode, store->inner->ops->put(store->inner, key, source, ret_how, reterr));
    }
}

static int fault_create(cairn_store *base, const char *key, const void *data, size_t size,
                        cairn_error **reterr)
{
    struct fault_store *store = self(base);
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_CREATE, &code);
    if (mode == CRN_FAULT_BEFORE || mode == CRN_FAULT_SHORT)
        return refuse(code, key, reterr);
    int r = store->inner->ops->create(store->inner, key, data, size, reterr);
    return mode == CRN_FAULT_LOST_REPLY ? lose_reply(r, key, reterr) : happened(mode, r);
}

static int fault_flush(cairn_store *base, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_FLUSH, &code);
    if (mode == CRN_FAULT_BEFORE || mode == CRN_FAULT_SHORT)
        return refuse(code, "flush", reterr);
    int r = store->inner->ops->flush(store->inner, reterr);
    return mode == CRN_FAULT_LOST_REPLY ? lose_reply(r, "flush", reterr) : happened(mode, r);
}

/* Stands between the inner store and the caller's sink. */
struct fault_sink {
    cairn_sink sink;
    cairn_sink *outer;
    bool flip; /* still to be done */
};

static int pass_flipped(struct cairn_sink *base, uint64_t offset, const void *data, size_t n,
                        cairn_error **reterr)
{
    struct fault_sink *sink = (struct fault_sink *)base;
    if (!sink->flip || n == 0)
        return sink->outer->write(sink->outer, offset, data, n, reterr);
    sink->flip = false;
    CRN_AUTO_FREE uint8_t *copy = malloc(n);
    if (copy == NULL)
        return crn_err_nomem(reterr);
    memcpy(copy, data, n);
    copy[n / 2] ^= 0x10;
    return sink->outer->write(sink->outer, offset, copy, n, reterr);
}

static int get_half(cairn_store *inner, const char *key, uint64_t offset, uint64_t size,
                    cairn_sink *sink, cairn_error **reterr)
{
    cairn_object_stat stat;
    CRN_TRY(inner->ops->stat(inner, key, &stat, reterr));
    if (size == UINT64_MAX)
        size = stat.size > offset ? stat.size - offset : 0;
    return inner->ops->get(inner, key, offset, size / 2, sink, reterr);
}

static int fault_get(cairn_store *base, const char *key, uint64_t offset, uint64_t size,
                     cairn_sink *sink, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    cairn_store *inner = store->inner;
    struct fault_sink flipping = {.sink = {.write = pass_flipped}, .outer = sink, .flip = true};
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_GET, &code);
    switch (mode) {
    case CRN_FAULT_BEFORE:
        return refuse(code, key, reterr);
    case CRN_FAULT_SHORT:
        CRN_TRY(get_half(inner, key, offset, size, sink, reterr));
        return refuse(code, key, reterr);
    case CRN_FAULT_FLIP:
        return inner->ops->get(inner, key, offset, size, &flipping.sink, reterr);
    case CRN_FAULT_LOST_REPLY:
        return lose_reply(inner->ops->get(inner, key, offset, size, sink, reterr), key, reterr);
    default:
        return happened(mode, inner->ops->get(inner, key, offset, size, sink, reterr));
    }
}

/* For operations that only ask: a lost reply is as good as no call, and so is a death after it. */
static bool is_refused(struct fault_store *store, enum crn_fault_op op, const char *key, int *r,
                       cairn_error **reterr)
{
    int code;
    enum crn_fault_mode mode = begin(store, op, &code);
    (void)happened(mode, 0);
    if (mode == CRN_FAULT_NEVER || mode == CRN_FAULT_FLIP)
        return false;
    *r = mode == CRN_FAULT_LOST_REPLY ? lose_reply(0, key, reterr) : refuse(code, key, reterr);
    return true;
}

static int fault_stat(cairn_store *base, const char *key, cairn_object_stat *ret_stat,
                      cairn_error **reterr)
{
    struct fault_store *store = self(base);
    int r;
    if (is_refused(store, CRN_FAULT_STAT, key, &r, reterr))
        return r;
    return store->inner->ops->stat(store->inner, key, ret_stat, reterr);
}

static int fault_list(cairn_store *base, const char *prefix, cairn_list_fn fn, void *context,
                      cairn_error **reterr)
{
    struct fault_store *store = self(base);
    int r;
    if (is_refused(store, CRN_FAULT_LIST, prefix, &r, reterr))
        return r;
    return store->inner->ops->list(store->inner, prefix, fn, context, reterr);
}

static int fault_list_segments(cairn_store *base, const char *prefix, cairn_list_fn fn,
                               void *context, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    int r;
    if (is_refused(store, CRN_FAULT_LIST, prefix, &r, reterr))
        return r;
    return store->inner->ops->list_segments(store->inner, prefix, fn, context, reterr);
}

static int fault_remove(cairn_store *base, const char *const *keys, size_t n, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    const char *first = n > 0 ? keys[0] : "remove";
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_REMOVE, &code);
    switch (mode) {
    case CRN_FAULT_BEFORE:
        return refuse(code, first, reterr);
    case CRN_FAULT_SHORT:
        CRN_TRY(store->inner->ops->remove(store->inner, keys, n / 2, reterr));
        return refuse(code, n > 0 ? keys[n / 2] : "remove", reterr);
    case CRN_FAULT_LOST_REPLY:
        return lose_reply(store->inner->ops->remove(store->inner, keys, n, reterr), first, reterr);
    default:
        return happened(mode, store->inner->ops->remove(store->inner, keys, n, reterr));
    }
}

static int fault_link_out(cairn_store *base, const char *key, const char *path,
                          cairn_put_how *ret_how, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    cairn_put_how how;
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_LINK_OUT, &code);
    if (mode == CRN_FAULT_BEFORE || mode == CRN_FAULT_SHORT)
        return refuse(code, key, reterr);
    if (mode == CRN_FAULT_LOST_REPLY)
        return lose_reply(store->inner->ops->link_out(store->inner, key, path, &how, reterr), key,
                          reterr);
    return happened(mode, store->inner->ops->link_out(store->inner, key, path, ret_how, reterr));
}

static void fault_close(cairn_store *base);

/* Inner stores copy among themselves: a source that is decorated as well is unwrapped. */
static int fault_copy(cairn_store *base, const char *key, cairn_store *from, const char *from_key,
                      cairn_put_how *ret_how, cairn_error **reterr)
{
    struct fault_store *store = self(base);
    cairn_store *inner = store->inner;
    cairn_put_how how;
    int code;
    enum crn_fault_mode mode = begin(store, CRN_FAULT_COPY, &code);
    if (from->ops->close == fault_close)
        from = self(from)->inner;
    if (mode == CRN_FAULT_BEFORE || mode == CRN_FAULT_SHORT)
        return refuse(code, key, reterr);
    if (mode == CRN_FAULT_LOST_REPLY)
        return lose_reply(inner->ops->copy(inner, key, from, from_key, &how, reterr), key, reterr);
    return happened(mode, inner->ops->copy(inner, key, from, from_key, ret_how, reterr));
}

static int fault_reap(cairn_store *base, const char *prefix, uint64_t min_age_ms,
                      uint64_t *ret_count, cairn_error **reterr)
{
    cairn_store *inner = self(base)->inner;
    return inner->ops->reap(inner, prefix, min_age_ms, ret_count, reterr);
}

static uint64_t fault_range_bytes(cairn_store *base)
{
    return crn_store_range_bytes(self(base)->inner);
}

static void fault_close(cairn_store *base)
{
    struct fault_store *store = self(base);
    store->inner->ops->close(store->inner);
    crn_mutex_done(&store->lock);
    free(store);
}

static const char *fault_caveat(cairn_store *store)
{
    return crn_store_caveat(((struct fault_store *)store)->inner);
}

int crn_fault_store_open(cairn_store *inner, cairn_store **ret_store, cairn_error **reterr)
{
    struct fault_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        inner->ops->close(inner);
        return crn_err_nomem(reterr);
    }
    store->ops = (cairn_store_ops){
        .struct_size = sizeof(cairn_store_ops),
        .scheme = inner->ops->scheme,
        .close = fault_close,
        .put = fault_put,
        .create = fault_create,
        .flush = fault_flush,
        .get = fault_get,
        .stat = fault_stat,
        .list = fault_list,
        .list_segments = fault_list_segments,
        .remove = fault_remove,
        .link_out = inner->ops->link_out != NULL ? fault_link_out : NULL,
        .reap = inner->ops->reap != NULL ? fault_reap : NULL,
        .copy = inner->ops->copy != NULL ? fault_copy : NULL,
        .caveat = fault_caveat,
        .range_bytes = fault_range_bytes,
    };
    store->store.ops = &store->ops;
    store->inner = inner;
    crn_mutex_init(&store->lock, CRN_RANK_LEAF);
    *ret_store = &store->store;
    return 0;
}

void crn_fault_store_arm(cairn_store *base, const struct crn_fault_plan *plan)
{
    struct fault_store *store = self(base);
    crn_mutex_lock(&store->lock);
    store->plan = *plan;
    store->calls = 0;
    store->fired = false;
    crn_mutex_unlock(&store->lock);
}

uint64_t crn_fault_store_calls(cairn_store *base)
{
    struct fault_store *store = self(base);
    crn_mutex_lock(&store->lock);
    uint64_t calls = store->calls;
    crn_mutex_unlock(&store->lock);
    return calls;
}

bool crn_fault_store_fired(cairn_store *base)
{
    struct fault_store *store = self(base);
    crn_mutex_lock(&store->lock);
    bool fired = store->fired;
    crn_mutex_unlock(&store->lock);
    return fired;
}

cairn_store *crn_fault_store_inner(cairn_store *base)
{
    return self(base)->inner;
}
