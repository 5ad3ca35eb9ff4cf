/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of RocksDB's MANIFEST (backends/state/rocksdb_manifest.h).
 *
 * Proves: on real databases with several column families, levels, removals, compactions, trivial
 * moves and manifests that roll over, it names exactly the tables that RocksDB itself lists, with
 * number, level, size and keys; a manifest that is cut anywhere but at a record's end, or has any
 * bit flipped, is refused; each rule of the format holds, by records made by hand, checksums
 * included; and edits of random bytes with right checksums never get it out of its bounds (P11; for
 * a sanitizer to see).
 */
#include "backends/state/rocksdb_manifest.h"
#include "base/hash.h"
#include "tests/support/state.h"

/* ck_assert tells the parent about each success, which is too slow for the inner loops here. */
static void must(bool ok)
{
    if (!ok)
        ck_abort();
}

/* ---- against RocksDB ---- */

static const cairn_state_info infos[] = {{.name = "one", .kind = CAIRN_KIND_VALUE},
                                         {.name = "two", .kind = CAIRN_KIND_LIST},
                                         {.name = "three", .kind = CAIRN_KIND_MAP}};

/* The MANIFEST that CURRENT names. */
static void read_current_manifest(const char *directory, uint8_t **ret, size_t *ret_size)
{
    char path[600];
    uint8_t *name;
    size_t size;
    snprintf(path, sizeof(path), "%s/CURRENT", directory);
    ck_ok(crn_file_read_all(path, 100, &name, &size, reterr));
    snprintf(path, sizeof(path), "%s/%.*s", directory, (int)size - 1, (const char *)name);
    free(name);
    ck_ok(crn_file_read_all(path, (size_t)1 << 30, ret, ret_size, reterr));
}

static const struct crn_rocksdb_table *find_table(const struct crn_rocksdb_manifest *manifest,
                                                  uint64_t number)
{
    for (size_t i = 0; i < manifest->table_count; i++)
        if (manifest->tables[i].number == number)
            return &manifest->tables[i];
    ck_abort_msg("table %llu is missing", (unsigned long long)number);
    return NULL;
}

/* Gives the deepest level. */
static uint32_t assert_same_as_rocksdb(struct crn_state_db *db, const char *directory)
{
    uint32_t deepest = 0;
    struct crn_rocksdb_manifest manifest = {0};
    uint8_t *data;
    size_t size, key_size;
    read_current_manifest(directory, &data, &size);
    ck_ok(crn_rocksdb_manifest_parse(data, size, "manifest", &manifest, reterr));
    free(data);

    const rocksdb_livefiles_t *files = rocksdb_livefiles(crn_rocksdb_of(db)->db);
    ck_assert_uint_eq(manifest.table_count, (size_t)rocksdb_livefiles_count(files));
    for (int i = 0; i < rocksdb_livefiles_count(files); i++) {
        uint64_t number = strtoull(rocksdb_livefiles_name(files, i) + 1, NULL, 10);
        const struct crn_rocksdb_table *table = find_table(&manifest, number);
        deepest = table->level > deepest ? table->level : deepest;
        ck_assert_str_eq(table->column_family, rocksdb_livefiles_column_family_name(files, i));
        ck_assert_int_eq(table->level, rocksdb_livefiles_level(files, i));
        ck_assert_uint_eq(table->size, rocksdb_livefiles_size(files, i));
        const char *key = rocksdb_livefiles_smallestkey(files, i, &key_size);
        ck_assert_mem_eq(table->smallest, key, key_size);
        ck_assert_uint_eq(table->smallest_size, key_size);
        key = rocksdb_livefiles_largestkey(files, i, &key_size);
        ck_assert_mem_eq(table->largest, key, key_size);
        ck_assert_uint_eq(table->largest_size, key_size);
        ck_assert(table->has_crc32c);
        ck_assert_uint_le(table->sequence_last, manifest.last_sequence);
        ck_assert_uint_lt(table->number, manifest.next_file_number);
    }
    rocksdb_livefiles_destroy(files);
    ck_assert_uint_eq(manifest.column_family_count, 1 + crn_rocksdb_of(db)->state_count);
    crn_rocksdb_manifest_done(&manifest);
    return deepest;
}

