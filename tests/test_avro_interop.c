/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that Cairn's own Avro is Avro, with the Avro project's C library as the oracle: values of
 * random schemas that the library writes are values to Cairn, go through JSON and come back as the
 * same bytes, which the library reads again. And for random pairs of a schema and a changed copy of
 * it that the library can resolve, a converted value has just the bytes that the library makes of
 * it. Where only one of the two accepts a pair, the change must be one of those that are known for
 * it: see `only_here` and `only_there`. Each of them has to occur. The library's own mistakes are
 * counted: it crashes on some pairs, and loses an empty array or map that goes into a union.
 *
 * The seed is printed; CAIRN_SEED=<number> replays it.
 */

#include "engine/serializers/serializer.h"
#include "tests/support/tap.h"
#include <avro.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCHEMAS 2000
#define PAIRS 3000
#define VALUES 3
#define PARTS_MAX 4
#define BYTES_MAX ((size_t)1 << 20)

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static unsigned below(unsigned limit)
{
    return (unsigned)((next_random() >> 16) % limit);
}

static void start_random(void)
{
    const char *given = getenv("CAIRN_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 1;
    printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
}

/* ------------------------------------------------------------------------------------------ *
 * Schemas
 * ------------------------------------------------------------------------------------------ */

enum kind {
    NOTHING,
    BOOLEAN,
    INT,
    LONG,
    FLOAT,
    DOUBLE,
    BYTES,
    STRING,
    RECORD,
    ENUM,
    FIXED,
    ARRAY,
    MAP,
    UNION,
    AGAIN /* the record around it */
};
static const char *const kind_names[] = {"null",  "boolean", "int",   "long",
                                         "float", "double",  "bytes", "string"};

struct type {
    enum kind kind;
    unsigned id;                /* of its name */
    bool has_alias;             /* it has another name now */
    unsigned count;             /* parts; of an enum symbols, of fixed bytes */
    unsigned fields[PARTS_MAX]; /* their names */
    bool is_added[PARTS_MAX];   /* a field with a default */
    struct type *parts[PARTS_MAX];
};

/* What was changed in a pair, for the differences that are known. */
static unsigned changes;
enum change {
    ADDED_DEFAULT = 1 << 0,
    RENAMED = 1 << 1,
    TEXT_AND_BYTES = 1 << 2,
    BRANCH_GONE = 1 << 3,
    SYMBOL_GONE = 1 << 4
};
static const struct {
    unsigned change;
    const char *why;
} only_here[] = {{ADDED_DEFAULT, "the library cannot take a new field's default"},
                 {RENAMED, "the library does not know aliases"},
                 {TEXT_AND_BYTES, "the library keeps bytes and string apart"}},
  only_there[] = {{BRANCH_GONE, "the library waits for a value of a branch that is gone"},
                  {SYMBOL_GONE, "the library waits for a symbol that is gone"}};

static unsigned next_id;

static struct type *new_type(enum kind kind)
{
    struct type *type = calloc(1, sizeof(*type));
    ck_assert_ptr_nonnull(type);
    type->kind = kind;
    type->id = next_id++;
    return type;
}

static void free_type(struct type *type)
{
    for (unsigned i = 0; i < PARTS_MAX; i++)
        if (type->parts[i] != NULL)
            free_type(type->parts[i]);
    free(type);
}

static struct type *make_type(unsigned depth, bool in_record);

/* null, and others of different kinds: what tells branches apart. Never long and double: of a union
 * in which both could take a number, the library takes the first and Cairn the one of the same
 * type, as Avro for Java does. */
static void fill_union(struct type *type, unsigned depth, bool in_record)
{
    static const enum kind kinds[] = {STRING, LONG, ENUM, FIXED, BOOLEAN, DOUBLE};
    type->count = 2 + below(2);
    type->parts[0] = new_type(NOTHING);
    unsigned first = below(CRN_COUNT(kinds) - 1);
    for (unsigned i = 1; i < type->count; i++) {
        type->parts[i] = new_type(kinds[first + i - 1]);
        type->parts[i]->count = 2 + below(3);
    }
    if (below(3) == 0) {
        free_type(type->parts[1]);
        type->parts[1] = in_record && below(2) == 0 ? new_type(AGAIN) : new_type(ARRAY);
        if (type->parts[1]->kind == ARRAY) {
            type->parts[1]->count = 1;
            type->parts[1]->parts[0] = make_type(depth + 1, in_record);
        }
    }
}

static struct type *make_type(unsigned depth, bool in_record)
{
    struct type *type = new_type((enum kind)below(depth < 4 ? AGAIN : RECORD));
    if (type->kind == RECORD) {
        type->count = 1 + below(PARTS_MAX);
        for (unsigned i = 0; i < type->count; i++) {
            type->fields[i] = next_id++;
            type->parts[i] = make_type(depth + 1, true);
        }
    } else if (type->kind == ENUM || type->kind == FIXED) {
        type->count = 2 + below(3);
    } else if (type->kind == ARRAY || type->kind == MAP) {
        type->count = 1;
        type->parts[0] = make_type(depth + 1, in_record);
    } else if (type->kind == UNION) {
        fill_union(type, depth, in_record);
    }
    return type;
}

static const char *prefix_of(const struct type *type)
{
    return type->has_alias ? "New" : "T";
}

static void put_named(struct cairn_buffer *out, const struct type *type, const char *kind)
{
    crn_buf_printf(out, "{\"type\":\"%s\",\"name\":\"%s%u\"", kind, prefix_of(type), type->id);
    if (type->has_alias)
        crn_buf_printf(out, ",\"aliases\":[\"T%u\"]", type->id);
}

/* `around`: the record that it is in. */
static void put_type(struct cairn_buffer *out, const struct type *type, const struct type *around)
{
    switch (type->kind) {
    case RECORD:
        put_named(out, type, "record");
        crn_buf_printf(out, ",\"fields\":[");
        for (unsigned i = 0; i < type->count; i++) {
            crn_buf_printf(out, "%s{\"name\":\"f%u\",\"type\":", i > 0 ? "," : "", type->fields[i]);
            put_type(out, type->parts[i], type);
            crn_buf_printf(out, "%s}", type->is_added[i] ? ",\"default\":null" : "");
        }
        crn_buf_printf(out, "]}");
        break;
    case ENUM:
        put_named(out, type, "enum");
        crn_buf_printf(out, ",\"symbols\":[");
        for (unsigned i = 0; i < type->count; i++)
            crn_buf_printf(out, "%s\"S%u\"", i > 0 ? "," : "", i);
        crn_buf_printf(out, "]}");
        break;
    case FIXED:
        put_named(out, type, "fixed");
        crn_buf_printf(out, ",\"size\":%u}", type->count);
        break;
    case ARRAY:
    case MAP:
        crn_buf_printf(out, "{\"type\":\"%s\",\"%s\":", type->kind == ARRAY ? "array" : "map",
                       type->kind == ARRAY ? "items" : "values");
        put_type(out, type->parts[0], around);
        crn_buf_printf(out, "}");
        break;
    case UNION:
        for (unsigned i = 0; i < type->count; i++) {
            crn_buf_printf(out, i == 0 ? "[" : ",");
            put_type(out, type->parts[i], around);
        }
        crn_buf_printf(out, "]");
        break;
    case AGAIN:
        crn_buf_printf(out, "\"%s%u\"", prefix_of(around), around->id);
        break;
    default:
        crn_buf_printf(out, "\"%s\"", kind_names[type->kind]);
        break;
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Changes
 * ------------------------------------------------------------------------------------------ */

static struct type *changed(const struct type *type);

static void swap_fields(struct type *record, unsigned a, unsigned b)
{
    struct type *part = record->parts[a];
    unsigned field = record->fields[a];
    record->parts[a] = record->parts[b];
    record->fields[a] = record->fields[b];
    record->parts[b] = part;
    record->fields[b] = field;
}

static void change_record(struct type *record)
{
    unsigned what = below(8);
    if (what == 0 && record->count > 1) {
        free_type(record->parts[--record->count]);
        record->parts[record->count] = NULL;
    } else if (what == 1 && record->count < PARTS_MAX) {
        record->fields[record->count] = next_id++;
        record->is_added[record->count] = true;
        record->parts[record->count++] = new_type(NOTHING);
        changes |= ADDED_DEFAULT;
    } else if (what <= 3) {
        swap_fields(record, 0, record->count - 1);
    } else if (what == 4) {
        record->has_alias = true;
        changes |= RENAMED;
    }
}

static void change_scalar(struct type *type)
{
    enum kind kind = type->kind;
    if (below(3) > 0)
        return;
    if (kind >= INT && kind < DOUBLE) {
        type->kind = (enum kind)(kind + 1 + below((unsigned)(DOUBLE - kind)));
    } else if (kind == BYTES || kind == STRING) {
        type->kind = kind == BYTES ? STRING : BYTES;
        changes |= TEXT_AND_BYTES;
    } else if (kind == ENUM && below(2) == 0) {
        type->count++;
    } else if (kind == ENUM) {
        type->count--;
        changes |= SYMBOL_GONE;
    } else if (kind == FIXED) {
        type->has_alias = true;
        changes |= RENAMED;
    }
}

static struct type *wrap(struct type *type)
{
    struct type *wrapped = new_type(UNION);
    wrapped->count = 2;
    wrapped->parts[0] = new_type(NOTHING);
    wrapped->parts[1] = type;
    return wrapped;
}

static void change_union(struct type *type)
{
    if (below(4) == 0 && type->count > 2) {
        free_type(type->parts[--type->count]);
        type->parts[type->count] = NULL;
        changes |= BRANCH_GONE;
    } else if (below(3) == 0) {
        swap_fields(type, 0, type->count - 1);
    }
}

/* A branch beside others stays what it is, or it could become the same as one of them. */
static struct type *changed_part(const struct type *type, const struct type *part)
{
    if (type->kind != UNION || type->count == 2 || part->kind >= RECORD)
        return changed(part);
    struct type *copy = new_type(part->kind);
    *copy = *part;
    return copy;
}

/* A copy, here and there with one of the changes. */
static struct type *changed(const struct type *type)
{
    struct type *copy = new_type(type->kind);
    *copy = *type;
    for (unsigned i = 0; i < PARTS_MAX; i++)
        copy->parts[i] = type->parts[i] != NULL ? changed_part(type, type->parts[i]) : NULL;
    if (copy->kind == UNION) {
        change_union(copy);
        return copy;
    }
    if (copy->kind == RECORD)
        change_record(copy);
    else
        change_scalar(copy);
    return copy;
}

/* ------------------------------------------------------------------------------------------ *
 * The library
 * ------------------------------------------------------------------------------------------ */

#define AVRO(call) ck_assert_msg((call) == 0, "%s: %s", #call, avro_strerror())

struct schema {
    struct cairn_buffer text;
    avro_schema_t theirs;
    avro_value_iface_t *iface;
    cairn_serializer *ours;
};

static void open_schema(const struct type *type, struct schema *ret)
{
    cairn_error *error = NULL;
    *ret = (struct schema){0};
    put_type(&ret->text, type, NULL);
    const char *text = (const char *)ret->text.data;
    ck_assert_msg(avro_schema_from_json_length(text, ret->text.size, &ret->theirs) == 0, "%s: %s",
                  text, avro_strerror());
    ret->iface = avro_generic_class_from_schema(ret->theirs);
    ck_assert_ptr_nonnull(ret->iface);
    ck_assert_msg(cairn_avro_serializer(text, &ret->ours, &error) == 0, "%s: %s", text,
                  cairn_error_message(error));
}

static void close_schema(struct schema *schema)
{
    cairn_serializer_release(schema->ours);
    avro_value_iface_decref(schema->iface);
    avro_schema_decref(schema->theirs);
    crn_buf_done(&schema->text);
}

static size_t write_value(avro_value_t *value, uint8_t *bytes)
{
    avro_writer_t writer = avro_writer_memory((char *)bytes, (int64_t)BYTES_MAX);
    AVRO(avro_value_write(writer, value));
    size_t size = (size_t)avro_writer_tell(writer);
    avro_writer_free(writer);
    return size;
}

static int read_value(avro_value_t *value, const uint8_t *bytes, size_t size)
{
    avro_reader_t reader = avro_reader_memory((const char *)bytes, (int64_t)size);
    int r = avro_value_read(reader, value);
    avro_reader_free(reader);
    return r;
}

static double random_double(void)
{
    static const double numbers[] = {0.0, -0.0, 1.5, -1e300, 5e-324, 3.4028234663852886e38, 0.1};
    unsigned i = below(CRN_COUNT(numbers) + 1);
    return i < CRN_COUNT(numbers) ? numbers[i] : (double)INFINITY;
}

static int64_t random_int(void)
{
    static const int64_t numbers[] = {0, 1, -1, 63, -65, 8191, INT32_MAX, INT32_MIN};
    return numbers[below(CRN_COUNT(numbers))];
}

static void fill_random(avro_value_t *value, unsigned depth);

static void fill_parts(avro_value_t *value, avro_type_t kind, unsigned depth)
{
    avro_value_t part;
    size_t count = below(4);
    char key[32];
    if (kind == AVRO_RECORD)
        AVRO(avro_value_get_size(value, &count));
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "key %zu", i);
        if (kind == AVRO_RECORD)
            AVRO(avro_value_get_by_index(value, i, &part, NULL));
        else if (kind == AVRO_ARRAY)
            AVRO(avro_value_append(value, &part, NULL));
        else
            AVRO(avro_value_add(value, key, &part, NULL, NULL));
        fill_random(&part, depth + 1);
    }
}

static void fill_named(avro_value_t *value, avro_type_t kind, unsigned depth)
{
    char bytes[8] = "\xff\x00\x80z";
    avro_schema_t schema = avro_value_get_schema(value);
    avro_value_t part;
    if (kind == AVRO_ENUM) {
        AVRO(avro_value_set_enum(value,
                                 (int)below((unsigned)avro_schema_enum_number_of_symbols(schema))));
    } else if (kind == AVRO_FIXED) {
        AVRO(avro_value_set_fixed(value, bytes, (size_t)avro_schema_fixed_size(schema)));
    } else {
        /* A list ends some time: with null, which stands at one of the ends. */
        size_t last = avro_schema_union_size(schema) - 1;
        size_t branch = below((unsigned)last + 1);
        if (depth > 8)
            branch = avro_typeof(avro_schema_union_branch(schema, 0)) == AVRO_NULL ? 0 : last;
        AVRO(avro_value_set_branch(value, (int)branch, &part));
        fill_random(&part, depth + 1);
    }
}

static void fill_random(avro_value_t *value, unsigned depth)
{
    char text[] = "hex:\xc3\xa4\x01";
    unsigned size = below(sizeof(text));
    avro_type_t kind = avro_value_get_type(value);
    switch (kind) {
    case AVRO_NULL:
        AVRO(avro_value_set_null(value));
        break;
    case AVRO_BOOLEAN:
        AVRO(avro_value_set_boolean(value, (int)below(2)));
        break;
    case AVRO_INT32:
        AVRO(avro_value_set_int(value, (int32_t)random_int()));
        break;
    case AVRO_INT64:
        AVRO(avro_value_set_long(value, below(8) == 0 ? INT64_MIN : random_int() * 4097));
        break;
    case AVRO_FLOAT:
        AVRO(avro_value_set_float(value, (float)random_double()));
        break;
    case AVRO_DOUBLE:
        AVRO(avro_value_set_double(value, random_double()));
        break;
    case AVRO_BYTES:
        AVRO(avro_value_set_bytes(value, text, size));
        break;
    case AVRO_STRING:
        text[size] = '\0';
        AVRO(avro_value_set_string_len(value, text, size + 1));
        break;
    case AVRO_RECORD:
    case AVRO_ARRAY:
    case AVRO_MAP:
        fill_parts(value, kind, depth);
        break;
    default:
        fill_named(value, kind, depth);
        break;
    }
}

static size_t random_value(const struct schema *schema, uint8_t *bytes)
{
    avro_value_t value;
    AVRO(avro_generic_value_new(schema->iface, &value));
    fill_random(&value, 0);
    size_t size = write_value(&value, bytes);
    avro_value_decref(&value);
    return size;
}

/* ------------------------------------------------------------------------------------------ *
 * Tests
 * ------------------------------------------------------------------------------------------ */

static uint8_t written[BYTES_MAX], again[BYTES_MAX];

static void check_round_trip(const struct schema *schema, size_t size)
{
    const cairn_schema_info *info = &schema->ours->schema;
    const char *text = (const char *)schema->text.data;
    cairn_error *error = NULL;
    char *json;
    void *back;
    size_t back_size;
    avro_value_t value;
    ck_assert_msg(crn_serializer_is_value(schema->ours, written, size), "%s", text);
    ck_assert_msg(cairn_value_to_json(CAIRN_AVRO, info, written, size, &json, &error) == 0,
                  "%s: %s", text, cairn_error_message(error));
    ck_assert_msg(cairn_value_from_json(CAIRN_AVRO, info, json, &back, &back_size, &error) == 0,
                  "%s: %s: %s", text, json, cairn_error_message(error));
    ck_assert_msg(back_size == size && memcmp(back, written, size) == 0, "%s: %s", text, json);
    AVRO(avro_generic_value_new(schema->iface, &value));
    AVRO(read_value(&value, back, back_size));
    ck_assert_uint_eq(write_value(&value, again), size);
    ck_assert_msg(memcmp(again, written, size) == 0, "%s: %s", text, json);
    avro_value_decref(&value);
    free(back);
    free(json);
}

START_TEST(values_go_there_and_back)
{
    start_random();
    for (int i = 0; i < SCHEMAS; i++) {
        struct type *type = make_type(0, false);
        struct schema schema;
        open_schema(type, &schema);
        for (int n = 0; n < VALUES; n++)
            check_round_trip(&schema, random_value(&schema, written));
        close_schema(&schema);
        free_type(type);
    }
}
END_TEST

/* Can the library resolve them? It is asked in a process of its own, since in 1.11.1 it uses a
 * record's resolver after it has failed: some of its answers are crashes. */
static bool library_resolves(const struct schema *from, const struct schema *to, unsigned *crashes)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGSEGV, SIG_DFL);
        _exit(avro_resolved_writer_new(from->theirs, to->theirs) != NULL ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    *crashes += WIFSIGNALED(status) != 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Index of the change that explains it. */
static size_t explain(const struct schema *from, const struct schema *to, bool is_ours)
{
    const size_t count = is_ours ? CRN_COUNT(only_here) : CRN_COUNT(only_there);
    for (size_t i = 0; i < count; i++)
        if (changes & (is_ours ? only_here[i].change : only_there[i].change))
            return i;
    ck_abort_msg("only %s: %s to %s", is_ours ? "Cairn" : "the library", (char *)from->text.data,
                 (char *)to->text.data);
    return 0;
}

/* What came of a pair, or of one of its values. */
struct tally {
    unsigned both, neither, values, crashes, lost;
    unsigned here[CRN_COUNT(only_here)], there[CRN_COUNT(only_there)];
};

/* The library's own conversion, in `again`. false: it could not do it. */
static bool library_converts(const struct schema *from, const struct schema *to,
                             avro_value_iface_t *resolver, size_t size, size_t *ret_size,
                             struct tally *tally)
{
    avro_value_t resolved, value;
    AVRO(avro_generic_value_new(to->iface, &value));
    AVRO(avro_resolved_writer_new_value(resolver, &resolved));
    avro_resolved_writer_set_dest(&resolved, &value);
    bool can_read = read_value(&resolved, written, size) == 0;
    avro_writer_t writer = avro_writer_memory((char *)again, (int64_t)BYTES_MAX);
    bool can_write = can_read && avro_value_write(writer, &value) == 0;
    *ret_size = (size_t)avro_writer_tell(writer);
    avro_writer_free(writer);
    avro_value_decref(&resolved);
    avro_value_decref(&value);
    const char *text = (const char *)from->text.data;
    if (!can_read) {
        tally->here[explain(from, to, true)]++; /* it waited for the value */
    } else if (!can_write) {
        ck_assert_msg(strstr(text, "array") != NULL || strstr(text, "map") != NULL, "%s", text);
        tally->lost++;
    }
    return can_write;
}

/* Both can: the same bytes. */
static void check_conversion(const struct schema *from, const struct schema *to,
                             avro_value_iface_t *resolver, struct tally *tally)
{
    cairn_error *error = NULL;
    void *ours;
    size_t size = random_value(from, written), ours_size, theirs_size;
    ck_assert_msg(cairn_value_convert(CAIRN_AVRO, &from->ours->schema, &to->ours->schema, written,
                                      size, &ours, &ours_size, &error) == 0,
                  "%s to %s: %s", (char *)from->text.data, (char *)to->text.data,
                  cairn_error_message(error));
    if (library_converts(from, to, resolver, size, &theirs_size, tally)) {
        ck_assert_msg(theirs_size == ours_size && memcmp(again, ours, ours_size) == 0, "%s to %s",
                      (char *)from->text.data, (char *)to->text.data);
        tally->values++;
    }
    free(ours);
}

static void check_pair(const struct schema *from, const struct schema *to, struct tally *tally)
{
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    cairn_compatibility found;
    ck_assert_int_eq(
        crn_serializer_compare(to->ours, CAIRN_AVRO, &from->ours->schema, &found, &why, NULL), 0);
    bool is_ours = found != CAIRN_INCOMPATIBLE;
    bool is_theirs = changes == 0 || library_resolves(from, to, &tally->crashes);
    if (is_ours && !is_theirs)
        tally->here[explain(from, to, true)]++;
    if (!is_ours && is_theirs)
        tally->there[explain(from, to, false)]++;
    tally->neither += !is_ours && !is_theirs;
    if (!is_ours || !is_theirs)
        return;
    tally->both++;
    avro_value_iface_t *resolver = avro_resolved_writer_new(from->theirs, to->theirs);
    ck_assert_ptr_nonnull(resolver);
    for (int n = 0; n < VALUES; n++)
        check_conversion(from, to, resolver, tally);
    avro_value_iface_decref(resolver);
}

static void check_tally(const struct tally *tally)
{
    printf("# both %u, %u values; neither %u\n", tally->both, tally->values, tally->neither);
    printf(
        "# %u times the library crashed, %u times it chose no branch for an empty array or map\n",
        tally->crashes, tally->lost);
    for (size_t i = 0; i < CRN_COUNT(only_here); i++)
        printf("# only Cairn, %u times: %s\n", tally->here[i], only_here[i].why);
    for (size_t i = 0; i < CRN_COUNT(only_there); i++)
        printf("# only the library, %u times: %s\n", tally->there[i], only_there[i].why);
    ck_assert_uint_gt(tally->both, PAIRS / 10);
    ck_assert_uint_gt(tally->values, PAIRS / 10);
    for (size_t i = 0; i < CRN_COUNT(only_here); i++)
        ck_assert_uint_gt(tally->here[i], 0);
    for (size_t i = 0; i < CRN_COUNT(only_there); i++)
        ck_assert_uint_gt(tally->there[i], 0);
}

START_TEST(conversions_agree)
{
    struct tally tally = {0};
    start_random();
    for (int i = 0; i < PAIRS; i++) {
        struct schema from, to;
        changes = 0;
        struct type *before = make_type(0, false), *after = changed(before);
        if (below(6) == 0 && after->kind != UNION && after->kind != NOTHING)
            after = wrap(after);
        open_schema(before, &from);
        open_schema(after, &to);
        check_pair(&from, &to, &tally);
        close_schema(&from);
        close_schema(&to);
        free_type(before);
        free_type(after);
    }
    check_tally(&tally);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("avro_interop");
    TCase *tcase = tcase_create("interop");
    tcase_set_timeout(tcase, 110);
    tcase_add_test(tcase, values_go_there_and_back);
    tcase_add_test(tcase, conversions_agree);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
