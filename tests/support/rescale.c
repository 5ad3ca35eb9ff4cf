/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator on RocksDB, and what it must hold.
 *
 * Writes go to the subtask that owns the key, and to the oracle. The third state only has keys of
 * the first key groups, so that some subtasks never register it; a quarter of what is written to
 * the expiring one is expired at once, and is no entry for the oracle, whether it is still there or
 * not. A rescale does with the backend what the engine does: checkpoint, close, assemble, open,
 * clip, load what could not be taken, checkpoint.
 */
#include "tests/support/rescale.h"

#include "backends/state/keys.h"
#include "backends/state/values.h"
#include "base/hash.h"
#include "manifest/manifest.h"

#define NOW_MS 10000
#define TTL_MS 1000

enum { VALUE, LIST, MAP, EXPIRING };

static const cairn_state_info infos[WORLD_STATES] = {
    {.name = "value", .kind = CAIRN_KIND_VALUE},
    {.name = "list", .kind = CAIRN_KIND_LIST},
    {.name = "map", .kind = CAIRN_KIND_MAP},
    {.name = "expiring", .kind = CAIRN_KIND_VALUE, .ttl_ms = TTL_MS}};

atomic_bool world_slow_clock;

static int64_t now_ms(void *context)
{
    (void)context;
    if (atomic_load(&world_slow_clock))
        crn_sleep_us(2000);
    return NOW_MS;
}

uint64_t world_random(struct world *world)
{
    uint64_t x = world->random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return world->random = x;
}

/* ck_assert tells the parent about each success, which is too slow for inner loops. */
static void must(bool ok, const char *what)
{
    if (!ok)
        ck_abort_msg("%s", what);
}

static uint32_t group_of(const struct world *world, size_t key)
{
    return world->keys[key].data[0];
}

static struct cairn_buffer *expected(const struct world *world, size_t state, size_t key)
{
    return &world->oracle[state * WORLD_KEYS + key];
}

/* ---- databases ---- */

static void new_directory(struct world *world, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%u", world->place.root, world->directories++);
}

static struct crn_state_config config_of(const struct world *world, const char *directory,
                                         uint32_t first, uint32_t last)
{
    return (struct crn_state_config){.directory = directory,
                                     .extra_options = world->extra_options,
                                     .memtable_bytes = 256 << 10,
                                     .now_ms = now_ms,
                                     .states = infos,
                                     .state_count = WORLD_STATES,
                                     .max_parallelism = WORLD_GROUPS,
                                     .key_group_first = first,
                                     .key_group_last = last};
}

static struct crn_state *state_of(struct world_subtask *subtask, size_t state)
{
    if (!subtask->states[state])
        subtask->states[state] = open_state(subtask->db, &infos[state]);
    return subtask->states[state];
}

static struct world_subtask *subtask_of(struct world *world, size_t key)
{
    return &world->subtasks[crn_key_group_subtask(group_of(world, key), world->parallelism,
                                                  WORLD_GROUPS)];
}

static void open_new(struct world *world, struct world_subtask *subtask)
{
    new_directory(world, subtask->directory, sizeof(subtask->directory));
    ck_ok(crn_file_make_dirs(subtask->directory, reterr));
    struct crn_state_config config =
        config_of(world, subtask->directory, subtask->first, subtask->last);
    subtask->db = open_db(&config);
}

struct world *world_new(uint64_t seed, const char *extra_options)
{
    struct world *world = calloc(1, sizeof(*world));
    ck_assert_ptr_nonnull(world);
    world->place = place_new();
    world->random = seed * 2 + 1;
    world->extra_options = extra_options;
    world->parallelism = 1;
    world->oracle = calloc((size_t)WORLD_STATES * WORLD_KEYS, sizeof(*world->oracle));
    ck_assert_ptr_nonnull(world->oracle);
    for (size_t i = 0; i < WORLD_KEYS; i++) {
        uint32_t id = (uint32_t)i;
        uint32_t group = crn_key_group_of(&id, sizeof(id), WORLD_GROUPS);
        must(crn_key_start(&world->keys[i], group, WORLD_GROUPS, &id, sizeof(id)) == 0 &&
                 crn_key_add_namespace(&world->keys[i], "", 0) == 0 &&
                 crn_buf_append(&world->keys[i], "m", 1) == 0,
             "memory");
    }
    world->subtasks[0].last = WORLD_GROUPS - 1;
    open_new(world, &world->subtasks[0]);
    return world;
}

