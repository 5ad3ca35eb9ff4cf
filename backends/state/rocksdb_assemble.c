/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One database out of the tables of several: links under new numbers, and a MANIFEST that says that
 * it was always so. No entry is read or written.
 *
 * WHY IT IS RIGHT (P2). A database answers for a key from the tables whose bounds hold the key,
 * newest first. RocksDB's bounds of a table hold all its entries, and all keys that its range
 * tombstones reach. The stored subtasks' key groups are disjoint; but a table may reach beyond its
 * own subtask's: an earlier rescale linked it as it was, and what was foreign in it was hidden by
 * tombstones (rocksdb_clip.c) that a compaction has yet to carry out. So a source is taken as files
 * only if each of its tables keeps to the source's own key groups in all of the wanted range.
 * Then for a key of the wanted range:
 *   of its own source's key groups   only that source's tables can hold it, each with the entries,
 *                                    the level and the order that it had: the answer is the same
 *   of a source that is loaded       no table that was taken reaches it: nothing stale comes to
 *                                    light, no old tombstone hides what is loaded
 *   of no source                     no table reaches it: it stays absent
 * And outside of the wanted range the same table bounds leave only one source on each side, so two
 * sources' tables never overlap, on any level. What is there is stale or another subtask's, and
 * clip() hides it. With one source (scaling out) nothing but the wanted range counts, so whatever
 * lies beyond it is harmless. What is wholly outside is not linked.
 *
 * A base that is not clean could be cut to its own key groups first and the others loaded on top.
 * It is not done: until a background compaction has cleaned such tables they hold a multiple of
 * what is wanted, and after it no exception is needed.
 *
 * SEQUENCE NUMBERS. Those in the entries stay; they only ever compare entries of one key, hence of
 * one source. On level 0 RocksDB orders tables by those in the MANIFEST, over all sources, and
 * refuses ranges that interleave. So all of a source's level-0 tables are moved up by one number,
 * until sources follow each other: the order within each stays. Tables that were loaded
 * (rocksdb_load.c) have number 0, which RocksDB takes anywhere, and which must stay: it is what
 * their entries get. The database's last sequence number is at or above all of them.
 *
 * Sources' files may be links into a store, and are only read. The result is the same for the same
 * arguments. A crash leaves a directory that the next open removes.
 */
#include "backends/state/keys.h"
#include "backends/state/rocksdb_internal.h"
#include "backends/state/rocksdb_manifest.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sendfile.h>

#define SEQUENCE_MAX (((uint64_t)1 << 56) - 1)
#define MANIFEST_NUMBER 1u

/* The first key group's prefix, and the prefix of the one behind the last. */
struct group_range {
    uint8_t first[CRN_KEY_GROUP_SIZE_MAX], end[CRN_KEY_GROUP_SIZE_MAX];
    size_t size; /* of both */
};

struct source {
    struct crn_assembly_source *in;
    struct crn_rocksdb_manifest manifest;
    size_t *stored; /* by index of the manifest's tables: which of in->tables it is */
    bool *is_taken; /* by the same index: meets the wanted range */
    struct group_range own;
    bool has_level0; /* of those taken; ones of sequence number 0 do not count */
    uint64_t level0_first, level0_last, shift; /* sequence numbers, and what is added to them */
};

struct assembler {
    struct crn_assembly *assembly;
    cairn_error **reterr;
    struct source *sources;
    struct group_range wanted;
    struct crn_rocksdb_manifest out; /* points into the sources' */
    bool needs_clip;
};

static void assembler_done(struct assembler *a)
{
    for (size_t i = 0; a->sources && i < a->assembly->source_count; i++) {
        crn_rocksdb_manifest_done(&a->sources[i].manifest);
        free(a->sources[i].stored);
        free(a->sources[i].is_taken);
    }
    free(a->sources);
    crn_rocksdb_manifest_done(&a->out);
}

/* ---- bounds ---- */

static int set_range(struct assembler *a, struct group_range *range, uint32_t first, uint32_t last)
{
    uint32_t groups = a->assembly->max_parallelism;
    if (first > last || last >= groups)
        return crn_err_fail(a->reterr, CAIRN_EINVAL, NULL, "key groups %u to %u of %u", first, last,
                            groups);
    range->size = crn_key_group_prefix(first, groups, range->first);
    (void)crn_key_group_prefix(last + 1, groups, range->end);
    return 0;
}

