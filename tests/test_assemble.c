/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rescaling by files: the writer of RocksDB's MANIFEST, assemble(), clip() and what cleans tables
 * afterwards (P2, P4).
 *
 * Proves: a MANIFEST that is written reads as what was written, and RocksDB opens it. Databases
 * that are written to at random (values, lists of many operands, range tombstones, expiry, states
 * that only some subtasks have) hold exactly an oracle's entries through chains of rescales, with
 * flushes and compactions in between, whether tables are taken or entries loaded. Tables that were
 * taken need no upload at the next checkpoint. Stored files are never changed. After the first
 * checkpoint tables are cut to their key groups in the background, so that they can be taken again;
 * closing meanwhile works. Files that do not fit the checkpoint are damage.
 */
#include "backends/state/keys.h"
#include "backends/state/rocksdb_manifest.h"
#include "base/hash.h"
#include "tests/support/rescale.h"

static const char NO_COMPACTIONS[] = "disable_auto_compactions=true";
static const char SMALL_TABLES[] = "target_file_size_base=40000;max_bytes_for_level_base=80000;"
                                   "level0_file_num_compaction_trigger=3";

/* ---- the MANIFEST ---- */

static void assert_same_table(const struct crn_rocksdb_table *a, const struct crn_rocksdb_table *b)
{
    ck_assert_str_eq(a->column_family, b->column_family);
    ck_assert_uint_eq(a->number, b->number);
    ck_assert_uint_eq(a->size, b->size);
    ck_assert_uint_eq(a->level, b->level);
    ck_assert_uint_eq(a->sequence_first, b->sequence_first);
    ck_assert_uint_eq(a->sequence_last, b->sequence_last);
    ck_assert_uint_eq(a->smallest_size, b->smallest_size);
    ck_assert_mem_eq(a->smallest, b->smallest, a->smallest_size);
    ck_assert_uint_eq(a->smallest_tail, b->smallest_tail);
    ck_assert_uint_eq(a->largest_size, b->largest_size);
    ck_assert_mem_eq(a->largest, b->largest, a->largest_size);
    ck_assert_uint_eq(a->largest_tail, b->largest_tail);
    ck_assert_int_eq(a->has_crc32c, b->has_crc32c);
    ck_assert_uint_eq(a->crc32c, b->crc32c);
    ck_assert_int_eq(a->has_unique_id, b->has_unique_id);
    ck_assert_mem_eq(a->unique_id, b->unique_id, sizeof(a->unique_id));
    ck_assert_uint_eq(a->oldest_time, b->oldest_time);
    ck_assert_uint_eq(a->creation_time, b->creation_time);
}

static void assert_same_manifest(const struct crn_rocksdb_manifest *a,
                                 const struct crn_rocksdb_manifest *b)
{
    ck_assert_uint_eq(a->last_sequence, b->last_sequence);
    ck_assert_uint_eq(a->next_file_number, b->next_file_number);
    ck_assert_uint_eq(a->column_family_count, b->column_family_count);
    for (size_t i = 0; i < a->column_family_count; i++)
        ck_assert_str_eq(a->column_families[i], b->column_families[i]);
    ck_assert_uint_eq(a->table_count, b->table_count);
    for (size_t i = 0; i < a->table_count; i++)
        assert_same_table(&a->tables[i], &b->tables[i]);
}

START_TEST(a_written_manifest_reads_as_it_was)
{
    struct world *world = world_new(11, NO_COMPACTIONS);
    struct crn_rocksdb_manifest manifest = {0}, back = {0};
    struct cairn_buffer bytes = {0};
    world_write(world, 20000);
    world_checkpoint(world);
    ck_ok(crn_rocksdb_manifest_read(world->subtasks[0].stored, &manifest, reterr));
    ck_assert_uint_gt(manifest.table_count, 4);
    for (size_t i = 0; i < manifest.table_count; i++)
        ck_assert(manifest.tables[i].has_unique_id && manifest.tables[i].has_crc32c &&
                  manifest.tables[i].creation_time > 0 && manifest.tables[i].smallest_tail > 0);
    ck_assert_int_eq(crn_rocksdb_manifest_write(&manifest, &bytes), 0);
    ck_ok(crn_rocksdb_manifest_parse(bytes.data, bytes.size, "back", &back, reterr));
    assert_same_manifest(&manifest, &back);
    crn_rocksdb_manifest_done(&manifest);
    crn_rocksdb_manifest_done(&back);
    crn_buf_done(&bytes);
    world_free(world);
}
END_TEST