static void close_subtask(struct world_subtask *subtask)
{
    subtask->db->ops->close(subtask->db);
    crn_capture_done(&subtask->capture);
    *subtask = (struct world_subtask){0};
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->parallelism; i++)
        close_subtask(&world->subtasks[i]);
    for (size_t i = 0; i < WORLD_KEYS; i++)
        crn_buf_done(&world->keys[i]);
    for (size_t i = 0; i < (size_t)WORLD_STATES * WORLD_KEYS; i++)
        crn_buf_done(&world->oracle[i]);
    free(world->oracle);
    place_remove(&world->place);
    free(world);
}

/* ---- writes ---- */

static void remove_group(struct world *world, uint32_t group, size_t state)
{
    uint32_t index = crn_key_group_subtask(group, world->parallelism, WORLD_GROUPS);
    struct world_subtask *subtask = &world->subtasks[index];
    uint8_t prefix = (uint8_t)group;
    ck_ok(
        subtask->db->ops->remove_prefix(subtask->db, state_of(subtask, state), &prefix, 1, reterr));
    for (size_t i = 0; i < WORLD_KEYS; i++)
        if (group_of(world, i) == group)
            crn_buf_clear(expected(world, state, i));
}

void world_remove_group(struct world *world, uint32_t group)
{
    uint32_t index = crn_key_group_subtask(group, world->parallelism, WORLD_GROUPS);
    for (size_t s = 0; s < WORLD_STATES; s++)
        if (world->subtasks[index].states[s])
            remove_group(world, group, s);
}

static void put_random(struct world *world, struct world_subtask *subtask, size_t state, size_t key)
{
    struct cairn_buffer *cell = expected(world, state, key);
    const struct cairn_buffer *name = &world->keys[key];
    uint64_t value[6];
    for (size_t i = 0; i < CRN_COUNT(value); i++)
        value[i] = world_random(world);
    size_t size = 1 + value[0] % (sizeof(value) - 1);
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (state == LIST) {
        must(crn_list_append_element(&bytes, false, 0, value, size) == 0, "memory");
        ck_ok(subtask->db->ops->append(subtask->db, state_of(subtask, state), name->data,
                                       name->size, bytes.data, bytes.size, reterr));
    } else {
        int64_t written = state == EXPIRING && value[1] % 4 == 0 ? NOW_MS - TTL_MS : NOW_MS;
        must(crn_value_append(&bytes, state == EXPIRING, written, value, size) == 0, "memory");
        ck_ok(subtask->db->ops->put(subtask->db, state_of(subtask, state), name->data, name->size,
                                    bytes.data, bytes.size, reterr));
        crn_buf_clear(cell);
        if (written != NOW_MS)
            return;
    }
    must(crn_buf_append(cell, bytes.data, bytes.size) == 0, "memory");
}

void world_write(struct world *world, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t key = world_random(world) % WORLD_KEYS;
        size_t state = world_random(world) % WORLD_STATES;
        struct world_subtask *subtask = subtask_of(world, key);
        uint64_t dice = world_random(world) % 10000;
        if (state == MAP && group_of(world, key) >= WORLD_GROUPS / 3)
            state = VALUE; /* so that some subtasks never have that state */
        if (dice < 4)
            remove_group(world, group_of(world, key), world_random(world) % WORLD_STATES);
        else if (dice < 8)
            flush_all(subtask->db);
        else if (dice < 9)
            compact(subtask->db, state_of(subtask, state));
        else if (dice < 2000) {
            ck_ok(subtask->db->ops->remove(subtask->db, state_of(subtask, state),
                                           world->keys[key].data, world->keys[key].size, reterr));
            crn_buf_clear(expected(world, state, key));
        } else
            put_random(world, subtask, state, key);
    }
}

