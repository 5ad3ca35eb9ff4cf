/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB without Cairn: scans, bulk loads, and puts in batches.
 *
 * Each does no more than the task needs, since targets are set against it: scans neither copy nor
 * compare, bulk loads get their entries ready and sorted from memory, batches have no write-ahead
 * log.
 */
#include "tools/bench/bare.h"
#include "tools/bench/parallel.h"

#include <stdatomic.h>
#include <string.h>

#define BATCH_BYTES ((size_t)2000000)
#define LOAD_CHECK_ENTRIES 1024u /* between looks at a table's size */

/* ---- scan ---- */

struct scan {
    const struct bench_raw *raw;
    const rocksdb_snapshot_t *snapshot;
    uint32_t threads;
    atomic_uint_fast64_t count;
};

static int scan_share(void *context, uint32_t i, cairn_error **reterr)
{
    struct scan *scan = context;
    struct bench_raw_scan range;
    uint64_t count = 0;
    bench_raw_scan_begin(&range, scan->raw, scan->snapshot, BENCH_KEY_GROUPS * i / scan->threads,
                         BENCH_KEY_GROUPS * (i + 1) / scan->threads - 1);
    for (; rocksdb_iter_valid(range.it); rocksdb_iter_next(range.it)) {
        size_t key_size, value_size;
        (void)rocksdb_iter_key(range.it, &key_size);
        (void)rocksdb_iter_value(range.it, &value_size);
        count += key_size > 0 && value_size > 0;
    }
    atomic_fetch_add(&scan->count, count);
    return bench_raw_scan_end(&range, reterr);
}

int bench_bare_scan(struct bench_raw *raw, uint32_t threads, uint64_t keys, cairn_error **reterr)
{
    struct scan scan = {.raw = raw, .threads = threads};
    scan.snapshot = rocksdb_create_snapshot(raw->db);
    int r = bench_parallel(threads, scan_share, &scan, reterr);
    rocksdb_release_snapshot(raw->db, scan.snapshot);
    BENCH_TRY(r);
    uint64_t count = atomic_load(&scan.count);
    return count == keys ? 0
                         : bench_fail(reterr, CAIRN_ECORRUPT, "a scan saw %llu of %llu keys",
                                      (unsigned long long)count, (unsigned long long)keys);
}

/* ---- bulk load ---- */

int bench_entries_collect(const struct bench_raw *raw, const struct bench_workload *workload,
                          struct bench_entries *ret, cairn_error **reterr)
{
    size_t size = BENCH_RAW_KEY_SIZE + workload->value_size;
    struct bench_entries entries = {.value_size = workload->value_size};
    entries.data = malloc(workload->keys * size);
    if (!entries.data)
        return bench_fail_nomem(reterr);
    struct bench_raw_scan scan;
    bool fits = true;
    bench_raw_scan_begin(&scan, raw, NULL, 0, BENCH_KEY_GROUPS - 1);
    for (; fits && rocksdb_iter_valid(scan.it); rocksdb_iter_next(scan.it)) {
        size_t key_size, value_size;
        const char *key = rocksdb_iter_key(scan.it, &key_size);
        const char *value = rocksdb_iter_value(scan.it, &value_size);
        fits = entries.count < workload->keys && key_size == BENCH_RAW_KEY_SIZE &&
               value_size == workload->value_size;
        if (!fits)
            break;
        uint8_t *to = entries.data + entries.count++ * size;
        memcpy(to, key, key_size);
        memcpy(to + key_size, value, value_size);
    }
    int r = bench_raw_scan_end(&scan, reterr);
    if (r == 0 && (!fits || entries.count != workload->keys))
        r = bench_fail(reterr, CAIRN_ECORRUPT, "the database does not hold what was loaded");
    if (r < 0)
        bench_entries_done(&entries);
    else
        *ret = entries;
    return r;
}

void bench_entries_done(struct bench_entries *entries)
{
    free(entries->data);
    *entries = (struct bench_entries){0};
}

struct load {
    const struct bench_raw *raw;
    const char *dir;
    const struct bench_entries *entries;
    uint32_t threads;
    uint32_t *file_counts; /* by thread */
};

static int load_file_name(const struct load *load, uint32_t i, uint32_t n, char **ret,
                          cairn_error **reterr)
{
    return bench_text(ret, reterr, "%s/bulk-%u-%u", load->dir, i, n);
}