/* Records that cross the ends of blocks, and fields at their limits. */
START_TEST(large_manifests_are_written)
{
    enum { COUNT = 3000 };
    static const char *families[] = {"default", "state:a", "state:b"};
    static const uint8_t keys[][3] = {"a", "b\xff", "\0z"};
    struct crn_rocksdb_table *tables = calloc(COUNT, sizeof(*tables));
    ck_assert_ptr_nonnull(tables);
    for (size_t i = 0; i < COUNT; i++)
        tables[i] =
            (struct crn_rocksdb_table){.column_family = families[1 + i % 2],
                                       .number = i + 2,
                                       .size = i * 1000,
                                       .level = i % 7,
                                       .sequence_first = i,
                                       .sequence_last = (UINT64_C(1) << 56) - 1 - i,
                                       .smallest = keys[0],
                                       .smallest_size = i % 2,
                                       .largest = keys[1],
                                       .largest_size = 2,
                                       .smallest_tail = i << 8 | 1,
                                       .largest_tail = i % 5 ? CRN_ROCKSDB_TAIL_EXCLUSIVE : 0x201,
                                       .has_crc32c = i % 3 > 0,
                                       .crc32c = i % 3 > 0 ? 0xfffffff0u + (uint32_t)i : 0,
                                       .has_unique_id = i % 4 == 0,
                                       .oldest_time = i % 6 ? UINT64_MAX - i : 0,
                                       .creation_time = i};
    struct crn_rocksdb_manifest manifest = {.tables = tables,
                                            .table_count = COUNT,
                                            .column_families = families,
                                            .column_family_count = CRN_COUNT(families),
                                            .last_sequence = (UINT64_C(1) << 56) - 1,
                                            .next_file_number = COUNT + 2},
                                back = {0};
    struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_rocksdb_manifest_write(&manifest, &bytes), 0);
    ck_assert_uint_gt(bytes.size, 5 * 32768);
    ck_ok(crn_rocksdb_manifest_parse(bytes.data, bytes.size, "back", &back, reterr));
    assert_same_manifest(&manifest, &back);
    crn_rocksdb_manifest_done(&back);
    crn_buf_done(&bytes);
    free(tables);
}
END_TEST

/* ---- rescaling ---- */

START_TEST(merged_tables_are_known)
{
    struct world *world = world_new(21, NO_COMPACTIONS);
    world_write(world, 12000);
    world_rescale(world, 3);
    world_check(world);
    ck_assert_uint_eq(world->loaded, 0);
    ck_assert_uint_eq(world->clipped, 3);
    ck_assert_uint_eq(world->tables_known, world->assembled_tables_present);
    ck_assert_uint_gt(world->tables_known, 0);
    /* Level-0 tables of three databases, with the same sequence numbers. */
    for (uint32_t i = 0; i < 3; i++)
        for (size_t s = 0; s < WORLD_STATES; s++)
            if (world->subtasks[i].states[s])
                compact(world->subtasks[i].db, world->subtasks[i].states[s]);
    for (unsigned int round = 0; round < 3; round++) {
        world_write(world, 4000);
        world_checkpoint(world);
    }
    ck_assert(world_is_clean(world));
    world_rescale(world, 1);
    world_check(world);
    ck_assert_uint_eq(world->taken, 3);
    ck_assert_uint_eq(world->loaded + world->clipped, 0);
    ck_assert_uint_gt(world->tables, 20);
    ck_assert_uint_eq(world->tables_known, world->tables); /* nothing is uploaded again */
    for (size_t s = 0; s < WORLD_STATES; s++)
        compact(world->subtasks[0].db, world->subtasks[0].states[s]);
    world_check(world);
    world_check_stored(world);
    world_free(world);
}
END_TEST

/* Old tombstones and what they hide must not meet another source's entries. */
START_TEST(unclean_tables_are_not_taken)
{
    struct world *world = world_new(31, NO_COMPACTIONS);
    world->stays_unclean = true;
    world_write(world, 12000);
    for (size_t s = 0; s < WORLD_STATES; s++) /* also in tables of deeper levels */
        compact(world->subtasks[0].db, world->subtasks[0].states[s]);
    world_write(world, 4000);
    world_rescale(world, 4);
    world_check(world);
    ck_assert(!world_is_clean(world));
    ck_assert_uint_eq(world->taken, 4); /* four times the one */
    world_write(world, 4000);
    world_rescale(world, 2);
    world_check(world);
    ck_assert_uint_eq(world->loaded, 4);
    world_write(world, 4000);
    world_rescale(world, 4); /* loaded entries are clean, and so are the halves' halves */
    world_check(world);
    ck_assert_uint_eq(world->taken, 4);
    world_write(world, 1000);
    world_rescale(world, 3); /* of old and new neighbours, only some meet */
    world_check(world);
    world_free(world);
}
END_TEST