/* ---- reads ---- */

static size_t check_state(struct world *world, struct world_subtask *subtask, size_t state)
{
    struct crn_state_iterator *iterator = NULL;
    const uint8_t *key, *value;
    size_t key_size, value_size, count = 0;
    struct crn_key_parts parts;
    if (!subtask->states[state])
        return 0;
    ck_ok(subtask->db->ops->iterate(subtask->db, subtask->states[state], "", 0, &iterator, reterr));
    while (ck_ok(subtask->db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) >
           0) {
        uint32_t id;
        must(crn_key_split(key, key_size, WORLD_GROUPS, &parts) && parts.key_size == sizeof(id),
             "not a key");
        memcpy(&id, parts.key, sizeof(id));
        must(id < WORLD_KEYS && parts.key_group >= subtask->first &&
                 parts.key_group <= subtask->last,
             "a key of another subtask");
        int64_t written = NOW_MS;
        const uint8_t *bytes;
        size_t size;
        if (state == EXPIRING)
            must(crn_value_split(value, value_size, true, &written, &bytes, &size), "no time");
        if (crn_ttl_expired(written, TTL_MS, NOW_MS))
            continue;
        const struct cairn_buffer *cell = expected(world, state, id);
        if (cell->size != value_size || memcmp(cell->data, value, value_size) != 0)
            ck_abort_msg("state '%s', key %u, group %u: %zu bytes, %zu expected", infos[state].name,
                         id, parts.key_group, value_size, cell->size);
        count++;
    }
    subtask->db->ops->end(iterator);
    return count;
}

void world_check(struct world *world)
{
    for (uint32_t i = 0; i < world->parallelism; i++) {
        struct world_subtask *subtask = &world->subtasks[i];
        for (size_t s = 0; s < WORLD_STATES; s++) {
            size_t wanted = 0;
            for (size_t k = 0; k < WORLD_KEYS; k++)
                wanted += expected(world, s, k)->size > 0 && group_of(world, k) >= subtask->first &&
                          group_of(world, k) <= subtask->last;
            size_t found = check_state(world, subtask, s);
            if (found != wanted)
                ck_abort_msg("subtask %u, state '%s': %zu entries, not %zu", i, infos[s].name,
                             found, wanted);
        }
    }
}

bool world_is_clean(const struct world *world)
{
    bool clean = true;
    for (uint32_t i = 0; i < world->parallelism; i++) {
        const struct world_subtask *subtask = &world->subtasks[i];
        const rocksdb_livefiles_t *files = rocksdb_livefiles(crn_rocksdb_of(subtask->db)->db);
        for (int f = 0; f < rocksdb_livefiles_count(files); f++) {
            size_t size;
            const char *smallest = rocksdb_livefiles_smallestkey(files, f, &size);
            const char *largest = rocksdb_livefiles_largestkey(files, f, &size);
            clean &= (uint8_t)smallest[0] >= subtask->first &&
                     ((uint8_t)largest[0] <= subtask->last ||
                      ((uint8_t)largest[0] == subtask->last + 1 && size == 1));
        }
        rocksdb_livefiles_destroy(files);
    }
    return clean;
}

/* ---- checkpoints ---- */

static void checkpoint(struct world *world, struct world_subtask *subtask)
{
    static const atomic_bool never = false;
    struct crn_barrier barrier;
    crn_capture_done(&subtask->capture);
    new_directory(world, subtask->stored, sizeof(subtask->stored));
    ck_ok(subtask->db->ops->barrier(subtask->db, &barrier, reterr));
    ck_ok(subtask->db->ops->capture(subtask->db, &barrier, subtask->stored, &never,
                                    &subtask->capture, reterr));
    subtask->db->ops->release(subtask->db);
}

void world_checkpoint(struct world *world)
{
    for (uint32_t i = 0; i < world->parallelism; i++)
        checkpoint(world, &world->subtasks[i]);
}

