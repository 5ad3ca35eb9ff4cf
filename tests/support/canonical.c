/* SPDX-License-Identifier: Apache-2.0 */
/* Entries in an array, canonical files in memory, and such as no writer would write. */
#include "tests/support/canonical.h"

/* ---- entries ---- */

void entries_add(struct entries *entries, uint32_t state, uint32_t key_group,
                 const struct cairn_buffer *key, const struct cairn_buffer *value)
{
    if (entries->count == entries->capacity) {
        entries->capacity = 2 * entries->capacity + 64;
        entries->items = reallocarray(entries->items, entries->capacity, sizeof(*entries->items));
        ck_assert_ptr_nonnull(entries->items);
    }
    entries->items[entries->count++] = (struct crn_canonical_entry){
        .state = state,
        .key_group = key_group,
        .key = (const uint8_t *)crn_str_dup_n(key->data, key->size),
        .value = (const uint8_t *)crn_str_dup_n(value->data, value->size),
        .key_size = key->size,
        .value_size = value->size};
    entries->raw_bytes += key->size + value->size;
}

void entries_free(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free((void *)(uintptr_t)entries->items[i].key);
        free((void *)(uintptr_t)entries->items[i].value);
    }
    free(entries->items);
    *entries = (struct entries){0};
}

/* ---- random ones ---- */

uint64_t test_random_seed = 20260817;

uint64_t test_random(void)
{
    uint64_t x = test_random_seed;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return test_random_seed = x;
}

/* A key of a group that is above the last one of its run, which is in `key`. */
static void next_key(struct cairn_buffer *key, bool is_first, uint32_t group, size_t group_bytes)
{
    if (is_first) {
        crn_buf_clear(key);
        if (group_bytes == 2)
            ck_assert_int_eq(crn_buf_append_u8(key, (uint8_t)(group >> 8)), 0);
        ck_assert_int_eq(crn_buf_append_u8(key, (uint8_t)group), 0);
    }
    size_t cut = group_bytes + test_random() % (key->size - group_bytes + 1);
    while (cut < key->size && key->data[cut] == 0xff)
        cut++;
    bool grows = cut == key->size;
    if (!grows)
        key->data[cut++]++;
    key->size = cut;
    for (size_t n = test_random() % 12 + grows; n > 0; n--)
        ck_assert_int_eq(crn_buf_append_u8(key, (uint8_t)(test_random() % 4 * 85)), 0);
}

static void random_value(struct cairn_buffer *value, size_t size)
{
    crn_buf_clear(value);
    ck_assert_int_eq(crn_buf_reserve(value, size), 0);
    for (size_t i = 0; i < size; i++)
        value->data[i] = i % 16 < 8 ? (uint8_t)(test_random() >> 8) : (uint8_t)i;
    value->size = size;
}

void entries_fill(struct entries *entries, const struct shape *shape)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0}, value = {0};
    size_t group_bytes = shape->max_parallelism <= 128 ? 1 : 2;
    for (uint32_t group = shape->first; group <= shape->last; group++)
        for (uint32_t state = 0; state < shape->states; state++) {
            if (test_random() % 100 >= shape->density_percent)
                continue;
            size_t count = 1 + test_random() % shape->entries_max;
            for (size_t i = 0; i < count; i++) {
                next_key(&key, i == 0, group, group_bytes);
                random_value(&value, test_random() % (shape->value_max + 1));
                entries_add(entries, state, group, &key, &value);
            }
        }
}

struct crn_canonical_header header_new(size_t states)
{
    const char **names = calloc(states + 1, sizeof(*names));
    ck_assert_ptr_nonnull(names);
    for (size_t i = 0; i < states; i++) {
        char *name = NULL;
        ck_ok(crn_str_printf(&name, reterr, "state %zu", i));
        names[i] = name;
    }
    return (struct crn_canonical_header){
        .max_parallelism = 128, .key_group_last = 127, .states = names, .state_count = states};
}

void header_free(struct crn_canonical_header *header)
{
    for (size_t i = 0; i < header->state_count; i++)
        free((void *)(uintptr_t)header->states[i]);
    free((void *)(uintptr_t)header->states);
}

/* ---- files ---- */