/* Nothing but what the test does changes the tree. */
static const char *const tree_options[] = {
    "disable_auto_compactions=true;target_file_size_base=20000;max_bytes_for_level_base=60000",
    "disable_auto_compactions=true;target_file_size_base=20000;max_bytes_for_level_base=60000;"
    "max_manifest_file_size=1000"};

START_TEST(lists_what_rocksdb_lists)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db, .extra_options = tree_options[_i]};
    struct crn_state_db *db = open_db(&config);
    struct crn_state *states[3];
    assert_same_as_rocksdb(db, place.db);
    for (size_t i = 0; i < 3; i++)
        states[i] = open_state(db, &infos[i]);
    for (unsigned int round = 0; round < 12; round++) {
        for (unsigned int i = 0; i < 1500; i++) {
            char key[32];
            snprintf(key, sizeof(key), "%02u%08u", i % 3, (round * 7919 + i * 104729) % 100000);
            put(db, states[i % 3], key, key);
            if (i % 5 == 0)
                remove_key(db, states[i % 2], key);
        }
        if (round % 4 == 2)
            ck_ok(db->ops->remove_prefix(db, states[2], "02", 2, reterr));
        flush_all(db);
        assert_same_as_rocksdb(db, place.db);
        if (round % 3 == 1)
            compact(db, states[round % 2]);
        assert_same_as_rocksdb(db, place.db);
    }
    rocksdb_compactoptions_t *deeper = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_change_level(deeper, 1);
    rocksdb_compactoptions_set_target_level(deeper, 4);
    rocksdb_compact_range_cf_opt(crn_rocksdb_of(db)->db, states[2]->family, deeper, NULL, 0, NULL,
                                 0);
    rocksdb_compactoptions_destroy(deeper);
    ck_assert_uint_eq(assert_same_as_rocksdb(db, place.db), 4);
    db->ops->close(db);

    config.restored = true;
    config.states = infos;
    config.state_count = 3;
    db = open_db(&config); /* a manifest written from nothing */
    ck_assert_uint_eq(assert_same_as_rocksdb(db, place.db), 4);
    db->ops->close(db);
    place_remove(&place);
}
END_TEST

static int parse(const uint8_t *data, size_t size, struct crn_rocksdb_manifest *ret)
{
    /* An allocation of its own, so that a sanitizer sees a look beyond it. */
    uint8_t *copy = malloc(size + (size == 0));
    cairn_error *error = NULL;
    must(copy != NULL);
    memcpy(copy, data, size);
    int r = crn_rocksdb_manifest_parse(copy, size, "m", ret, &error);
    if ((r < 0) != (error != NULL) || (r < 0 && cairn_error_code(error) != r))
        ck_abort_msg("result %d without its error", r);
    cairn_error_free(error);
    free(copy);
    return r;
}