static int compare(const uint8_t *key, size_t key_size, const uint8_t *bound, size_t bound_size)
{
    size_t common = key_size < bound_size ? key_size : bound_size;
    int order = common > 0 ? memcmp(key, bound, common) : 0;
    return order != 0 ? order : (key_size > bound_size) - (key_size < bound_size);
}

/* Holds or reaches a key below the bound. */
static bool begins_before(const struct crn_rocksdb_table *table, const uint8_t *bound, size_t size)
{
    return compare(table->smallest, table->smallest_size, bound, size) < 0;
}

/* Holds or reaches a key at the bound or behind it. */
static bool reaches(const struct crn_rocksdb_table *table, const uint8_t *bound, size_t size)
{
    int order = compare(table->largest, table->largest_size, bound, size);
    return order > 0 || (order == 0 && table->largest_tail != CRN_ROCKSDB_TAIL_EXCLUSIVE);
}

static bool meets(const struct crn_rocksdb_table *table, const struct group_range *range)
{
    return reaches(table, range->first, range->size) &&
           begins_before(table, range->end, range->size);
}

static bool is_inside(const struct crn_rocksdb_table *table, const struct group_range *range)
{
    return !begins_before(table, range->first, range->size) &&
           !reaches(table, range->end, range->size);
}

/* Within the wanted range it keeps to its source's key groups. */
static bool is_clean(const struct crn_rocksdb_table *table, const struct group_range *own,
                     const struct group_range *wanted)
{
    bool own_begins_inside = memcmp(own->first, wanted->first, own->size) > 0;
    bool own_ends_inside = memcmp(own->end, wanted->end, own->size) < 0;
    return !(own_begins_inside && begins_before(table, own->first, own->size)) &&
           !(own_ends_inside && reaches(table, own->end, own->size));
}

/* ---- sources ---- */

static int differs(const struct assembler *a, const struct source *source, const char *name)
{
    return crn_err_fail(a->reterr, CAIRN_ECORRUPT, name,
                        "table '%s' in '%s' is not the one that its checkpoint has", name,
                        source->in->directory);
}