/* Any keys, and the bounds themselves. Tables with nothing else are gone at once. */
/* Tables that are being compacted are not dropped. */
static void wait_for_compactions(struct crn_state_db *db)
{
    rocksdb_t *rocks = crn_rocksdb_of(db)->db;
    while (crn_rocksdb_property(rocks, "rocksdb.compaction-pending") > 0 ||
           crn_rocksdb_property(rocks, "rocksdb.num-running-compactions") > 0)
        crn_sleep_us(1000);
}

START_TEST(clip_keeps_a_range)
{
    static const cairn_state_info info = {.name = "s", .kind = CAIRN_KIND_VALUE};
    static const uint8_t first[] = "0500", end[] = "0900";
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .extra_options = SMALL_TABLES};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *state = open_state(db, &info), *empty = NULL;
    static char value[1000];
    char key[16];
    ck_ok(db->ops->open_state(db, &(cairn_state_info){.name = "empty", .kind = CAIRN_KIND_LIST},
                              &empty, reterr));
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t x = i;
        for (size_t k = 0; k < sizeof(value); k += 8)
            x = x * 6364136223846793005u + 1, memcpy(value + k, &x, 8);
        snprintf(key, sizeof(key), "%04u", (unsigned int)i);
        ck_ok(db->ops->put(db, state, key, 4, value, sizeof(value), reterr));
    }
    compact(db, state);
    wait_for_compactions(db);
    uint64_t before =
        crn_rocksdb_state_property(crn_rocksdb_of(db)->db, state, "rocksdb.total-sst-files-size");
    struct crn_state_range keep = {_i & 1 ? first : NULL, _i & 2 ? end : NULL, _i & 1 ? 4 : 0,
                                   _i & 2 ? 4 : 0};
    ck_ok(db->ops->clip(db, &keep, reterr));
    uint64_t after =
        crn_rocksdb_state_property(crn_rocksdb_of(db)->db, state, "rocksdb.live-sst-files-size");
    for (unsigned int i = 0; i < 1000; i++) {
        struct crn_pin pin = {0};
        bool kept = (!(_i & 1) || i >= 500) && (!(_i & 2) || i < 900);
        snprintf(key, sizeof(key), "%04u", i);
        ck_assert_int_eq(ck_ok(db->ops->get(db, state, key, 4, &pin, reterr)), kept);
        db->ops->unpin(&pin);
    }
    if (_i & 1)
        ck_assert_uint_lt(after, before - before / 3);
    else if (_i == 0)
        ck_assert_uint_eq(after, before);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

static void wait_until_clean(struct world *world)
{
    uint64_t deadline_us = crn_now_us() + 20000000;
    while (!world_is_clean(world) && crn_now_us() < deadline_us)
        crn_sleep_us(2000);
    ck_assert(world_is_clean(world));
}

START_TEST(tables_are_cleaned_in_the_background)
{
    struct world *world = world_new(41, _i ? SMALL_TABLES : NO_COMPACTIONS);
    world_write(world, 30000);
    world_rescale(world, 4); /* with a checkpoint of each */
    wait_until_clean(world);
    world_check(world);
    world_write(world, 4000);
    world_rescale(world, 2);
    ck_assert_uint_eq(world->taken, 4);
    ck_assert_uint_eq(world->loaded, 0);
    ck_assert_uint_eq(world->clipped, 0);
    world_check(world);
    world_free(world);
}
END_TEST

/* A range tombstone that ends where the next subtask's key groups begin reaches none of them. */
START_TEST(tombstones_up_to_the_border)
{
    struct world *world = world_new(61, NO_COMPACTIONS);
    world_rescale(world, 2);
    world_write(world, 12000);
    for (uint32_t i = 0; i < 2; i++)
        world_remove_group(world, world->subtasks[i].last);
    world_rescale(world, 1);
    ck_assert_uint_eq(world->taken, 2);
    ck_assert_uint_eq(world->clipped, 0);
    world_check(world);
    for (size_t s = 0; s < WORLD_STATES; s++)
        compact(world->subtasks[0].db, world->subtasks[0].states[s]);
    world_check(world);
    world_free(world);
}
END_TEST

static uint64_t in_memtables(const struct world *world)
{
    const struct world_subtask *subtask = &world->subtasks[1];
    uint64_t sum = 0;
    for (size_t s = 0; s < WORLD_STATES; s++)
        if (subtask->states[s])
            sum += crn_rocksdb_state_property(crn_rocksdb_of(subtask->db)->db, subtask->states[s],
                                              "rocksdb.num-entries-active-mem-table");
    return sum;
}