void temp_path(char *path, size_t size)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, size, "%s/cairn-canonical-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
    strcat(path, "/file"); /* the callers' arrays have room */
}

void temp_remove(const char *path)
{
    char directory[300];
    (void)snprintf(directory, sizeof(directory), "%.*s", (int)(strlen(path) - 5), path);
    ck_ok(crn_file_remove_tree(directory, reterr));
}

int put_entries(struct crn_canonical_writer *writer, const struct entries *entries,
                cairn_error **reterr)
{
    for (size_t i = 0; i < entries->count; i++) {
        const struct crn_canonical_entry *entry = &entries->items[i];
        CRN_TRY(crn_canonical_put(writer, entry->state, entry->key, entry->key_size, entry->value,
                                  entry->value_size, reterr));
    }
    return 0;
}

struct crn_canonical_summary write_file(const char *path, const struct crn_canonical_header *header,
                                        const struct entries *entries)
{
    struct crn_canonical_writer *writer = NULL;
    struct crn_canonical_summary summary = {0};
    ck_ok(crn_canonical_create(path, header, &writer, reterr));
    ck_ok(put_entries(writer, entries, reterr));
    ck_ok(crn_canonical_finish(writer, &summary, reterr));
    return summary;
}

static int read_memory(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr)
{
    struct memory_file *file = context;
    if (file->reads_left == 0)
        return crn_err_fail(reterr, CAIRN_EUNAVAIL, NULL, "no more reads");
    if (offset > file->input.size || n > file->input.size - offset)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL, "read beyond the end");
    if (n > 0)
        memcpy(data, file->data + offset, n);
    if (file->reads_left < 1000000) /* beyond, nobody counts, and threads may read */
        file->reads_left--;
    return 0;
}

static struct memory_file file_of(uint8_t *data, size_t size)
{
    return (struct memory_file){.input = {.object = "memory", .size = size, .read = read_memory},
                                .data = data,
                                .reads_left = 1000000};
}

struct memory_file load_file(const char *path)
{
    uint8_t *data;
    size_t size;
    ck_ok(crn_file_read_all(path, (size_t)1 << 30, &data, &size, reterr));
    return file_of(data, size);
}

void file_free(struct memory_file *file)
{
    free(file->data);
}

struct crn_canonical_reader *open_reader(struct memory_file *file)
{
    struct crn_canonical_reader *reader = NULL;
    file->input.context = file;
    ck_ok(crn_canonical_open(&file->input, &reader, reterr));
    return reader;
}

/* ---- scans ---- */

static bool is_same(const struct crn_canonical_entry *a, const struct crn_canonical_entry *b)
{
    return a->state == b->state && a->key_group == b->key_group && a->key_size == b->key_size &&
           a->value_size == b->value_size && memcmp(a->key, b->key, a->key_size) == 0 &&
           memcmp(a->value, b->value, a->value_size) == 0;
}

static bool is_in(const struct crn_canonical_entry *entry, int state, uint32_t first, uint32_t last)
{
    return entry->key_group >= first && entry->key_group <= last &&
           (state < 0 || (int)entry->state == state);
}

int compare_scan(const struct entries *entries, struct crn_canonical_reader *reader, int state,
                 uint32_t first, uint32_t last, cairn_error **reterr)
{
    struct crn_canonical_scan *scan = NULL;
    struct crn_canonical_entry entry;
    size_t i = 0, count = entries ? entries->count : 0;
    int r = crn_canonical_scan(reader, state, first, last, &scan, reterr);
    while (r == 0 && (r = crn_canonical_next(scan, &entry, reterr)) > 0) {
        while (i < count && !is_in(&entries->items[i], state, first, last))
            i++;
        if (entries && (i == count || !is_same(&entry, &entries->items[i++])))
            ck_abort_msg("entry %zu of %zu differs", i, count);
        r = 0;
    }
    if (r == 0) {
        while (i < count && !is_in(&entries->items[i], state, first, last))
            i++;
        if (i < count)
            ck_abort_msg("entry %zu of %zu is missing", i, count);
        ck_assert_int_eq(crn_canonical_next(scan, &entry, NULL), 0); /* the end stays the end */
    }
    crn_canonical_scan_end(scan);
    return r;
}

