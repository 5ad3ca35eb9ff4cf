/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One memory budget for all databases of a process.
 *
 * Half of it is one LRU cache for blocks, filters and indexes, shared by all. The other half is for
 * memtables: RocksDB's C interface has no write buffer manager, and that one would flush whenever
 * it likes, which a barrier must be able to rule out. So each database reports what its memtables
 * take, and the one that has more than its fair share flushes early (rocksdb_pace.c).
 *
 * Only atomics: reports come from the writers' threads, a few thousand a second at the most.
 */
#include "backends/state/rocksdb_internal.h"

#define BUDGET_MIN ((uint64_t)8 << 20)

struct cairn_memory {
    /* constant after creation */
    rocksdb_cache_t *cache;
    uint64_t memtable_budget;
    /* atomic */
    atomic_uint references;
    atomic_uint databases;
    _Atomic uint64_t memtable_bytes; /* as reported by all databases */
};

CAIRN_API int cairn_memory_new(uint64_t size_bytes, cairn_memory **ret_memory, cairn_error **reterr)
{
    if (!ret_memory || size_bytes < BUDGET_MIN || size_bytes > SIZE_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a memory budget needs at least %llu bytes, not %llu",
                            (unsigned long long)BUDGET_MIN, (unsigned long long)size_bytes);
    CRN_AUTO_FREE cairn_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return crn_err_nomem(reterr);
    memory->memtable_budget = size_bytes / 2;
    memory->cache = rocksdb_cache_create_lru((size_t)(size_bytes - memory->memtable_budget));
    if (!memory->cache)
        return crn_err_nomem(reterr);
    atomic_init(&memory->references, 1);
    *ret_memory = CRN_TAKE(memory);
    return 0;
}

CAIRN_API void cairn_memory_release(cairn_memory *memory)
{
    if (!memory || atomic_fetch_sub(&memory->references, 1) > 1)
        return;
    rocksdb_cache_destroy(memory->cache);
    free(memory);
}

void crn_memory_retain(cairn_memory *memory)
{
    atomic_fetch_add(&memory->references, 1);
}

rocksdb_cache_t *crn_memory_cache(const cairn_memory *memory)
{
    return memory ? memory->cache : NULL;
}

uint64_t crn_memory_memtable_budget(const cairn_memory *memory)
{
    return memory ? memory->memtable_budget : 0;
}

void crn_memory_join(cairn_memory *memory)
{
    if (memory)
        atomic_fetch_add(&memory->databases, 1);
}

void crn_memory_leave(cairn_memory *memory, uint64_t reported_bytes)
{
    if (!memory)
        return;
    crn_memory_report(memory, reported_bytes, 0);
    atomic_fetch_sub(&memory->databases, 1);
}

void crn_memory_report(cairn_memory *memory, uint64_t from_bytes, uint64_t to_bytes)
{
    if (memory)
        atomic_fetch_add(&memory->memtable_bytes, to_bytes - from_bytes); /* modulo 2^64 */
}

uint64_t crn_memory_excess(const cairn_memory *memory, uint64_t *ret_fair_share)
{
    if (!memory)
        return 0;
    uint64_t total = atomic_load(&memory->memtable_bytes);
    unsigned int databases = atomic_load(&memory->databases);
    *ret_fair_share = memory->memtable_budget / (databases ? databases : 1);
    return total > memory->memtable_budget ? total - memory->memtable_budget : 0;
}