START_TEST(damage_is_found)
{
    struct place place = place_new();
    struct crn_state_config config = {.directory = place.db};
    struct crn_state_db *db = open_db(&config);
    for (size_t i = 0; i < 3; i++) {
        put(db, open_state(db, &infos[i]), "k", "v");
        flush_all(db);
    }
    db->ops->close(db);
    uint8_t *data;
    size_t size, accepted = 0;
    read_current_manifest(place.db, &data, &size);

    for (size_t cut = 0; cut <= size; cut++) {
        struct crn_rocksdb_manifest manifest = {0};
        int r = parse(data, cut, &manifest);
        ck_assert(r == 0 || r == CAIRN_ECORRUPT);
        accepted += r == 0;
        crn_rocksdb_manifest_done(&manifest);
    }
    ck_assert_uint_ge(accepted, 7); /* at least one record per state, and per table */
    ck_assert_uint_le(accepted, 20);
    for (size_t bit = 0; bit < size * 8; bit++) {
        struct crn_rocksdb_manifest manifest = {0};
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int r = parse(data, size, &manifest);
        if (r != CAIRN_ECORRUPT && r != CAIRN_EVERSION)
            ck_abort_msg("bit %zu: %s", bit, cairn_error_name(r));
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(data);
    place_remove(&place);
}
END_TEST

/* ---- records made by hand ---- */

static void append_le(struct cairn_buffer *out, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must(crn_buf_append_u8(out, (uint8_t)(value >> 8 * i)) == 0);
}

static void fragment(struct cairn_buffer *out, uint8_t type, uint32_t log, const void *data,
                     size_t size)
{
    struct cairn_buffer checked = {0};
    append_le(&checked, type, 1);
    if (type > 4)
        append_le(&checked, log, 4);
    must(size == 0 || crn_buf_append(&checked, data, size) == 0);
    uint32_t crc = crn_crc32c(0, checked.data, checked.size);
    append_le(out, (uint32_t)((crc >> 15 | crc << 17) + 0xa282ead8u), 4);
    append_le(out, size, 2);
    must(crn_buf_append(out, checked.data, checked.size) == 0);
    crn_buf_done(&checked);
}

static void varint(struct cairn_buffer *out, uint64_t value)
{
    must(crn_buf_append_varint(out, value) == 0);
}

static void sized(struct cairn_buffer *out, const char *text, size_t size)
{
    varint(out, size);
    must(size == 0 || crn_buf_append(out, text, size) == 0);
}

static void add_family(struct cairn_buffer *edit, uint32_t id, const char *name)
{
    varint(edit, 200), varint(edit, id), varint(edit, 201), sized(edit, name, strlen(name));
}

static void drop_family(struct cairn_buffer *edit, uint32_t id)
{
    varint(edit, 200), varint(edit, id), varint(edit, 202);
}

static void remove_table(struct cairn_buffer *edit, uint32_t level, uint64_t number)
{
    varint(edit, 6), varint(edit, level), varint(edit, number);
}

/* Without the field that ends it. */
static void begin_table(struct cairn_buffer *edit, uint32_t level, uint64_t number,
                        const char *smallest, const char *largest)
{
    varint(edit, 103), varint(edit, level), varint(edit, number), varint(edit, 1000);
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? smallest : largest;
        varint(edit, strlen(key) + 8);
        must(*key == 0 || crn_buf_append(edit, key, strlen(key)) == 0);
        append_le(edit, 1, 8);
    }
    varint(edit, 5), varint(edit, 9);
}

static void add_table(struct cairn_buffer *edit, uint32_t level, uint64_t number)
{
    begin_table(edit, level, number, "a", "b");
    varint(edit, 1);
}

/* Moves an edit into the file. */
static void write_edit(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    fragment(file, 1, 0, edit->data, edit->size);
    crn_buf_done(edit);
}

static int finish(struct cairn_buffer *file, struct crn_rocksdb_manifest *ret)
{
    int r = parse(file->data, file->size, ret);
    crn_buf_done(file);
    return r;
}

