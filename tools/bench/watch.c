/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in between. It has no link_out and no copy: what they move would be no upload. Counters
 * are atomic, since a job's threads call at once; the figures are read when it is idle.
 */
#include "tools/bench/watch.h"
#include "tools/bench/measure.h"

#include <string.h>

static struct bench_watch *watch_of(cairn_store *store)
{
    return (struct bench_watch *)store;
}

static bool is_message(const char *key)
{
    return strstr(key, "/cluster/") != NULL;
}

static int watch_put(cairn_store *store, const char *key, cairn_source *source,
                     cairn_put_how *ret_how, cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    struct bench_watch_counts *counts = watch->counts;
    int r = watch->inner->ops->put(watch->inner, key, source, ret_how, reterr);
    uint64_t now_ns = bench_now_ns();
    uint_fast64_t last_ns = atomic_load(&counts->last_put_ns);
    atomic_fetch_add(is_message(key) ? &counts->others : &counts->puts, 1);
    while (!is_message(key) && last_ns < now_ns &&
           !atomic_compare_exchange_weak(&counts->last_put_ns, &last_ns, now_ns))
        continue;
    return r;
}

static int watch_create(cairn_store *store, const char *key, const void *data, size_t size,
                        cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    struct bench_watch_counts *counts = watch->counts;
    uint64_t start_ns = bench_now_ns();
    int r = watch->inner->ops->create(watch->inner, key, data, size, reterr);
    atomic_fetch_add(&counts->others, 1);
    if (is_message(key))
        return r;
    atomic_store(&counts->create_ns, start_ns);
    atomic_store(&counts->created_ns, bench_now_ns());
    atomic_store(&counts->created_bytes, size);
    return r;
}

static int watch_flush(cairn_store *store, cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    return watch->inner->ops->flush(watch->inner, reterr);
}

static int watch_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                     cairn_sink *sink, cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    atomic_fetch_add(&watch->counts->others, 1);
    return watch->inner->ops->get(watch->inner, key, offset, size, sink, reterr);
}

static int watch_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                      cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    atomic_fetch_add(&watch->counts->others, 1);
    return watch->inner->ops->stat(watch->inner, key, ret_stat, reterr);
}

static int watch_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                      cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    atomic_fetch_add(&watch->counts->others, 1);
    return watch->inner->ops->list(watch->inner, prefix, fn, context, reterr);
}

static int watch_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn,
                               void *context, cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    atomic_fetch_add(&watch->counts->others, 1);
    return watch->inner->ops->list_segments(watch->inner, prefix, fn, context, reterr);
}

static int watch_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr)
{
    struct bench_watch *watch = watch_of(store);
    atomic_fetch_add(&watch->counts->others, 1);
    return watch->inner->ops->remove(watch->inner, keys, n, reterr);
}

static void watch_close(cairn_store *store)
{
    (void)store; /* both belong to who made them */
}

void bench_watch_init(struct bench_watch *watch, cairn_store *inner,
                      struct bench_watch_counts *counts)
{
    static const cairn_store_ops ops = {
        .struct_size = sizeof ops,
        .scheme = "watch",
        .close = watch_close,
        .put = watch_put,
        .create = watch_create,
        .flush = watch_flush,
        .get = watch_get,
        .stat = watch_stat,
        .list = watch_list,
        .list_segments = watch_list_segments,
        .remove = watch_remove,
    };
    *watch = (struct bench_watch){.base = {.ops = &ops}, .inner = inner, .counts = counts};
}

void bench_watch_reset(struct bench_watch_counts *counts)
{
    atomic_store(&counts->puts, 0);
    atomic_store(&counts->others, 0);
    atomic_store(&counts->last_put_ns, 0);
    atomic_store(&counts->create_ns, 0);
    atomic_store(&counts->created_ns, 0);
    atomic_store(&counts->created_bytes, 0);
}
