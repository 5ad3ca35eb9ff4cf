/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tables a RocksDB MANIFEST says are live.
 *
 * Each record is a "version edit": tagged fields that add and remove tables and column families.
 * This reader notes every addition and removal in order, sorts them by table number, and lets the
 * last word on each number stand. So its cost is n log n in the size of the file, whatever the file
 * says.
 *
 * RocksDB's rule for tags of the future is kept: a tag with bit 13 (inside a table's entry: without
 * bit 6) can be skipped by its length; any other unknown tag means that the file cannot be
 * understood, and is an error. So are blob files and several paths, which Cairn never configures.
 *
 * It is the ground on which a capture proves that it holds the barrier's state (P2), so it accepts
 * less than RocksDB does: an addition of a live table, a removal of an unknown one, a column family
 * that does not exist, has another's name or another comparator are damage (P11).
 */
#include "backends/state/rocksdb_manifest.h"
#include "backends/state/rocksdb_manifest_tags.h"

#include <string.h>

#define SEQUENCE_MAX (((uint64_t)1 << 56) - 1)
#define KEEPS_GOING 1

struct range {
    size_t at, size; /* in bytes */
};

/* One word on one table number. */
struct table_op {
    struct crn_rocksdb_table table;
    struct range smallest, largest;
    uint64_t order; /* of its edit; removals of an edit come before its additions */
    uint32_t family;
    bool is_add;
};

/* A column family; before settle_families(), one word on it: `added` or `dropped` is set. */
struct family {
    struct range name;
    uint64_t added, dropped; /* order; UINT64_MAX: not */
    uint32_t id;
};

struct parser {
    const char *object;
    cairn_error **reterr;
    struct crn_rocksdb_manifest *out;
    struct table_op *ops;
    size_t op_count, op_capacity;
    struct family *families;
    size_t family_count, family_capacity;
    uint64_t order;
    uint64_t group_left; /* edits that an atomic group still owes */
};

/* One edit while it is read. */
struct edit {
    size_t first_op;
    uint64_t family, group_left;
    struct range name;
    bool adds_family, drops_family, in_group;
};

static int corrupt(struct parser *parser, const char *what)
{
    return crn_err_fail(parser->reterr, CAIRN_ECORRUPT, parser->object,
                        "RocksDB manifest '%s' is damaged: %s", parser->object, what);
}

static int foreign(struct parser *parser, const char *what, uint64_t number)
{
    return crn_err_fail(parser->reterr, CAIRN_EVERSION, parser->object,
                        "RocksDB manifest '%s' uses %s (%llu), which this library does not read",
                        parser->object, what, (unsigned long long)number);
}

/* Room for one more element of a growing array. */
static int grow(struct parser *parser, void **array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *grown = reallocarray(*array, wanted, size);
    if (!grown)
        return crn_err_nomem(parser->reterr);
    *array = grown;
    *capacity = wanted;
    return 0;
}

/* Copies bytes, with a zero behind, to where they outlive the record. */
static int keep(struct parser *parser, const void *data, size_t size, struct range *ret)
{
    struct cairn_buffer *bytes = &parser->out->bytes;
    struct range range = {bytes->size, size};
    if (crn_buf_reserve(bytes, size + 1) < 0 ||
        (size > 0 && crn_buf_append(bytes, data, size) < 0) || crn_buf_append_u8(bytes, 0) < 0)
        return crn_err_nomem(parser->reterr);
    *ret = range;
    return 0;
}

static bool read_sized(struct crn_reader *in, const uint8_t **ret, size_t *ret_size)
{
    uint64_t size;
    if (!crn_read_varint(in, &size) || size > crn_reader_left(in))
        return false;
    *ret_size = (size_t)size;
    return crn_read_bytes(in, (size_t)size, ret);
}

static bool read_varint32(struct crn_reader *in, uint32_t *ret)
{
    struct crn_reader at = *in;
    uint64_t value;
    if (!crn_read_varint(&at, &value) || value > UINT32_MAX)
        return false;
    *in = at;
    *ret = (uint32_t)value;
    return true;
}