/* One table, from entry *next on; as large as the database's own. */
static int load_table(const struct load *load, rocksdb_sstfilewriter_t *writer, const char *path,
                      uint64_t *next, uint64_t end, cairn_error **reterr)
{
    size_t value_size = load->entries->value_size, size = BENCH_RAW_KEY_SIZE + value_size;
    uint64_t target = rocksdb_options_get_target_file_size_base(load->raw->state_options);
    char *message = NULL;
    rocksdb_sstfilewriter_open(writer, path, &message);
    for (uint64_t written = 0; !message && *next < end && written < target; ++*next) {
        const char *entry = (const char *)load->entries->data + *next * size;
        rocksdb_sstfilewriter_put(writer, entry, BENCH_RAW_KEY_SIZE, entry + BENCH_RAW_KEY_SIZE,
                                  value_size, &message);
        if (*next % LOAD_CHECK_ENTRIES == 0)
            rocksdb_sstfilewriter_file_size(writer, &written);
    }
    if (!message)
        rocksdb_sstfilewriter_finish(writer, &message);
    return bench_raw_check(message, path, reterr);
}

static int load_share(void *context, uint32_t i, cairn_error **reterr)
{
    struct load *load = context;
    uint64_t count = load->entries->count;
    uint64_t next = count * i / load->threads, end = count * (i + 1) / load->threads;
    rocksdb_envoptions_t *file_options = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer =
        rocksdb_sstfilewriter_create(file_options, load->raw->state_options);
    int r = 0;
    while (r == 0 && next < end) {
        BENCH_AUTO_FREE char *path = NULL;
        r = load_file_name(load, i, load->file_counts[i]++, &path, reterr);
        if (r == 0)
            r = load_table(load, writer, path, &next, end, reterr);
    }
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(file_options);
    return r;
}

static int ingest(const struct load *load, char **names, size_t count, cairn_error **reterr)
{
    char *message = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingest_external_file_cf(load->raw->db, load->raw->state, (const char *const *)names,
                                    count, options, &message);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return bench_raw_check(message, "ingesting tables", reterr);
}

int bench_bare_load(struct bench_raw *raw, const char *dir, const struct bench_entries *entries,
                    uint32_t threads, cairn_error **reterr)
{
    BENCH_AUTO_FREE uint32_t *file_counts = calloc(threads, sizeof(*file_counts));
    if (!file_counts)
        return bench_fail_nomem(reterr);
    struct load load = {raw, dir, entries, threads, file_counts};
    BENCH_TRY(bench_parallel(threads, load_share, &load, reterr));
    size_t total = 0, count = 0;
    for (uint32_t i = 0; i < threads; i++)
        total += file_counts[i];
    BENCH_AUTO_FREE char **names = calloc(total + 1, sizeof(*names));
    if (!names)
        return bench_fail_nomem(reterr);
    int r = 0;
    for (uint32_t i = 0; i < threads; i++)
        for (uint32_t n = 0; r == 0 && n < file_counts[i]; n++)
            r = load_file_name(&load, i, n, &names[count++], reterr);
    if (r == 0)
        r = ingest(&load, names, total, reterr);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    return r;
}

/* ---- batches ---- */

static int write_batch(struct bench_raw *to, rocksdb_writebatch_t *batch, cairn_error **reterr)
{
    char *message = NULL;
    rocksdb_write(to->db, to->write_options, batch, &message);
    rocksdb_writebatch_clear(batch);
    return bench_raw_check(message, "writing a batch", reterr);
}

int bench_bare_reinsert(const struct bench_raw *from, struct bench_raw *to, uint32_t first,
                        uint32_t last, cairn_error **reterr)
{
    struct bench_raw_scan scan;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    size_t bytes = 0;
    int r = 0;
    bench_raw_scan_begin(&scan, from, NULL, first, last);
    for (; r == 0 && rocksdb_iter_valid(scan.it); rocksdb_iter_next(scan.it)) {
        size_t key_size, value_size;
        const char *key = rocksdb_iter_key(scan.it, &key_size);
        const char *value = rocksdb_iter_value(scan.it, &value_size);
        rocksdb_writebatch_put_cf(batch, to->state, key, key_size, value, value_size);
        bytes += key_size + value_size;
        if (bytes < BATCH_BYTES)
            continue;
        r = write_batch(to, batch, reterr);
        bytes = 0;
    }
    if (r == 0)
        r = write_batch(to, batch, reterr);
    rocksdb_writebatch_destroy(batch);
    int ended = bench_raw_scan_end(&scan, r < 0 ? NULL : reterr);
    return r < 0 ? r : ended;
}