START_TEST(edits_add_up)
{
    struct cairn_buffer file = {0}, edit = {0};
    struct crn_rocksdb_manifest manifest = {0};
    varint(&edit, 1), sized(&edit, "leveldb.BytewiseComparator", 26);
    varint(&edit, 8193), sized(&edit, "some database id", 16);
    write_edit(&file, &edit);
    add_family(&edit, 1, "state:one");
    write_edit(&file, &edit);
    add_family(&edit, 2, "state:dropped");
    write_edit(&file, &edit);
    add_table(&edit, 0, 10), add_table(&edit, 0, 11);
    varint(&edit, 200), varint(&edit, 1); /* behind the tables that it is about */
    write_edit(&file, &edit);
    add_table(&edit, 0, 12), varint(&edit, 200), varint(&edit, 2);
    write_edit(&file, &edit);
    add_table(&edit, 1, 11), remove_table(&edit, 0, 11); /* a move to level 1 */
    varint(&edit, 200), varint(&edit, 1), varint(&edit, 3), varint(&edit, 77), varint(&edit, 4);
    varint(&edit, 9);
    write_edit(&file, &edit);
    drop_family(&edit, 2);
    write_edit(&file, &edit);
    begin_table(&edit, 2, 13, "", "x");
    varint(&edit, 7), sized(&edit, "\x01\x02\x03\x04", 4);
    varint(&edit, 8), sized(&edit, "FileChecksumCrc32c", 18);
    varint(&edit, 5), sized(&edit, "\xac\x02", 2), varint(&edit, 6), sized(&edit, "\x07", 1);
    varint(&edit, 12), sized(&edit, "sixteen bytes it", 16);
    varint(&edit, 13), sized(&edit, "may be skipped", 14);
    varint(&edit, 1), varint(&edit, 200), varint(&edit, 1);
    write_edit(&file, &edit);

    ck_assert_int_eq(finish(&file, &manifest), 0);
    ck_assert_uint_eq(manifest.table_count, 3);
    ck_assert_uint_eq(manifest.column_family_count, 2);
    ck_assert_str_eq(manifest.column_families[0], "default");
    ck_assert_str_eq(manifest.column_families[1], "state:one");
    ck_assert_uint_eq(manifest.next_file_number, 77);
    ck_assert_uint_eq(manifest.last_sequence, 9);
    const struct crn_rocksdb_table *table = &manifest.tables[1];
    ck_assert_uint_eq(table->number, 11);
    ck_assert_uint_eq(table->level, 1);
    ck_assert_uint_eq(table->sequence_first, 5);
    ck_assert_uint_eq(table->sequence_last, 9);
    ck_assert(!table->has_crc32c && !table->has_unique_id && table->oldest_time == 0);
    ck_assert_uint_eq(table->smallest_tail, 1);
    ck_assert_uint_eq(table->largest_tail, 1);
    table = &manifest.tables[2];
    ck_assert_uint_eq(table->oldest_time, 300);
    ck_assert_uint_eq(table->creation_time, 7);
    ck_assert(table->has_unique_id);
    ck_assert_mem_eq(table->unique_id, "sixteen bytes it", 16);
    ck_assert(table->has_crc32c);
    ck_assert_uint_eq(table->crc32c, 0x01020304);
    ck_assert_uint_eq(table->smallest_size, 0);
    ck_assert_mem_eq(table->largest, "x", 1);
    crn_rocksdb_manifest_done(&manifest);
}
END_TEST

/* Each builds one edit, or two, that must be refused. */
static void bad_twice(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    add_table(edit, 0, 10);
    write_edit(file, edit);
    add_table(edit, 0, 10);
}
static void bad_removal(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    remove_table(edit, 0, 10);
}
static void bad_removal_level(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    add_table(edit, 0, 10);
    write_edit(file, edit);
    remove_table(edit, 1, 10);
}
static void bad_no_family(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    add_table(edit, 0, 10), varint(edit, 200), varint(edit, 7);
}
static void bad_dropped_family(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    add_family(edit, 7, "x");
    write_edit(file, edit);
    drop_family(edit, 7);
    write_edit(file, edit);
    add_table(edit, 0, 10), varint(edit, 200), varint(edit, 7);
}
static void bad_family_twice(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    add_family(edit, 7, "x");
    write_edit(file, edit);
    add_family(edit, 7, "y");
}
static void bad_drop(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    drop_family(edit, 7);
}
static void bad_drop_default(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    drop_family(edit, 0);
}
static void bad_bounds(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    begin_table(edit, 0, 10, "b", "a");
    varint(edit, 1);
}
static void bad_checksum_size(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    begin_table(edit, 0, 10, "a", "b");
    varint(edit, 7), sized(edit, "abc", 3), varint(edit, 8), sized(edit, "FileChecksumCrc32c", 18);
    varint(edit, 1);
}
static void bad_unique_id(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    begin_table(edit, 0, 10, "a", "b");
    varint(edit, 12), sized(edit, "fifteen bytes i", 15), varint(edit, 1);
}