static void check_stored(const struct world_subtask *subtask)
{
    for (size_t i = 0; i < subtask->capture.count; i++) {
        const cairn_file_info *info = &subtask->capture.files[i].info;
        char path[600];
        uint8_t *data;
        size_t size;
        if (info->role != CAIRN_FILE_TABLE)
            continue;
        snprintf(path, sizeof(path), "%s/%s", subtask->stored, info->name);
        ck_ok(crn_file_read_all(path, (size_t)1 << 30, &data, &size, reterr));
        must(info->has_crc32c && size == info->size && crn_crc32c(0, data, size) == info->crc32c,
             "a stored file was changed");
        free(data);
    }
}

void world_check_stored(const struct world *world)
{
    for (uint32_t i = 0; i < world->parallelism; i++)
        check_stored(&world->subtasks[i]);
}

/* ---- rescaling ---- */

struct sources {
    struct crn_assembly_source in[WORLD_SUBTASKS_MAX];
    const cairn_file_info **tables[WORLD_SUBTASKS_MAX];
    struct world_subtask *from[WORLD_SUBTASKS_MAX];
    size_t count;
};

static void add_source(struct sources *sources, struct world_subtask *from)
{
    const cairn_file_info **tables = calloc(from->capture.count + 1, sizeof(*tables));
    struct crn_assembly_source *in = &sources->in[sources->count];
    ck_assert_ptr_nonnull(tables);
    *in = (struct crn_assembly_source){.directory = from->stored,
                                       .tables = tables,
                                       .key_group_first = from->first,
                                       .key_group_last = from->last};
    for (size_t i = 0; i < from->capture.count; i++)
        if (from->capture.files[i].info.role == CAIRN_FILE_TABLE)
            tables[in->table_count++] = &from->capture.files[i].info;
    sources->tables[sources->count] = tables;
    sources->from[sources->count++] = from;
}

/* The entries of the subtask's key groups, one by one. */
static void load(struct world *world, struct world_subtask *to, struct world_subtask *from)
{
    struct crn_state_config config = config_of(world, from->stored, from->first, from->last);
    config.restored = config.read_only = true;
    struct crn_state_db *db = open_db(&config);
    for (size_t s = 0; s < WORLD_STATES; s++) {
        struct crn_state *state = NULL;
        struct crn_state_iterator *iterator = NULL;
        const uint8_t *key, *value;
        size_t key_size, value_size;
        if (db->ops->open_state(db, &infos[s], &state, NULL) == CAIRN_ENOTFOUND)
            continue;
        ck_ok(db->ops->iterate(db, state, "", 0, &iterator, reterr));
        while (ck_ok(db->ops->next(iterator, &key, &key_size, &value, &value_size, reterr)) > 0)
            if (key[0] >= to->first && key[0] <= to->last && key[0] >= from->first &&
                key[0] <= from->last)
                ck_ok(to->db->ops->put(to->db, state_of(to, s), key, key_size, value, value_size,
                                       reterr));
        db->ops->end(iterator);
    }
    db->ops->close(db);
}

static void open_assembled(struct world *world, struct world_subtask *to,
                           const struct crn_assembly *assembly, bool any_taken)
{
    struct crn_state_config config = config_of(world, to->directory, to->first, to->last);
    config.restored = any_taken;
    to->db = open_db(&config);
    struct crn_rocksdb *db = crn_rocksdb_of(to->db);
    for (size_t s = 0; s < WORLD_STATES; s++)
        for (size_t i = 0; i < db->state_count; i++)
            if (strcmp(db->states[i]->name, infos[s].name) == 0)
                to->states[s] = open_state(to->db, &infos[s]);
    if (assembly->needs_clip) {
        uint8_t first = (uint8_t)to->first, end = (uint8_t)(to->last + 1);
        struct crn_state_range keep = {&first, &end, 1, 1};
        ck_ok(to->db->ops->clip(to->db, &keep, reterr));
        world->clipped++;
    }
    if (world->stays_unclean)
        crn_rocksdb_clean_done(db);
}

