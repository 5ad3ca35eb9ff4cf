/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways on top of RocksDB's checkpoint (a directory of hard links, made after a flush):
 *
 *   plain-copy  copy every file of it, each time
 *   new-files   copy only the table files that no earlier round copied, and the small files. It is
 * the floor for an incremental checkpoint by files: the same flush and links, but no checksum, no
 * manifest, no atomicity, nothing that a restore could use by itself.
 *
 * Both copies are durable and use as many threads as every other method.
 */
#include "tools/bench/cairn_side.h"
#include "tools/bench/files.h"
#include "tools/bench/measure.h"
#include "tools/bench/method.h"
#include "tools/bench/raw.h"

#include <string.h>

struct copy_method {
    struct bench_method base;
    struct bench_raw *raw; /* NULL once the database is closed */
    rocksdb_checkpoint_t *checkpoint;
    struct bench_listing copied; /* new-files: what the previous round's checkpoint held */
    unsigned round;              /* of the newest copy; 0: none */
};

static void close_database(struct bench_method *base)
{
    struct copy_method *method = (struct copy_method *)base;
    if (method->checkpoint)
        rocksdb_checkpoint_object_destroy(method->checkpoint);
    method->checkpoint = NULL;
    bench_raw_close(method->raw);
    method->raw = NULL;
    base->target = NULL;
}

static void free_method(struct bench_method *base)
{
    close_database(base);
    bench_listing_done(&((struct copy_method *)base)->copied);
    free(base);
}

static int open_parts(struct copy_method *method, cairn_error **reterr)
{
    const struct bench_method_config *config = method->base.config;
    BENCH_AUTO_FREE char *dir = NULL;
    BENCH_TRY(bench_text(&dir, reterr, "%s/db", config->directory));
    BENCH_TRY(bench_copy_tree(config->base_db_dir, dir, config->threads, reterr));
    BENCH_TRY(
        bench_raw_open(dir, bench_memory_bytes(config->memtable_bytes) / 2, &method->raw, reterr));
    method->base.target = &method->raw->target;
    char *message = NULL;
    method->checkpoint = rocksdb_checkpoint_object_create(method->raw->db, &message);
    if (message)
        method->checkpoint = NULL;
    return bench_raw_check(message, "checkpoint object", reterr);
}

static int open_method(const struct bench_method_ops *ops, const struct bench_method_config *config,
                       struct bench_method **ret, cairn_error **reterr)
{
    struct copy_method *method = calloc(1, sizeof(*method));
    if (!method)
        return bench_fail_nomem(reterr);
    method->base = (struct bench_method){.ops = ops, .config = config};
    int r = open_parts(method, reterr);
    if (r < 0)
        free_method(&method->base);
    else
        *ret = &method->base;
    return r;
}

static int open_plain(const struct bench_method_config *config, struct bench_method **ret,
                      cairn_error **reterr)
{
    return open_method(&bench_method_plain_copy, config, ret, reterr);
}

static int open_new_files(const struct bench_method_config *config, struct bench_method **ret,
                          cairn_error **reterr)
{
    return open_method(&bench_method_new_files, config, ret, reterr);
}

static bool is_table(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".sst") == 0;
}

static bool listed(const struct bench_listing *listing, const char *path)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->files[i].path, path) == 0)
            return true;
    return false;
}

/* From what one RocksDB calls 000012.sst there is never another under that name. */
static int copy_links(struct copy_method *method, const char *links, bool only_new,
                      struct bench_cost *cost, cairn_error **reterr)
{
    struct bench_listing all = {0};
    BENCH_TRY(bench_list_tree(links, &all, reterr));
    struct bench_listing chosen = {.files = calloc(all.count + 1, sizeof(*all.files))};
    if (!chosen.files) {
        bench_listing_done(&all);
        return bench_fail_nomem(reterr);
    }
    for (size_t i = 0; i < all.count; i++)
        if (!only_new || !is_table(all.files[i].path) ||
            !listed(&method->copied, all.files[i].path))
            chosen.files[chosen.count++] = all.files[i]; /* the path stays all's */
    cost->full_bytes = bench_listing_bytes(&all);
    cost->reported_bytes = bench_listing_bytes(&chosen);