static void bad_time(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    begin_table(edit, 0, 10, "a", "b");
    varint(edit, 5), sized(edit, "\xff", 1), varint(edit, 1);
}

static void bad_group_end(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    add_table(edit, 0, 10), varint(edit, 300), varint(edit, 1);
}
static void bad_group_gap(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    varint(edit, 300), varint(edit, 2);
    write_edit(file, edit);
    varint(edit, 300), varint(edit, 0);
}
static void bad_skipped_length(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    varint(edit, 8192 + 500), varint(edit, UINT64_MAX);
}
static void bad_short_key(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    varint(edit, 103), varint(edit, 0), varint(edit, 10), varint(edit, 1), sized(edit, "short", 5);
    sized(edit, "long enough", 11), varint(edit, 1), varint(edit, 1), varint(edit, 1);
}
static void bad_zeros(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    append_le(file, 0, 8);
    add_table(edit, 0, 10);
}
static void bad_empty_key_size(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    varint(edit, 103), varint(edit, 0), varint(edit, 10), varint(edit, 1), varint(edit, UINT64_MAX);
}
static void new_comparator(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    varint(edit, 1), sized(edit, "rocksdb.ReverseBytewiseComparator", 33);
}
static void new_tag(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    varint(edit, 104), varint(edit, 0);
}
static void new_blob(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    varint(edit, 400), varint(edit, 0);
}
static void new_path(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    begin_table(edit, 0, 10, "a", "b");
    varint(edit, 65), sized(edit, "\x01", 1), varint(edit, 1);
}
static void new_file_field(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    (void)file;
    begin_table(edit, 0, 10, "a", "b");
    varint(edit, 66), sized(edit, "", 0), varint(edit, 1);
}
static void new_record_type(struct cairn_buffer *file, struct cairn_buffer *edit)
{
    fragment(file, 9, 0, "", 0);
    add_table(edit, 0, 10);
}

static const struct {
    void (*make)(struct cairn_buffer *file, struct cairn_buffer *edit);
    int code;
} refusals[] = {
    {bad_twice, CAIRN_ECORRUPT},          {bad_removal, CAIRN_ECORRUPT},
    {bad_removal_level, CAIRN_ECORRUPT},  {bad_no_family, CAIRN_ECORRUPT},
    {bad_dropped_family, CAIRN_ECORRUPT}, {bad_family_twice, CAIRN_ECORRUPT},
    {bad_drop, CAIRN_ECORRUPT},           {bad_drop_default, CAIRN_ECORRUPT},
    {bad_bounds, CAIRN_ECORRUPT},         {bad_checksum_size, CAIRN_ECORRUPT},
    {bad_unique_id, CAIRN_ECORRUPT},      {bad_time, CAIRN_ECORRUPT},
    {bad_group_end, CAIRN_ECORRUPT},      {bad_group_gap, CAIRN_ECORRUPT},
    {bad_skipped_length, CAIRN_ECORRUPT}, {bad_short_key, CAIRN_ECORRUPT},
    {bad_zeros, CAIRN_ECORRUPT},          {bad_empty_key_size, CAIRN_ECORRUPT},
    {new_comparator, CAIRN_EVERSION},     {new_tag, CAIRN_EVERSION},
    {new_blob, CAIRN_EVERSION},           {new_path, CAIRN_EVERSION},
    {new_file_field, CAIRN_EVERSION},     {new_record_type, CAIRN_EVERSION},
};