void assert_scan(const struct entries *entries, struct crn_canonical_reader *reader, int state,
                 uint32_t first, uint32_t last)
{
    ck_ok(compare_scan(entries, reader, state, first, last, reterr));
}

int read_whole(struct memory_file *file, const struct entries *expected)
{
    struct crn_canonical_reader *reader = NULL;
    cairn_error *error = NULL;
    file->input.context = file;
    int r = crn_canonical_open(&file->input, &reader, &error);
    if (r == 0)
        r = compare_scan(expected, reader, -1, 0, UINT32_MAX, &error);
    crn_canonical_close(reader);
    ck_assert_int_eq(r < 0, error != NULL);
    if (r < 0)
        ck_assert_int_eq(cairn_error_code(error), r);
    cairn_error_free(error);
    return r;
}

/* ---- forged files ---- */

static void append_block(struct cairn_buffer *out, const struct forged_block *block)
{
    uint8_t header[CRN_CANONICAL_BLOCK_HEADER];
    size_t start = out->size;
    crn_put_le32(header + 8, (uint32_t)block->size);
    crn_put_le32(header + 12, block->raw_size ? block->raw_size : (uint32_t)block->size);
    crn_put_le32(header + 16, block->entry_count);
    crn_put_le32(header + 20, block->flags);
    crn_put_le16(header + 24, block->state);
    crn_put_le16(header + 26, block->key_group);
    ck_assert_int_eq(crn_buf_append(out, header, sizeof(header)), 0);
    ck_assert_int_eq(crn_buf_append(out, block->stored, block->size), 0);
    crn_put_le64(out->data + start, crn_hash64_of(out->data + start + 8, out->size - start - 8));
}

struct memory_file forge(const struct forged *forged)
{
    struct cairn_buffer out = {0};
    struct crn_canonical_header header = header_new(2);
    uint64_t entries = 0;
    uint8_t footer[CRN_CANONICAL_FOOTER_SIZE];

    ck_ok(crn_canonical_header_encode(&header, &out, reterr));
    header_free(&header);
    size_t blocks = out.size;
    for (size_t i = 0; i < forged->count; i++) {
        append_block(&out, &forged->blocks[i]);
        entries += forged->blocks[i].entry_count;
    }
    entries += (uint64_t)forged->run_entries;
    size_t index = out.size;
    ck_assert_int_eq(crn_buf_append(&out, "\5", 1), 0); /* key group 5 */
    ck_assert_int_eq(crn_buf_append(&out, "\0", 1), 0);
    ck_assert_int_eq(crn_buf_append_varint(&out, index - blocks + (uint64_t)forged->run_bytes), 0);
    ck_assert_int_eq(crn_buf_append_varint(&out, entries), 0);
    crn_put_le64(footer, out.size - index);
    crn_put_le64(footer + 8, 1);
    crn_put_le64(footer + 16, entries + (uint64_t)forged->entries);
    ck_assert_int_eq(crn_buf_append(&out, footer, 24), 0);
    crn_put_le64(footer, crn_hash64_of(out.data + index, out.size - index));
    ck_assert_int_eq(crn_buf_append(&out, footer, 8), 0);
    return file_of(out.data, out.size);
}

/* ---- the document ---- */

void document_block(const char *name, struct cairn_buffer *out)
{
    FILE *document = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    char line[1024], mark[128];
    int fences = -1; /* before the mark */
    ck_assert_ptr_nonnull(document);
    (void)snprintf(mark, sizeof(mark), "<!-- hex %s -->\n", name);
    while (fences < 2 && fgets(line, sizeof(line), document)) {
        if (fences < 0)
            fences = strcmp(line, mark) == 0 ? 0 : -1;
        else if (strncmp(line, "```", 3) == 0)
            fences++;
        else if (fences == 1) {
            line[strcspn(line, "#\n")] = 0;
            unsigned int byte;
            int n;
            for (const char *at = line; sscanf(at, " %2x%n", &byte, &n) == 1; at += n)
                ck_assert_int_eq(crn_buf_append_u8(out, (uint8_t)byte), 0);
        }
    }
    (void)fclose(document);
    ck_assert_msg(fences == 2, "no block '%s'", name);
}