    BENCH_AUTO_FREE char *target = NULL;
    int r = bench_text(&target, reterr, "%s/%u", method->base.config->store_dir, method->round + 1);
    uint64_t start_ns = bench_now_ns();
    if (r == 0)
        r = bench_copy_files(links, target, &chosen, method->base.config->threads, reterr);
    cost->upload_us = (bench_now_ns() - start_ns) / 1000;
    free(chosen.files);
    if (r < 0) {
        bench_listing_done(&all);
        return r;
    }
    bench_listing_done(&method->copied);
    method->copied = all;
    method->round++;
    return 0;
}

static int checkpoint(struct bench_method *base, bool only_new, struct bench_cost *ret,
                      cairn_error **reterr)
{
    struct copy_method *method = (struct copy_method *)base;
    BENCH_AUTO_FREE char *links = NULL;
    BENCH_TRY(bench_text(&links, reterr, "%s/links", base->config->directory));
    struct bench_cost cost = {0};
    uint64_t start_ns = bench_now_ns();
    char *message = NULL;
    rocksdb_checkpoint_create(method->checkpoint, links, 0, &message);
    BENCH_TRY(bench_raw_check(message, "creating a checkpoint", reterr));
    cost.flush_us = (bench_now_ns() - start_ns) / 1000; /* the links are in it */
    cost.exact_us = cost.flush_us;
    BENCH_TRY(copy_links(method, links, only_new, &cost, reterr));
    *ret = cost;
    return 0;
}

static int checkpoint_plain(struct bench_method *base, bool full, struct bench_cost *ret,
                            cairn_error **reterr)
{
    (void)full;
    return checkpoint(base, false, ret, reterr);
}

static int checkpoint_new_files(struct bench_method *base, bool full, struct bench_cost *ret,
                                cairn_error **reterr)
{
    return checkpoint(base, !full, ret, reterr);
}

static int after(struct bench_method *base, struct bench_cost *cost, cairn_error **reterr)
{
    (void)cost;
    const struct copy_method *method = (const struct copy_method *)base;
    BENCH_AUTO_FREE char *links = NULL;
    BENCH_TRY(bench_text(&links, reterr, "%s/links", base->config->directory));
    BENCH_TRY(bench_remove_tree(links, reterr));
    if (method->round <= 2)
        return 0;
    BENCH_AUTO_FREE char *old = NULL;
    BENCH_TRY(bench_text(&old, reterr, "%s/%u", base->config->store_dir, method->round - 2));
    return bench_remove_tree(old, reterr);
}

static int restore(struct bench_method *base, const char *dir, char **ret_db_dir,
                   cairn_error **reterr)
{
    const struct copy_method *method = (const struct copy_method *)base;
    BENCH_AUTO_FREE char *source = NULL;
    BENCH_TRY(bench_text(&source, reterr, "%s/%u", base->config->store_dir, method->round));
    BENCH_TRY(bench_copy_tree(source, dir, base->config->threads, reterr));
    return bench_text(ret_db_dir, reterr, "%s", dir);
}

#define COPY_METHOD(name_, title_, restores_, open_, checkpoint_)                                  \
    {                                                                                              \
        .name = name_, .title = title_, .can_restore = restores_, .open = open_,                   \
        .checkpoint = checkpoint_, .after = after, .close_database = close_database,               \
        .restore = restore, .free = free_method                                                    \
    }
const struct bench_method_ops bench_method_plain_copy =
    COPY_METHOD("plain-copy", "RocksDB checkpoint, copied", true, open_plain, checkpoint_plain);
const struct bench_method_ops bench_method_new_files = COPY_METHOD(
    "new-files", "only the new files, copied", false, open_new_files, checkpoint_new_files);