/* A flush of RocksDB's own would get between a barrier and its capture. */
START_TEST(cleaning_flushes_nothing)
{
    struct world *world = world_new(81, NO_COMPACTIONS);
    world_write(world, 12000);
    atomic_store(&world_slow_clock, true);
    world_rescale(world, 2);
    ck_assert(!world_is_clean(world));
    world_write(world, 500);
    uint64_t entries = in_memtables(world);
    ck_assert_uint_gt(entries, 0);
    ck_assert(!world_is_clean(world));
    atomic_store(&world_slow_clock, false);
    wait_until_clean(world);
    ck_assert_uint_eq(in_memtables(world), entries);
    world_checkpoint(world);
    world_check(world);
    world_free(world);
}
END_TEST

/* Cleaning takes seconds here; nobody waits for it. */
START_TEST(closing_ends_the_cleaning)
{
    struct world *world = world_new(71, NO_COMPACTIONS);
    world_write(world, 12000);
    atomic_store(&world_slow_clock, true);
    world_rescale(world, 2);
    rocksdb_t *db = crn_rocksdb_of(world->subtasks[1].db)->db;
    uint64_t deadline_us = crn_now_us() + 10000000;
    while (crn_rocksdb_property(db, "rocksdb.num-running-compactions") == 0 &&
           crn_now_us() < deadline_us)
        crn_sleep_us(200);
    ck_assert_uint_gt(crn_rocksdb_property(db, "rocksdb.num-running-compactions"), 0);
    ck_assert(!world_is_clean(world));
    world_check(world);
    uint64_t begin_us = crn_now_us();
    world_free(world);
    ck_assert_uint_lt(crn_now_us() - begin_us, 1500000);
}
END_TEST

START_TEST(chains_of_rescales)
{
    static const uint32_t chain[] = {2, 3, 1, 4, 2, 3, 4, 1};
    static const char *const options[] = {NO_COMPACTIONS, SMALL_TABLES, NULL, SMALL_TABLES};
    /* The last one leaves tombstones on a level above what they do not cover. */
    static const uint64_t offsets[] = {0, 1, 2, 901};
    const char *seed = getenv("CAIRN_SEED");
    uint64_t base = seed ? strtoull(seed, NULL, 0) : 100;
    struct world *world = world_new(base + offsets[_i], options[_i]);
    size_t taken = 0, loaded = 0;
    printf("# CAIRN_SEED=%llu\n", (unsigned long long)base);
    world_write(world, 15000);
    for (size_t i = 0; i < CRN_COUNT(chain); i++) {
        world->stays_unclean = world_random(world) % 3 == 0;
        world_rescale(world, chain[i]);
        world_check(world);
        taken += world->taken;
        loaded += world->loaded;
        world_write(world, 2000);
        if (!world->stays_unclean && world_random(world) % 2) {
            world_checkpoint(world);
            wait_until_clean(world);
        }
        world_write(world, 1000);
        world_check(world);
    }
    world_check_stored(world);
    printf("# %zu sources taken, %zu loaded\n", taken, loaded);
    ck_assert_uint_gt(taken, CRN_COUNT(chain));
    world_free(world);
}
END_TEST

static struct crn_assembly_source source_of(const struct world *world,
                                            const cairn_file_info **tables)
{
    const struct world_subtask *subtask = &world->subtasks[0];
    struct crn_assembly_source source = {
        .directory = subtask->stored, .tables = tables, .key_group_last = WORLD_GROUPS - 1};
    for (size_t i = 0; i < subtask->capture.count; i++)
        if (subtask->capture.files[i].info.role == CAIRN_FILE_TABLE)
            tables[source.table_count++] = &subtask->capture.files[i].info;
    return source;
}

/* Where links are not possible, files are copied. */
START_TEST(another_file_system)
{
    struct world *world = world_new(91, NO_COMPACTIONS);
    char directory[] = "/dev/shm/cairn-assemble-XXXXXX";
    world_write(world, 5000);
    world_checkpoint(world);
    const struct world_subtask *from = &world->subtasks[0];
    const cairn_file_info **tables = calloc(from->capture.count + 1, sizeof(*tables));
    ck_assert_ptr_nonnull(tables);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    struct crn_assembly_source source = source_of(world, tables);
    struct crn_assembly assembly = {.directory = directory,
                                    .max_parallelism = WORLD_GROUPS,
                                    .key_group_last = WORLD_GROUPS - 1,
                                    .sources = &source,
                                    .source_count = 1};
    ck_ok(crn_rocksdb_assemble(&assembly, reterr));
    ck_assert_uint_eq(assembly.table_count, source.table_count);
    for (size_t i = 0; i < assembly.table_count; i++) {
        const cairn_file_info *info = tables[assembly.tables[i].table];
        char path[100];
        uint8_t *data;
        size_t size;
        snprintf(path, sizeof(path), "%s/%06llu.sst", directory,
                 (unsigned long long)assembly.tables[i].number);
        ck_ok(crn_file_read_all(path, (size_t)1 << 30, &data, &size, reterr));
        ck_assert_uint_eq(size, info->size);
        ck_assert_uint_eq(crn_crc32c(0, data, size), info->crc32c);
        free(data);
    }
    ck_ok(crn_file_remove_tree(directory, reterr));
    free(assembly.tables);
    free(tables);
    world_free(world);
}
END_TEST

