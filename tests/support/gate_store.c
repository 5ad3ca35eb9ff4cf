/* SPDX-License-Identifier: Apache-2.0 */
/* A view of a shared store that can stop in mid call. Lock: the gate's own, never held while the
 * shared store works. */
#include "tests/support/gate_store.h"

#include "base/thread.h"
#include "manifest/manifest.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define GATE_HELD_MAX 8

struct gate {
    cairn_store store;
    cairn_store_ops ops;
    cairn_store *shared;
    struct crn_mutex lock;
    struct crn_cond changed;
    /* Guarded by lock. */
    unsigned stop_ops;
    uint64_t calls, at;
    enum gate_side side;
    bool stopped, open;
    struct held {
        uint64_t id; /* 0: none; the slot is free when nobody waits any more */
        unsigned waiting;
    } held[GATE_HELD_MAX];
};

static struct gate *self(cairn_store *store)
{
    return (struct gate *)store;
}

static void stop_here(struct gate *gate)
{
    crn_mutex_assert_held(&gate->lock);
    gate->stopped = true;
    crn_cond_broadcast(&gate->changed);
    while (!gate->open)
        crn_cond_wait(&gate->changed, &gate->lock);
    gate->stopped = false;
}

/* Counts a call. @return whether it stops after its work */
static bool enter(cairn_store *store, unsigned op)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    bool hit = (gate->stop_ops & op) != 0 && ++gate->calls == gate->at;
    if (hit && gate->side == GATE_BEFORE)
        stop_here(gate);
    bool later = hit && gate->side == GATE_AFTER;
    crn_mutex_unlock(&gate->lock);
    return later;
}

static int leave(cairn_store *store, bool stops, int r)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    if (stops)
        stop_here(gate);
    crn_mutex_unlock(&gate->lock);
    return r;
}

static struct held *find_held(struct gate *gate, uint64_t id)
{
    for (size_t i = 0; i < GATE_HELD_MAX; i++)
        if (gate->held[i].id == id)
            return &gate->held[i];
    return NULL;
}

/* Keys begin with the job's name. */
static uint64_t id_of(const char *key)
{
    const char *relative = strchr(key, '/');
    return relative == NULL ? 0 : crn_key_parse(relative + 1).id;
}

static void wait_while_held(struct gate *gate, uint64_t id)
{
    crn_mutex_lock(&gate->lock);
    struct held *held = id != 0 ? find_held(gate, id) : NULL;
    if (held != NULL) {
        held->waiting++;
        crn_cond_broadcast(&gate->changed);
        while (held->id == id)
            crn_cond_wait(&gate->changed, &gate->lock);
        held->waiting--;
    }
    crn_mutex_unlock(&gate->lock);
}

static int gate_put(cairn_store *store, const char *key, cairn_source *source,
                    cairn_put_how *ret_how, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    wait_while_held(self(store), id_of(key));
    bool stops = enter(store, CRN_FAULT_PUT);
    return leave(store, stops, shared->ops->put(shared, key, source, ret_how, reterr));
}

static int gate_create(cairn_store *store, const char *key, const void *data, size_t size,
                       cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_CREATE);
    return leave(store, stops, shared->ops->create(shared, key, data, size, reterr));
}

static int gate_flush(cairn_store *store, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_FLUSH);
    return leave(store, stops, shared->ops->flush(shared, reterr));
}

static int gate_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                    cairn_sink *sink, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_GET);
    return leave(store, stops, shared->ops->get(shared, key, offset, size, sink, reterr));
}

static int gate_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                     cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_STAT);
    return leave(store, stops, shared->ops->stat(shared, key, ret_stat, reterr));
}

static int gate_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                     cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_LIST);
    return leave(store, stops, shared->ops->list(shared, prefix, fn, context, reterr));
}

static int gate_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn,
                              void *context, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_LIST);
    return leave(store, stops, shared->ops->list_segments(shared, prefix, fn, context, reterr));
}

static int gate_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    bool stops = enter(store, CRN_FAULT_REMOVE);
    return leave(store, stops, shared->ops->remove(shared, keys, n, reterr));
}

static void gate_close(cairn_store *store)
{
    struct gate *gate = self(store);
    crn_cond_done(&gate->changed);
    crn_mutex_done(&gate->lock);
    free(gate);
}

cairn_store *gate_store_open(cairn_store *shared)
{
    struct gate *gate = calloc(1, sizeof *gate);
    ck_assert_ptr_nonnull(gate);
    gate->ops = (cairn_store_ops){
        .struct_size = sizeof(cairn_store_ops),
        .scheme = shared->ops->scheme,
        .close = gate_close,
        .put = gate_put,
        .create = gate_create,
        .flush = gate_flush,
        .get = gate_get,
        .stat = gate_stat,
        .list = gate_list,
        .list_segments = gate_list_segments,
        .remove = gate_remove,
    };
    gate->store.ops = &gate->ops;
    gate->shared = shared;
    crn_mutex_init(&gate->lock, CRN_RANK_STORE);
    crn_cond_init(&gate->changed);
    return &gate->store;
}

void gate_stop_at(cairn_store *store, unsigned ops, uint64_t at, enum gate_side side)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    gate->stop_ops = ops;
    gate->calls = 0;
    gate->at = at;
    gate->side = side;
    gate->open = false;
    crn_mutex_unlock(&gate->lock);
}

bool gate_wait_stopped(cairn_store *store, const atomic_bool *over)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    while (!gate->stopped && (over == NULL || !atomic_load(over)))
        (void)crn_cond_wait_until(&gate->changed, &gate->lock, crn_now_us() + 1000);
    bool stopped = gate->stopped;
    crn_mutex_unlock(&gate->lock);
    return stopped;
}

void gate_let_go(cairn_store *store)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    gate->open = true;
    crn_cond_broadcast(&gate->changed);
    crn_mutex_unlock(&gate->lock);
}

uint64_t gate_calls(cairn_store *store)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    uint64_t calls = gate->calls;
    crn_mutex_unlock(&gate->lock);
    return calls;
}

void gate_hold(cairn_store *store, uint64_t id)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    struct held *held = NULL;
    for (size_t i = 0; i < GATE_HELD_MAX && held == NULL; i++)
        if (gate->held[i].id == 0 && gate->held[i].waiting == 0)
            held = &gate->held[i];
    ck_assert_ptr_nonnull(held);
    held->id = id;
    crn_mutex_unlock(&gate->lock);
}

void gate_release(cairn_store *store, uint64_t id)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    struct held *held = find_held(gate, id);
    if (held != NULL)
        held->id = 0;
    crn_cond_broadcast(&gate->changed);
    crn_mutex_unlock(&gate->lock);
}

void gate_wait_held(cairn_store *store, uint64_t id, unsigned count)
{
    struct gate *gate = self(store);
    crn_mutex_lock(&gate->lock);
    struct held *held = find_held(gate, id);
    ck_assert_ptr_nonnull(held);
    while (held->waiting < count)
        crn_cond_wait(&gate->changed, &gate->lock);
    crn_mutex_unlock(&gate->lock);
}
