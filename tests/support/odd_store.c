/* SPDX-License-Identifier: Apache-2.0 */
/* A view of a shared store that behaves oddly. Lock: its own, never held while the shared store
 * works. */
#include "tests/support/odd_store.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/thread.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct odd {
    cairn_store store;
    cairn_store *shared;
    struct crn_mutex lock;
    /* Guarded by lock. */
    unsigned refused_ops;
    char *refused_part;
    int refusal;
    int first, later;
    bool babbles;
};

static struct odd *self(cairn_store *store)
{
    return (struct odd *)store;
}

/* 0, or the code with which this call is refused. */
static int refusal_of(cairn_store *store, unsigned op, const char *key, cairn_error **reterr)
{
    struct odd *odd = self(store);
    crn_mutex_lock(&odd->lock);
    bool refused = odd->refused_part != NULL && (odd->refused_ops & op) != 0 &&
                   strstr(key, odd->refused_part) != NULL;
    int code = refused ? odd->refusal : 0;
    crn_mutex_unlock(&odd->lock);
    return code == 0 ? 0 : crn_err_fail(reterr, code, key, "'%s' is refused", key);
}

static int odd_put(cairn_store *store, const char *key, cairn_source *source,
                   cairn_put_how *ret_how, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    int r = refusal_of(store, CRN_FAULT_PUT, key, reterr);
    return r < 0 ? r : shared->ops->put(shared, key, source, ret_how, reterr);
}

static int odd_create(cairn_store *store, const char *key, const void *data, size_t size,
                      cairn_error **reterr)
{
    struct odd *odd = self(store);
    cairn_store *shared = odd->shared;
    crn_mutex_lock(&odd->lock);
    int first = odd->first, later = odd->later;
    odd->first = 0;
    crn_mutex_unlock(&odd->lock);
    if (first != 0) {
        ck_assert_int_eq(shared->ops->create(shared, key, data, size, NULL), 0);
        return cairn_error_set(reterr, first, key, 0, "done, and failed");
    }
    if (later != 0)
        return cairn_error_set(reterr, later, key, 0, "not done");
    int r = refusal_of(store, CRN_FAULT_CREATE, key, reterr);
    return r < 0 ? r : shared->ops->create(shared, key, data, size, reterr);
}

static int odd_flush(cairn_store *store, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    return shared->ops->flush(shared, reterr);
}

static int odd_get(cairn_store *store, const char *key, uint64_t offset, uint64_t size,
                   cairn_sink *sink, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    int r = refusal_of(store, CRN_FAULT_GET, key, reterr);
    return r < 0 ? r : shared->ops->get(shared, key, offset, size, sink, reterr);
}

static int odd_stat(cairn_store *store, const char *key, cairn_object_stat *ret_stat,
                    cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    int r = refusal_of(store, CRN_FAULT_STAT, key, reterr);
    return r < 0 ? r : shared->ops->stat(shared, key, ret_stat, reterr);
}

static int babble(cairn_store *store, cairn_list_fn fn, void *context)
{
    static const char *const keys[] = {"",
                                       "/",
                                       "a",
                                       "j",
                                       "jo",
                                       "job",
                                       "job/",
                                       "job/MANIFEST-chk",
                                       "job2/MANIFEST-chk77",
                                       "M",
                                       "zz",
                                       "shared/e1-c99-1.sst",
                                       "MANIFEST-chk77",
                                       "jobs/shared/e1-c99-1.sst"};
    struct odd *odd = self(store);
    crn_mutex_lock(&odd->lock);
    bool babbles = odd->babbles;
    crn_mutex_unlock(&odd->lock);
    int r = 0;
    for (size_t i = 0; babbles && r == 0 && i < CRN_COUNT(keys); i++) {
        char *key = strdup(keys[i]); /* of its own, so that reading beyond it is found */
        ck_assert_ptr_nonnull(key);
        r = fn(context, key, &(cairn_object_stat){.size = 1});
        free(key);
    }
    return r;
}

static int odd_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                    cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    int r = babble(store, fn, context);
    return r != 0 ? r : shared->ops->list(shared, prefix, fn, context, reterr);
}

static int odd_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn,
                             void *context, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    return shared->ops->list_segments(shared, prefix, fn, context, reterr);
}

static int odd_remove(cairn_store *store, const char *const *keys, size_t n, cairn_error **reterr)
{
    cairn_store *shared = self(store)->shared;
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        cairn_error *error = NULL;
        int r = refusal_of(store, CRN_FAULT_REMOVE, keys[i], &error);
        if (r == 0)
            r = shared->ops->remove(shared, &keys[i], 1, &error);
        if (r < 0 && first == 0)
            first = crn_err_move(reterr, &error, r);
        cairn_error_free(error);
    }
    return first;
}

static void odd_close(cairn_store *store)
{
    struct odd *odd = self(store);
    crn_mutex_done(&odd->lock);
    free(odd->refused_part);
    free((void *)(uintptr_t)odd->store.ops);
    free(odd);
}

/* In memory of exactly that size, where a look beyond its end is found. */
static cairn_store_ops *new_ops(size_t struct_size)
{
    const cairn_store_ops ops = {
        .struct_size = (uint32_t)struct_size,
        .scheme = "odd",
        .close = odd_close,
        .put = odd_put,
        .create = odd_create,
        .flush = odd_flush,
        .get = odd_get,
        .stat = odd_stat,
        .list = odd_list,
        .list_segments = odd_list_segments,
        .remove = odd_remove,
    };
    cairn_store_ops *copy = malloc(struct_size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, &ops, struct_size);
    return copy;
}

cairn_store *odd_store_open(cairn_store *shared)
{
    struct odd *odd = calloc(1, sizeof *odd);
    ck_assert_ptr_nonnull(odd);
    odd->store.ops = new_ops(sizeof(cairn_store_ops));
    odd->shared = shared;
    crn_mutex_init(&odd->lock, CRN_RANK_STORE);
    return &odd->store;
}

void odd_store_refuse(cairn_store *store, unsigned ops, const char *part, int code)
{
    struct odd *odd = self(store);
    char *copy = part == NULL ? NULL : strdup(part);
    ck_assert_int_eq(copy == NULL, part == NULL);
    crn_mutex_lock(&odd->lock);
    free(odd->refused_part);
    odd->refused_ops = ops;
    odd->refused_part = copy;
    odd->refusal = code;
    crn_mutex_unlock(&odd->lock);
}

void odd_store_lie(cairn_store *store, int first, int later)
{
    struct odd *odd = self(store);
    crn_mutex_lock(&odd->lock);
    odd->first = first;
    odd->later = later;
    crn_mutex_unlock(&odd->lock);
}

void odd_store_babble(cairn_store *store)
{
    struct odd *odd = self(store);
    crn_mutex_lock(&odd->lock);
    odd->babbles = true;
    crn_mutex_unlock(&odd->lock);
}

void odd_store_cut(cairn_store *store, size_t struct_size)
{
    struct odd *odd = self(store);
    free((void *)(uintptr_t)odd->store.ops);
    odd->store.ops = new_ops(struct_size);
}