/* What the next diff is to know: as the engine does it. */
static void count_known(struct world *world, struct world_subtask *to,
                        const struct crn_assembly *assembly)
{
    struct crn_subtask base = {.files = calloc(assembly->table_count + 1, sizeof(struct crn_file)),
                               .file_count = assembly->table_count};
    char(*names)[32] = calloc(assembly->table_count + 1, sizeof(*names));
    struct crn_file *captured = calloc(to->capture.count + 1, sizeof(*captured));
    const struct crn_file **known = calloc(to->capture.count + 1, sizeof(struct crn_file *));
    ck_assert(base.files && names && captured && known);
    for (size_t i = 0; i < assembly->table_count; i++) {
        const struct crn_assembled_table *table = &assembly->tables[i];
        cairn_file_info *info = &base.files[i].info;
        *info = *assembly->sources[table->source].tables[table->table];
        snprintf(names[i], sizeof(names[i]), "%06llu.sst", (unsigned long long)table->number);
        info->name = names[i];
        info->number = table->number;
        info->level = table->level;
        info->sequence_first = table->sequence_first;
        info->sequence_last = table->sequence_last;
    }
    for (size_t i = 0; i < to->capture.count; i++)
        captured[i].info = to->capture.files[i].info;
    ck_assert_int_eq(crn_diff_tables(&base, captured, to->capture.count, known), 0);
    for (size_t i = 0; i < to->capture.count; i++) {
        bool is_table = captured[i].info.role == CAIRN_FILE_TABLE;
        world->tables += is_table;
        world->tables_known += known[i] != NULL;
        for (size_t k = 0; k < assembly->table_count && is_table; k++)
            world->assembled_tables_present +=
                assembly->tables[k].number == captured[i].info.number;
    }
    free(base.files);
    free(names);
    free(captured);
    free(known);
}

static void restore(struct world *world, struct world_subtask *to, struct world_subtask *old,
                    uint32_t old_count)
{
    struct sources sources = {0};
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i].last >= to->first && old[i].first <= to->last)
            add_source(&sources, &old[i]);
    new_directory(world, to->directory, sizeof(to->directory));
    ck_ok(crn_file_make_dirs(to->directory, reterr));
    struct crn_assembly assembly = {.directory = to->directory,
                                    .max_parallelism = WORLD_GROUPS,
                                    .key_group_first = to->first,
                                    .key_group_last = to->last,
                                    .sources = sources.in,
                                    .source_count = sources.count};
    ck_ok(crn_rocksdb_assemble(&assembly, reterr));
    size_t loaded = 0;
    for (size_t i = 0; i < sources.count; i++)
        loaded += sources.in[i].must_load;
    world->loaded += loaded;
    world->taken += sources.count - loaded;
    open_assembled(world, to, &assembly, loaded < sources.count);
    for (size_t i = 0; i < sources.count; i++)
        if (sources.in[i].must_load)
            load(world, to, sources.from[i]);
    checkpoint(world, to);
    count_known(world, to, &assembly);
    free(assembly.tables);
    for (size_t i = 0; i < sources.count; i++)
        free(sources.tables[i]);
}

void world_rescale(struct world *world, uint32_t parallelism)
{
    struct world_subtask old[WORLD_SUBTASKS_MAX];
    uint32_t old_count = world->parallelism;
    world_checkpoint(world);
    for (uint32_t i = 0; i < old_count; i++) {
        world->subtasks[i].db->ops->close(world->subtasks[i].db);
        old[i] = world->subtasks[i];
        world->subtasks[i] = (struct world_subtask){0};
    }
    world->taken = world->loaded = world->clipped = 0;
    world->tables = world->tables_known = world->assembled_tables_present = 0;
    world->parallelism = parallelism;
    for (uint32_t i = 0; i < parallelism; i++) {
        struct world_subtask *to = &world->subtasks[i];
        crn_key_group_range(i, parallelism, WORLD_GROUPS, &to->first, &to->last);
        restore(world, to, old, old_count);
    }
    for (uint32_t i = 0; i < old_count; i++) {
        check_stored(&old[i]);
        crn_capture_done(&old[i].capture);
        ck_ok(crn_file_remove_tree(old[i].directory, reterr));
        ck_ok(crn_file_remove_tree(old[i].stored, reterr));
    }
}