START_TEST(rules_are_kept)
{
    struct cairn_buffer file = {0}, edit = {0};
    struct crn_rocksdb_manifest manifest = {0};
    refusals[_i].make(&file, &edit);
    write_edit(&file, &edit);
    ck_assert_int_eq(finish(&file, &manifest), refusals[_i].code);
    ck_assert_ptr_null(manifest.tables);
}
END_TEST

/* A record of this many bytes that only a fragmented one can hold. */
START_TEST(records_span_blocks)
{
    struct cairn_buffer file = {0}, edit = {0};
    struct crn_rocksdb_manifest manifest = {0};
    bool recyclable = _i == 1;
    size_t header = recyclable ? 11 : 7, count = 0;
    while (edit.size < 100000)
        add_table(&edit, 3, 10 + count++);
    for (size_t done = 0; done < edit.size;) {
        size_t room = 32768 - file.size % 32768;
        if (room < header) {
            append_le(&file, 0, room);
            continue;
        }
        size_t n = room - header < edit.size - done ? room - header : edit.size - done;
        uint8_t type = done == 0 ? 2 : done + n == edit.size ? 4 : 3;
        fragment(&file, (uint8_t)(type + (recyclable ? 4 : 0)), 5, edit.data + done, n);
        done += n;
    }
    crn_buf_done(&edit);
    if (recyclable) { /* what an earlier life of the file left */
        add_table(&edit, 0, 10);
        fragment(&file, 5, 4, edit.data, edit.size);
        crn_buf_done(&edit);
    }
    ck_assert_int_eq(finish(&file, &manifest), 0);
    ck_assert_uint_eq(manifest.table_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(manifest.tables[i].number, 10 + i);
    crn_rocksdb_manifest_done(&manifest);

    /* Out of order: a last one first; a middle one first; two first ones. */
    static const uint8_t orders[][2] = {{4, 1}, {3, 4}, {2, 2}, {2, 1}};
    for (size_t i = 0; i < CRN_COUNT(orders); i++) {
        fragment(&file, orders[i][0], 0, "", 0);
        fragment(&file, orders[i][1], 0, "", 0);
        ck_assert_int_eq(finish(&file, &manifest), CAIRN_ECORRUPT);
    }
}
END_TEST

/* Damage that its checksum does not give away: single bytes, and pieces of good edits. */
START_TEST(random_edits_stay_in_bounds)
{
    uint64_t x = 88172645463325252u;
    size_t accepted = 0;
    for (unsigned int round = 0; round < 30000; round++) {
        struct cairn_buffer file = {0}, edit = {0};
        struct crn_rocksdb_manifest manifest = {0};
        add_family(&edit, 1, "state:x");
        write_edit(&file, &edit);
        for (unsigned int i = 0; i < 3; i++) {
            add_table(&edit, i, 10 + i);
            varint(&edit, 200), varint(&edit, 1);
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            if (x % 4 != 0)
                edit.data[(x >> 8) % edit.size] = (uint8_t)(x >> 40);
            if (x % 5 == 0)
                edit.size = (x >> 20) % edit.size;
            write_edit(&file, &edit);
        }
        accepted += finish(&file, &manifest) == 0;
        for (size_t i = 0; i < manifest.table_count; i++)
            x += crn_crc32c(0, manifest.tables[i].largest, manifest.tables[i].largest_size);
        crn_rocksdb_manifest_done(&manifest);
    }
    ck_assert_uint_gt(accepted, 100);
    ck_assert_uint_lt(accepted, 29000);
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
    Suite *suite = suite_create("rocksdb_manifest");
    add_case(suite, "real", lists_what_rocksdb_lists, 2);
    add_case(suite, "real", damage_is_found, 1);
    add_case(suite, "made", edits_add_up, 1);
    add_case(suite, "made", rules_are_kept, (int)CRN_COUNT(refusals));
    add_case(suite, "made", records_span_blocks, 2);
    add_case(suite, "made", random_edits_stay_in_bounds, 1);
    return crn_test_run(suite);
}