static int find_table(const struct crn_rocksdb_manifest *manifest, uint64_t number, size_t *ret)
{
    size_t low = 0, high = manifest->table_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (manifest->tables[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    *ret = low;
    return low < manifest->table_count && manifest->tables[low].number == number;
}

static bool same_table(const cairn_file_info *info, const struct crn_rocksdb_table *table)
{
    size_t prefix = strlen(CRN_ROCKSDB_FAMILY_PREFIX);
    return strncmp(table->column_family, CRN_ROCKSDB_FAMILY_PREFIX, prefix) == 0 && info->state &&
           strcmp(table->column_family + prefix, info->state) == 0 && info->size == table->size &&
           info->level == table->level && info->sequence_first == table->sequence_first &&
           info->sequence_last == table->sequence_last;
}

/* Both lists of tables, the checkpoint's and RocksDB's, must be one. */
static int match_tables(struct assembler *a, struct source *source)
{
    size_t count = source->manifest.table_count;
    source->stored = calloc(count + 1, sizeof(*source->stored));
    source->is_taken = calloc(count + 1, sizeof(*source->is_taken));
    if (!source->stored || !source->is_taken)
        return crn_err_nomem(a->reterr);
    for (size_t i = 0; i < count; i++)
        source->stored[i] = SIZE_MAX;
    for (size_t i = 0; i < source->in->table_count; i++) {
        const cairn_file_info *info = source->in->tables[i];
        size_t at;
        if (!find_table(&source->manifest, info->number, &at) || source->stored[at] != SIZE_MAX ||
            !same_table(info, &source->manifest.tables[at]))
            return differs(a, source, info->name);
        source->stored[at] = i;
    }
    if (source->in->table_count != count)
        return crn_err_fail(a->reterr, CAIRN_ECORRUPT, source->in->directory,
                            "RocksDB's manifest in '%s' lists %zu tables, its checkpoint has %zu",
                            source->in->directory, count, source->in->table_count);
    return 0;
}

static void note_level0(struct source *source, const struct crn_rocksdb_table *table)
{
    if (table->sequence_last == 0)
        return;
    if (!source->has_level0 || table->sequence_first < source->level0_first)
        source->level0_first = table->sequence_first;
    if (!source->has_level0 || table->sequence_last > source->level0_last)
        source->level0_last = table->sequence_last;
    source->has_level0 = true;
}

/* Which of its tables are wanted, and whether they can be taken as they are. */
static int examine(struct assembler *a, struct source *source)
{
    CRN_TRY(crn_rocksdb_manifest_read(source->in->directory, &source->manifest, a->reterr));
    CRN_TRY(match_tables(a, source));
    if (source->manifest.last_sequence > SEQUENCE_MAX)
        return crn_err_fail(a->reterr, CAIRN_ECORRUPT, source->in->directory,
                            "RocksDB's manifest in '%s' has an impossible sequence number",
                            source->in->directory);
    CRN_TRY(set_range(a, &source->own, source->in->key_group_first, source->in->key_group_last));
    for (size_t i = 0; i < source->manifest.table_count; i++) {
        const struct crn_rocksdb_table *table = &source->manifest.tables[i];
        source->is_taken[i] = meets(table, &a->wanted);
        if (!source->is_taken[i])
            continue;
        source->in->must_load |= !is_clean(table, &source->own, &a->wanted);
        if (table->level == 0)
            note_level0(source, table);
    }
    return 0;
}

/* ---- sequence numbers of level 0 ---- */

/* Each source's begin behind those of the one before. */
static void place_level0(struct assembler *a)
{
    uint64_t end = 0; /* the last number that is used */
    for (size_t i = 0; i < a->assembly->source_count; i++) {
        struct source *source = &a->sources[i];
        if (source->in->must_load || !source->has_level0)
            continue;
        if (source->level0_first <= end)
            source->shift = end + 1 - source->level0_first;
        if (source->shift > SEQUENCE_MAX - source->level0_last) {
            source->in->must_load = true; /* more writes than anybody makes */
            continue;
        }
        end = source->level0_last + source->shift;
    }
}

/* ---- the new database ---- */

static bool has_family(const struct crn_rocksdb_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->column_family_count; i++)
        if (strcmp(manifest->column_families[i], name) == 0)
            return true;
    return false;
}

static int unite_families(struct assembler *a)
{
    size_t capacity = 1;
    for (size_t i = 0; i < a->assembly->source_count; i++)
        capacity += a->sources[i].manifest.column_family_count;
    a->out.column_families = calloc(capacity, sizeof(*a->out.column_families));
    if (!a->out.column_families)
        return crn_err_nomem(a->reterr);
    a->out.column_families[a->out.column_family_count++] = "default";
    for (size_t i = 0; i < a->assembly->source_count; i++) {
        const struct crn_rocksdb_manifest *manifest = &a->sources[i].manifest;
        if (a->sources[i].in->must_load)
            continue;
        for (size_t k = 0; k < manifest->column_family_count; k++)
            if (!has_family(&a->out, manifest->column_families[k]))
                a->out.column_families[a->out.column_family_count++] = manifest->column_families[k];
    }
    return 0;
}

static void take_table(struct assembler *a, size_t source_index, size_t i)
{
    const struct source *source = &a->sources[source_index];
    struct crn_rocksdb_table *table = &a->out.tables[a->out.table_count];

    *table = source->manifest.tables[i];
    table->number = MANIFEST_NUMBER + 1 + a->out.table_count;
    if (table->level == 0 && table->sequence_last > 0) {
        table->sequence_first += source->shift;
        table->sequence_last += source->shift;
    }
    if (table->sequence_last > a->out.last_sequence)
        a->out.last_sequence = table->sequence_last;
    a->needs_clip |= !is_inside(table, &a->wanted);
    a->assembly->tables[a->out.table_count++] = (struct crn_assembled_table){
        .source = source_index,
        .table = source->stored[i],
        .number = table->number,
        .level = table->level,
        .sequence_first = table->sequence_first,
        .sequence_last = table->sequence_last,
    };
}

static int take_tables(struct assembler *a)
{
    size_t capacity = 1;
    for (size_t i = 0; i < a->assembly->source_count; i++)
        capacity += a->sources[i].manifest.table_count;
    a->out.tables = calloc(capacity, sizeof(*a->out.tables));
    a->assembly->tables = calloc(capacity, sizeof(*a->assembly->tables));
    if (!a->out.tables || !a->assembly->tables)
        return crn_err_nomem(a->reterr);
    for (size_t i = 0; i < a->assembly->source_count; i++) {
        const struct source *source = &a->sources[i];
        if (source->in->must_load)
            continue;
        if (source->manifest.last_sequence > a->out.last_sequence)
            a->out.last_sequence = source->manifest.last_sequence;
        for (size_t k = 0; k < source->manifest.table_count; k++)
            if (source->is_taken[k])
                take_table(a, i, k);
    }
    a->assembly->table_count = a->out.table_count;
    a->assembly->needs_clip = a->needs_clip;
    a->out.next_file_number = MANIFEST_NUMBER + 1 + a->out.table_count;
    return 0;
}

/* Where the file system has no (more) links. */
static int copy_table(const struct assembler *a, const char *from, const char *to)
{
    CRN_AUTO_FD int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return crn_err_os(a->reterr, errno, from, "cannot open '%s'", from);
    CRN_AUTO_FD int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out < 0)
        return crn_err_os(a->reterr, errno, to, "cannot create '%s'", to);
    ssize_t n;
    do {
        n = sendfile(out, in, NULL, (size_t)1 << 30);
    } while (n > 0);
    return n < 0 ? crn_err_os(a->reterr, errno, to, "cannot copy '%s' to '%s'", from, to) : 0;
}