/* ---- damage ---- */

static void assert_refused(struct world *world, struct crn_assembly_source source, int code,
                           const char *part)
{
    char directory[400];
    snprintf(directory, sizeof(directory), "%s/new-%u", world->place.root, world->directories++);
    ck_ok(crn_file_make_dirs(directory, reterr));
    struct crn_assembly assembly = {.directory = directory,
                                    .max_parallelism = WORLD_GROUPS,
                                    .key_group_last = WORLD_GROUPS / 2,
                                    .sources = &source,
                                    .source_count = 1};
    ck_fails(crn_rocksdb_assemble(&assembly, reterr), code, part);
    ck_assert_ptr_null(assembly.tables);
}

START_TEST(files_must_fit_the_checkpoint)
{
    struct world *world = world_new(51, NO_COMPACTIONS);
    world_write(world, 3000);
    world_checkpoint(world);
    const cairn_file_info **tables = calloc(world->subtasks[0].capture.count + 1, sizeof(*tables));
    ck_assert_ptr_nonnull(tables);
    struct crn_assembly_source source = source_of(world, tables), odd = source;
    ck_assert_uint_gt(source.table_count, 1);

    odd.table_count--;
    assert_refused(world, odd, CAIRN_ECORRUPT, "its checkpoint has");
    odd = source;
    cairn_file_info info = *tables[0];
    const cairn_file_info *kept = tables[0];
    tables[0] = &info;
    info.level++;
    assert_refused(world, odd, CAIRN_ECORRUPT, "is not the one");
    info = *kept, info.size++;
    assert_refused(world, odd, CAIRN_ECORRUPT, "is not the one");
    info = *kept, info.sequence_last++;
    assert_refused(world, odd, CAIRN_ECORRUPT, "is not the one");
    info = *kept, info.number += 1000;
    assert_refused(world, odd, CAIRN_ECORRUPT, "is not the one");
    info = *kept, info.state = "other";
    assert_refused(world, odd, CAIRN_ECORRUPT, "is not the one");
    tables[0] = tables[1];
    assert_refused(world, odd, CAIRN_ECORRUPT, "is not the one");
    tables[0] = kept;
    odd.key_group_last = WORLD_GROUPS;
    assert_refused(world, odd, CAIRN_EINVAL, "key groups");

    char path[600];
    snprintf(path, sizeof(path), "%s/%s", odd.directory, kept->name);
    ck_assert_int_eq(unlink(path), 0);
    assert_refused(world, source, CAIRN_EIO, kept->name);
    snprintf(path, sizeof(path), "%s/CURRENT", odd.directory);
    ck_assert_int_eq(unlink(path), 0);
    ck_ok(crn_file_write_new(path, "../x\n", 5, false, reterr));
    assert_refused(world, source, CAIRN_ECORRUPT, "names no manifest");
    free(tables);
    world_free(world);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test, int loops)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, loops);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("assemble");
    add_case(suite, "manifest", a_written_manifest_reads_as_it_was, 1);
    add_case(suite, "manifest", large_manifests_are_written, 1);
    add_case(suite, "merge", merged_tables_are_known, 1);
    add_case(suite, "unclean", unclean_tables_are_not_taken, 1);
    add_case(suite, "merge", another_file_system, 1);
    add_case(suite, "clip", clip_keeps_a_range, 4);
    add_case(suite, "cleaning", tables_are_cleaned_in_the_background, 2);
    add_case(suite, "merge", tombstones_up_to_the_border, 1);
    add_case(suite, "cleaning", cleaning_flushes_nothing, 1);
    add_case(suite, "close", closing_ends_the_cleaning, 1);
    add_case(suite, "chains", chains_of_rescales, 4);
    add_case(suite, "damage", files_must_fit_the_checkpoint, 1);
    return crn_test_run(suite);
}