/* An internal key: a user key, and its tail in 8 bytes, little-endian. */
static bool read_key(struct crn_reader *in, const uint8_t **ret, size_t *ret_size,
                     uint64_t *ret_tail)
{
    if (!read_sized(in, ret, ret_size) || *ret_size < INTERNAL_KEY_TAIL)
        return false;
    *ret_size -= INTERNAL_KEY_TAIL;
    *ret_tail = 0;
    for (size_t i = INTERNAL_KEY_TAIL; i > 0; i--)
        *ret_tail = *ret_tail << 8 | (*ret)[*ret_size + i - 1];
    return true;
}

static int compare_keys(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int order = common > 0 ? memcmp(a, b, common) : 0;
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int add_op(struct parser *parser, const struct table_op *op)
{
    CRN_TRY(grow(parser, (void **)&parser->ops, parser->op_count, &parser->op_capacity,
                 sizeof(*parser->ops)));
    parser->ops[parser->op_count++] = *op;
    return 0;
}

/* A field that is kept, or refused, or nothing that matters here. */
static int read_table_field(struct parser *parser, uint32_t tag, const uint8_t *data, size_t size,
                            struct crn_rocksdb_table *table)
{
    struct crn_reader time = {.data = data, .size = size};

    switch (tag) {
    case FILE_OLDEST_TIME:
    case FILE_CREATION_TIME:
        return crn_read_varint(&time, tag == FILE_OLDEST_TIME ? &table->oldest_time
                                                              : &table->creation_time)
                   ? 0
                   : corrupt(parser, "a table's time is no number");
    case FILE_UNIQUE_ID:
        if (size != sizeof(table->unique_id))
            return corrupt(parser, "a table's unique id has the wrong size");
        table->has_unique_id = true;
        memcpy(table->unique_id, data, size);
        return 0;
    case FILE_PATH_ID:
        if (size != 1 || data[0] != 0)
            return foreign(parser, "tables in several directories", size == 1 ? data[0] : size);
        return 0;
    default:
        if (tag == FILE_OLDEST_BLOB_FILE || (tag & FILE_MUST_KNOW) != 0)
            return foreign(parser, "a field of a table's entry", tag);
        return 0;
    }
}

/* The tagged fields behind a table's fixed ones. */
static int read_table_fields(struct parser *parser, struct crn_reader *in,
                             struct crn_rocksdb_table *table)
{
    const uint8_t *checksum = NULL, *function = NULL, *data;
    size_t checksum_size = 0, function_size = 0, size;

    for (;;) {
        uint32_t tag;
        if (!read_varint32(in, &tag))
            return corrupt(parser, "a table's entry ends early");
        if (tag == FILE_END)
            break;
        if (!read_sized(in, &data, &size))
            return corrupt(parser, "a table's entry ends early");
        if (tag == FILE_CHECKSUM) {
            checksum = data;
            checksum_size = size;
        } else if (tag == FILE_CHECKSUM_FUNCTION) {
            function = data;
            function_size = size;
        } else {
            CRN_TRY(read_table_field(parser, tag, data, size, table));
        }
    }
    if (function && function_size == strlen(CHECKSUM_FUNCTION) &&
        memcmp(function, CHECKSUM_FUNCTION, function_size) == 0) {
        if (checksum_size != 4)
            return corrupt(parser, "a table's checksum has the wrong size");
        table->has_crc32c = true;
        table->crc32c = (uint32_t)checksum[0] << 24 | (uint32_t)checksum[1] << 16 |
                        (uint32_t)checksum[2] << 8 | checksum[3];
    }
    return 0;
}

static int read_new_table(struct parser *parser, struct crn_reader *in)
{
    struct table_op op = {.is_add = true};
    struct crn_rocksdb_table *table = &op.table;

    if (!read_varint32(in, &table->level) || !crn_read_varint(in, &table->number) ||
        !crn_read_varint(in, &table->size) ||
        !read_key(in, &table->smallest, &table->smallest_size, &table->smallest_tail) ||
        !read_key(in, &table->largest, &table->largest_size, &table->largest_tail) ||
        !crn_read_varint(in, &table->sequence_first) || !crn_read_varint(in, &table->sequence_last))
        return corrupt(parser, "a table's entry ends early");
    if (compare_keys(table->smallest, table->smallest_size, table->largest, table->largest_size) >
            0 ||
        table->sequence_first > table->sequence_last || table->sequence_last > SEQUENCE_MAX)
        return corrupt(parser, "a table's bounds are upside down");
    CRN_TRY(keep(parser, table->smallest, table->smallest_size, &op.smallest));
    CRN_TRY(keep(parser, table->largest, table->largest_size, &op.largest));
    CRN_TRY(read_table_fields(parser, in, table));
    return add_op(parser, &op);
}

static int read_removed_table(struct parser *parser, struct crn_reader *in)
{
    struct table_op op = {0};
    if (!read_varint32(in, &op.table.level) || !crn_read_varint(in, &op.table.number))
        return corrupt(parser, "the removal of a table ends early");
    return add_op(parser, &op);
}

/* Fields that say something about the whole database, or nothing that matters here.
 * KEEPS_GOING: not one of them. */
static int read_plain_field(struct parser *parser, struct crn_reader *in, uint32_t tag)
{
    uint64_t number;
    const uint8_t *data;
    size_t size;
    uint32_t level;
    bool ok;

    switch (tag) {
    case TAG_LOG_NUMBER:
    case TAG_PREV_LOG_NUMBER:
    case TAG_MIN_LOG_NUMBER_TO_KEEP:
    case TAG_MAX_COLUMN_FAMILY:
        ok = crn_read_varint(in, &number);
        break;
    case TAG_NEXT_FILE_NUMBER:
        ok = crn_read_varint(in, &parser->out->next_file_number);
        break;
    case TAG_LAST_SEQUENCE:
        ok = crn_read_varint(in, &parser->out->last_sequence);
        break;
    case TAG_COMPACT_CURSOR:
        ok = read_varint32(in, &level) && read_key(in, &data, &size, &number);
        break;
    case TAG_COMPARATOR:
        ok = read_sized(in, &data, &size);
        if (ok && (size != strlen(COMPARATOR) || memcmp(data, COMPARATOR, size) != 0))
            return foreign(parser, "another comparator", tag);
        break;
    default:
        return KEEPS_GOING;
    }
    return ok ? 0 : corrupt(parser, "a field ends early");
}

static int read_family_field(struct parser *parser, struct crn_reader *in, uint32_t tag,
                             struct edit *edit)
{
    const uint8_t *name;
    size_t size;

    switch (tag) {
    case TAG_COLUMN_FAMILY:
        if (!crn_read_varint(in, &edit->family) || edit->family > UINT32_MAX)
            return corrupt(parser, "a column family has no number");
        return 0;
    case TAG_COLUMN_FAMILY_ADD:
        if (edit->adds_family || !read_sized(in, &name, &size) || memchr(name, 0, size))
            return corrupt(parser, "a column family has no name");
        edit->adds_family = true;
        return keep(parser, name, size, &edit->name);
    case TAG_COLUMN_FAMILY_DROP:
        edit->drops_family = true;
        return 0;
    case TAG_IN_ATOMIC_GROUP:
        edit->in_group = true;
        return crn_read_varint(in, &edit->group_left) ? 0 : corrupt(parser, "a field ends early");
    default:
        return KEEPS_GOING;
    }
}

static int read_field(struct parser *parser, struct crn_reader *in, struct edit *edit)
{
    const uint8_t *data;
    size_t size;
    uint32_t tag;

    if (!read_varint32(in, &tag))
        return corrupt(parser, "a field has no tag");
    if (tag == TAG_NEW_FILE_4)
        return read_new_table(parser, in);
    if (tag == TAG_DELETED_FILE)
        return read_removed_table(parser, in);
    int r = read_plain_field(parser, in, tag);
    if (r == KEEPS_GOING)
        r = read_family_field(parser, in, tag, edit);
    if (r != KEEPS_GOING)
        return r;
    if (tag == TAG_BLOB_FILE_ADDITION || tag == TAG_BLOB_FILE_GARBAGE)
        return foreign(parser, "blob files", tag);
    if ((tag & TAG_SAFE_TO_SKIP) == 0 ||
        (tag >= TAG_OLD_BLOB_FILE_ADDITION && tag <= TAG_OLD_WAL_DELETION))
        return foreign(parser, "a field", tag);
    return read_sized(in, &data, &size) ? 0 : corrupt(parser, "a field ends early");
}

static int add_family(struct parser *parser, const struct family *family)
{
    CRN_TRY(grow(parser, (void **)&parser->families, parser->family_count, &parser->family_capacity,
                 sizeof(*parser->families)));
    parser->families[parser->family_count++] = *family;
    return 0;
}

static int apply_family(struct parser *parser, const struct edit *edit)
{
    struct family family = {edit->name, UINT64_MAX, UINT64_MAX, (uint32_t)edit->family};
    if (edit->adds_family && edit->drops_family)
        return corrupt(parser, "a column family is added and dropped at once");
    if (edit->adds_family)
        family.added = parser->order;
    else if (edit->drops_family)
        family.dropped = parser->order;
    else
        return 0;
    return add_family(parser, &family);
}

static int check_group(struct parser *parser, const struct edit *edit)
{
    if (!edit->in_group)
        return parser->group_left == 0 ? 0 : corrupt(parser, "an atomic group has a gap");
    if (parser->group_left != 0 && edit->group_left != parser->group_left - 1)
        return corrupt(parser, "an atomic group has a gap");
    parser->group_left = edit->group_left;
    return 0;
}

static int read_edit(struct parser *parser, struct crn_reader *in)
{
    struct edit edit = {.first_op = parser->op_count};

    parser->order++;
    while (crn_reader_left(in) > 0)
        CRN_TRY(read_field(parser, in, &edit));
    /* The column family's number may stand behind the tables that it is about. */
    for (size_t i = edit.first_op; i < parser->op_count; i++) {
        parser->ops[i].family = (uint32_t)edit.family;
        parser->ops[i].order = parser->order;
    }
    CRN_TRY(check_group(parser, &edit));
    return apply_family(parser, &edit);
}

static int compare_ops(const void *pa, const void *pb)
{
    const struct table_op *a = pa, *b = pb;
    if (a->table.number != b->table.number)
        return a->table.number < b->table.number ? -1 : 1;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return (int)a->is_add - (int)b->is_add;
}

static int compare_family_ids(const void *pa, const void *pb)
{
    const struct family *a = pa, *b = pb;
    return (a->id > b->id) - (a->id < b->id);
}

static int compare_families(const void *pa, const void *pb)
{
    const struct family *a = pa, *b = pb;
    int order = compare_family_ids(a, b);
    if (order != 0)
        return order;
    uint64_t a_at = a->added != UINT64_MAX ? a->added : a->dropped;
    uint64_t b_at = b->added != UINT64_MAX ? b->added : b->dropped;
    return (a_at > b_at) - (a_at < b_at);
}

static const struct family *find_family(const struct parser *parser, uint32_t id)
{
    struct family wanted = {.id = id};
    return bsearch(&wanted, parser->families, parser->family_count, sizeof(wanted),
                   compare_family_ids);
}

/* One entry per column family, by number. A number is used once: added, then perhaps dropped. */
static int settle_families(struct parser *parser)
{
    size_t kept = 0;

    qsort(parser->families, parser->family_count, sizeof(*parser->families), compare_families);
    for (size_t i = 0; i < parser->family_count; i++) {
        const struct family *word = &parser->families[i];
        struct family *last = kept > 0 ? &parser->families[kept - 1] : NULL;
        if (last && last->id != word->id)
            last = NULL;
        if (word->added != UINT64_MAX) {
            if (last)
                return corrupt(parser, "two column families have one number");
            parser->families[kept++] = *word;
        } else {
            if (!last || last->dropped != UINT64_MAX || last->id == 0)
                return corrupt(parser, "a column family is dropped that is not there");
            last->dropped = word->dropped;
        }
    }
    parser->family_count = kept;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A table is told to belong to a name: two live column families must not share one. */
static int check_names(struct parser *parser)
{
    const struct crn_rocksdb_manifest *out = parser->out;
    size_t count = out->column_family_count;
    CRN_AUTO_FREE const char **names = calloc(count, sizeof(*names));
    if (!names)
        return crn_err_nomem(parser->reterr);
    memcpy(names, out->column_families, count * sizeof(*names));
    qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return corrupt(parser, "two column families have one name");
    return 0;
}

/* All words on one number, in order: additions and removals must take turns, at the same place. */
static int settle_table(struct parser *parser, const struct table_op *ops, size_t count)
{
    const struct table_op *live = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct family *family = find_family(parser, ops[i].family);
        if (!family || ops[i].order < family->added || ops[i].order > family->dropped)
            return corrupt(parser, "a table belongs to no column family");
        if (ops[i].is_add == (live != NULL))
            return corrupt(parser, live ? "a table is added twice"
                                        : "a table is removed that is not there");
        if (live && (live->family != ops[i].family || live->table.level != ops[i].table.level))
            return corrupt(parser, "a table is removed from where it is not");
        live = ops[i].is_add ? &ops[i] : NULL;
    }
    if (!live)
        return 0;
    const struct family *family = find_family(parser, live->family);
    if (family->dropped != UINT64_MAX)
        return 0;

    const uint8_t *bytes = parser->out->bytes.data;
    struct crn_rocksdb_table *table = &parser->out->tables[parser->out->table_count++];
    *table = live->table;
    table->column_family = (const char *)bytes + family->name.at;
    table->smallest = bytes + live->smallest.at;
    table->largest = bytes + live->largest.at;
    return 0;
}

/* From here on `bytes` does not move any more. */
static int settle(struct parser *parser)
{
    struct crn_rocksdb_manifest *out = parser->out;

    if (parser->group_left != 0)
        return corrupt(parser, "it ends inside an atomic group");
    out->tables = calloc(parser->op_count + 1, sizeof(*out->tables));
    out->column_families = calloc(parser->family_count, sizeof(*out->column_families));
    if (!out->tables || !out->column_families)
        return crn_err_nomem(parser->reterr);

    CRN_TRY(settle_families(parser));
    for (size_t i = 0; i < parser->family_count; i++)
        if (parser->families[i].dropped == UINT64_MAX)
            out->column_families[out->column_family_count++] =
                (const char *)out->bytes.data + parser->families[i].name.at;
    CRN_TRY(check_names(parser));
    if (parser->op_count > 0)
        qsort(parser->ops, parser->op_count, sizeof(*parser->ops), compare_ops);
    for (size_t first = 0, next; first < parser->op_count; first = next) {
        for (next = first + 1; next < parser->op_count; next++)
            if (parser->ops[next].table.number != parser->ops[first].table.number)
                break;
        CRN_TRY(settle_table(parser, &parser->ops[first], next - first));
    }
    return 0;
}

static int parse(struct parser *parser, struct crn_rocksdb_records *records)
{
    /* Always there, and never added by an edit. */
    struct family default_family = {.dropped = UINT64_MAX};
    struct crn_reader record;
    const char *why = "";
    int r;

    CRN_TRY(keep(parser, "default", strlen("default"), &default_family.name));
    CRN_TRY(add_family(parser, &default_family));
    while ((r = crn_rocksdb_records_next(records, &record, &why)) > 0) {
        size_t end = records->in.position;
        r = read_edit(parser, &record);
        if (r < 0) {
            crn_err_prefix(parser->reterr, "record that ends at byte %zu", end);
            return r;
        }
    }
    if (r < 0)
        return crn_err_fail(parser->reterr, r, parser->object,
                            "RocksDB manifest '%s' is unreadable before byte %zu: %s",
                            parser->object, records->in.position, why);
    if (parser->order == 0)
        return corrupt(parser, "it is empty");
    return settle(parser);
}

int crn_rocksdb_manifest_parse(const void *data, size_t size, const char *object,
                               struct crn_rocksdb_manifest *ret, cairn_error **reterr)
{
    CRN_AUTO_ROCKSDB_MANIFEST struct crn_rocksdb_manifest manifest = {0};
    struct parser parser = {.object = object, .reterr = reterr, .out = &manifest};
    struct crn_rocksdb_records records = {.in = {.data = data, .size = size}};

    int r = parse(&parser, &records);
    crn_rocksdb_records_done(&records);
    free(parser.ops);
    free(parser.families);
    if (r < 0)
        return r;
    *ret = manifest;
    manifest = (struct crn_rocksdb_manifest){0};
    return 0;
}

void crn_rocksdb_manifest_done(struct crn_rocksdb_manifest *manifest)
{
    free(manifest->tables);
    free(manifest->column_families);
    crn_buf_done(&manifest->bytes);
    *manifest = (struct crn_rocksdb_manifest){0};
}