static int link_table(const struct assembler *a, const struct crn_assembled_table *table)
{
    const struct crn_assembly_source *source = &a->assembly->sources[table->source];
    CRN_AUTO_FREE char *from = NULL;
    CRN_AUTO_FREE char *to = NULL;
    CRN_TRY(crn_str_printf(&from, a->reterr, "%s/%s", source->directory,
                           source->tables[table->table]->name));
    CRN_TRY(crn_str_printf(&to, a->reterr, "%s/%06" PRIu64 ".sst", a->assembly->directory,
                           table->number));
    if (link(from, to) == 0)
        return 0;
    if (errno == EXDEV || errno == EMLINK || errno == EPERM || errno == EOPNOTSUPP)
        return copy_table(a, from, to);
    return crn_err_os(a->reterr, errno, from, "cannot link '%s' to '%s'", from, to);
}

static int build(struct assembler *a)
{
    CRN_TRY(unite_families(a));
    CRN_TRY(take_tables(a));
    for (size_t i = 0; i < a->assembly->table_count; i++)
        CRN_TRY(link_table(a, &a->assembly->tables[i]));
    return crn_rocksdb_manifest_create(a->assembly->directory, &a->out, MANIFEST_NUMBER, a->reterr);
}

static int assemble(struct assembler *a)
{
    struct crn_assembly *assembly = a->assembly;
    bool any_taken = false;

    CRN_TRY(set_range(a, &a->wanted, assembly->key_group_first, assembly->key_group_last));
    for (size_t i = 0; i < assembly->source_count; i++) {
        a->sources[i].in = &assembly->sources[i];
        assembly->sources[i].must_load = false;
        CRN_TRY(examine(a, &a->sources[i]));
    }
    place_level0(a);
    for (size_t i = 0; i < assembly->source_count; i++)
        any_taken |= !assembly->sources[i].must_load;
    return any_taken ? build(a) : 0;
}

int crn_rocksdb_assemble(struct crn_assembly *assembly, cairn_error **reterr)
{
    struct assembler a = {.assembly = assembly,
                          .reterr = reterr,
                          .sources = calloc(assembly->source_count + 1, sizeof(*a.sources))};
    assembly->tables = NULL;
    assembly->table_count = 0;
    assembly->needs_clip = false;
    int r = a.sources ? assemble(&a) : crn_err_nomem(reterr);
    assembler_done(&a);
    if (r < 0) {
        free(CRN_TAKE(assembly->tables));
        assembly->table_count = 0;
    }
    return r;
}
