/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every rule of docs/format.md is enforced, and by its own name: a record that keeps all of them is
 * broken in one place at a time, and the error must name the rule that the place belongs to (P8,
 * P9, P11). The last test compares the list here with the document's, so that no rule is without a
 * test and none without a line of explanation.
 */
#include "manifest/internal.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"
#include "tests/support/tap.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void set(const char **field, const char *text)
{
    ck_assert_int_eq(crn_record_set_text(field, text), 0);
}

static void set_long(const char **field, size_t size)
{
    CRN_AUTO_FREE char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    set(field, text);
}

static void set_smallest(struct crn_file *file, const char *key)
{
    cairn_file_info *info = &file->info;
    ck_assert_int_eq(crn_record_set_bytes(&info->smallest, &info->smallest_size, key, strlen(key)),
                     0);
}

static void drop_inlined(struct crn_file *file)
{
    free(file->inlined);
    file->inlined = NULL;
}

/* An object in place of inlined bytes, with a key that fits. */
static void make_object(struct crn_file *file, bool shared)
{
    char key[CRN_KEY_MAX];
    drop_inlined(file);
    crn_key_object(key, shared, file->info.epoch, file->info.checkpoint_id, 77, file->info.name);
    set(&file->info.object, key);
}

static void add_states(struct crn_operator *op, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cairn_state_info *state = crn_operator_add_state(op);
        char name[32];
        (void)snprintf(name, sizeof(name), "more-%zu", i);
        set(&state->name, name);
        state->kind = CAIRN_KIND_VALUE;
    }
}

static void add_schema(cairn_state_info *state, uint32_t tag, uint32_t version)
{
    const cairn_schema_info schema = {.tag = tag, .version = version};
    ck_assert_int_eq(crn_state_add_schema(state, &schema), 0);
}

/* So many in all: one more than crn_state_add_schema() would let stand. */
static void add_schemas(cairn_state_info *state, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        add_schema(state, i, 0);
    const cairn_schema_info one_more = {.tag = count};
    ck_assert_int_eq(crn_state_add_schema(state, &one_more), CAIRN_EINVAL);
    cairn_schema_info *larger =
        realloc((void *)(uintptr_t)state->schemas, (state->schema_count + 1) * sizeof(*larger));
    larger[state->schema_count++] = one_more;
    state->schemas = larger;
}

static cairn_schema_info *schema_of(struct crn_operator *op, size_t state)
{
    return (cairn_schema_info *)(uintptr_t)&op->states[state].schemas[0];
}

static void set_source(struct crn_record *record)
{
    record->info.source_id = 7;
    record->info.source_uuid[0] = 1;
    record->info.source_mode = CAIRN_LEGACY;
    set(&record->info.source_job, "old-orders");
    set(&record->info.source_location, "elsewhere");
    ck_assert_int_eq(crn_record_validate(record, NULL), 0);
}

static void drop_canonical_fields(struct crn_file *file)
{
    file->info.key_group_first = 0;
    file->info.key_group_last = 0;
    file->info.entry_count = 0;
    file->info.has_identity = 0;
}

static void add_operators(struct crn_record *record, size_t count)
{
    for (size_t i = 0; i < count; i++)
        set(&crn_record_add_operator(record)->info.uid, "zzz");
}

static void add_history(struct crn_record *record, size_t count)
{
    for (size_t i = 0; i < count; i++)
        crn_record_add_history(record)->info.id = 10 + i;
}

/* X(rule, what is done to the record of crn_test_checkpoint()). In it: r is the record (id 17,
 * log_start 9, epoch 3, base 9), op the second operator with states count, seen (map), count
 * (operator list); two subtasks of sub's kind, whose files are old (table of checkpoint 9), table,
 * object, inlined and blob. */
#define BREAKS(X)                                                                                  \
    X(R1, r->info.id = 0)                                                                          \
    X(R2, r->info.kind = (cairn_record_kind)0)                                                     \
    X(R2, r->info.kind = (cairn_record_kind)5)                                                     \
    X(R3, memset(r->info.uuid, 0, 16))                                                             \
    X(R4, r->info.epoch = 0)                                                                       \
    X(R5, r->info.log_start = 0)                                                                   \
    X(R5, r->info.log_start = 18)                                                                  \
    X(R6, r->has_previous_hash = false)                                                            \
    X(R6, r->info.log_start = 17)                                                                  \
    X(R7, r->job[0] = '.')                                                                         \
    X(R7, r->job[0] = '\0')                                                                        \
    X(R7, r->job[3] = '/')                                                                         \
    X(R7, free(r->job); r->job = NULL)                                                             \
    X(R8, r->info.restored_id = 17)                                                                \
    X(R9, set(&r->info.host, "a\nb"))                                                              \
    X(R9, set_long(&r->info.host, 256))                                                            \
    X(R9, set_long(&r->info.library_version, 65))                                                  \
    X(R10, set(&r->info.reason, "no reason"))                                                      \
    X(R10, r->info.kind = CAIRN_RECORD_ABORTED)                                                    \
    X(R10, r->info.kind = CAIRN_RECORD_ABORTED; set(&r->info.reason, "\xff"))                      \
    X(R10, r->info.kind = CAIRN_RECORD_ABORTED; set_long(&r->info.reason, 1025))                   \
    X(R11, r->info.kind = CAIRN_RECORD_FENCE)                                                      \
    X(R11, r->info.kind = CAIRN_RECORD_SAVEPOINT; set(&r->info.location, "elsewhere"))             \
    X(R12, r->info.base_id = 17)                                                                   \
    X(R12, r->info.is_full = 1)                                                                    \
    X(R13, r->info.format = CAIRN_NATIVE)                                                          \
    X(R13, set(&r->info.location, "elsewhere"))                                                    \
    X(R13, r->info.kind = CAIRN_RECORD_SAVEPOINT)                                                  \
    X(R14, set(&r->info.source_location, "elsewhere"))                                             \
    X(R14, set(&r->info.source_job, "orders"))                                                     \
    X(R14, r->info.source_uuid[3] = 1)                                                             \
    X(R14, r->info.source_mode = CAIRN_CLAIM)                                                      \
    X(R14, r->info.source_id = 1)                                                                  \
    X(H1, r->history[1].info.id = 8)                                                               \
    X(H1, r->history[0].info.id = 0)                                                               \
    X(H1, r->history[1].info.id = 17)                                                              \
    X(H1, r->info.id = 1000; add_history(r, 63))                                                   \
    X(H2, r->history[0].info.kind = (cairn_record_kind)7)                                          \
    X(H2, r->history[0].info.epoch = 0)                                                            \
    X(H2, r->history[1].info.epoch = 4)                                                            \
    X(H3, set(&r->history[0].info.reason, ""))                                                     \
    X(H3, set(&r->history[1].info.reason, "because"))                                              \
    X(H3, set_long(&r->history[0].info.reason, 1025))                                              \
    X(H4, set(&r->history[1].info.location, "elsewhere"))                                          \
    X(H4, r->history[1].info.format = CAIRN_NATIVE)                                                \
    X(H4, set(&r->history[1].info.source_location, "\xff"))                                        \
    X(H4, set_long(&r->history[1].info.source_location, 4097))                                     \
    X(O1, set(&op->info.uid, ""))                                                                  \
    X(O1, set(&op->info.uid, NULL))                                                                \
    X(O1, set(&op->info.uid, "alerts"))                                                            \
    X(O1, set(&op->info.uid, "a"))                                                                 \
    X(O1, add_operators(r, CRN_LIMIT_OPERATORS - 1))                                               \
    X(O2, set(&op->info.name, "tab\there"))                                                        \
    X(O2, set_long(&op->info.name, 256))                                                           \
    X(O3, op->info.parallelism = 0)                                                                \
    X(O3, op->info.parallelism = 129)                                                              \
    X(O3, op->info.max_parallelism = 32769)                                                        \
    X(O4, op->info.key_type = (cairn_type)4)                                                       \
    X(O4, op->info.namespace_type = (cairn_type)-1)                                                \
    X(O5, op->info.parallelism = 3)                                                                \
    X(O5, sub->info.index = 1)                                                                     \
    X(S1, set(&op->states[0].name, ""))                                                            \
    X(S1, set(&op->states[0].name, "seen"))                                                        \
    X(S1, add_states(op, CRN_LIMIT_STATES - 2))                                                    \
    X(S2, op->states[1].kind = (cairn_state_kind)6)                                                \
    X(S2, op->states[1].kind = (cairn_state_kind)0)                                                \
    X(S2, op->states[2].kind = (cairn_state_kind)19)                                               \
    X(S2, op->states[0].value_type = (cairn_type)7)                                                \
    X(S2, op->states[1].map_key_type = (cairn_type)4)                                              \
    X(S3, op->states[0].map_key_type = CAIRN_STRING)                                               \
    X(S3, op->states[2].ttl_ms = 1)                                                                \
    X(S3, op->states[2].value_type = CAIRN_STRUCT)                                                 \
    X(S4, op->states[0].value_type = CAIRN_STRUCT)                                                 \
    X(S4, add_schema(&op->states[0], 1, 0))                                                        \
    X(T1, sub->info.key_group_first = 1)                                                           \
    X(T1, sub->info.key_group_last = 64)                                                           \
    X(T1, op->info.max_parallelism = 4096)                                                         \
    X(T2, set(&sub->info.backend, ""))                                                             \
    X(T2, set(&sub->info.backend, "RocksDB"))                                                      \
    X(T2, set_long(&sub->info.backend, 33))                                                        \
    X(T3, set(&object->info.name, "CURRENT"))                                                      \
    X(T4, table->info.number = old->info.number)                                                   \
    X(T5, inlined->info.role = CAIRN_FILE_OPERATOR_STATE)                                          \
    X(T6, set(&sub->info.backend, "canonical"))                                                    \
    X(T6, object->info.role = CAIRN_FILE_CANONICAL)                                                \
    X(F1, object->info.role = (cairn_file_role)0)                                                  \
    X(F1, object->info.role = (cairn_file_role)6)                                                  \
    X(F2, set(&object->info.name, ""))                                                             \
    X(F2, set(&object->info.name, "."))                                                            \
    X(F2, set(&object->info.name, ".."))                                                           \
    X(F2, set(&object->info.name, "../up"))                                                        \
    X(F2, set(&object->info.name, "/etc/passwd"))                                                  \
    X(F2, set(&object->info.name, "new\nline"))                                                    \
    X(F2, set(&object->info.name, NULL))                                                           \
    X(F2, set_long(&object->info.name, 256))                                                       \
    X(F3, object->info.size = (uint64_t)1 << 63)                                                   \
    X(F4, set(&inlined->info.object, "chk-17/e3-c17-40-CURRENT"))                                  \
    X(F4, drop_inlined(inlined))                                                                   \
    X(F4, inlined->info.size = CRN_LIMIT_INLINE + 1)                                               \
    X(F5, object->info.has_xxh3 = 0)                                                               \
    X(F5, inlined->info.xxh3[15] ^= 1)                                                             \
    X(F5, inlined->inlined[0] ^= 1)                                                                \
    X(F5, inlined->info.has_crc32c = 1)                                                            \
    X(F6, object->info.checkpoint_id = 0)                                                          \
    X(F6, object->info.checkpoint_id = 18)                                                         \
    X(F6, object->info.epoch = 0)                                                                  \
    X(F6, object->info.epoch = 2)                                                                  \
    X(F6, old->info.epoch = 4)                                                                     \
    X(F7, r->info.base_id = 8)                                                                     \
    X(F7, r->info.base_id = 0)                                                                     \
    X(F7, inlined->info.checkpoint_id = 9)                                                         \
    X(F8, set(&object->info.object, "chk-17/e3-c17-031-M"))                                        \
    X(F8, set(&object->info.object, "../secrets"))                                                 \
    X(F8, set(&object->info.object, ""))                                                           \
    X(F8, set(&object->info.object, "MANIFEST-chk17"))                                             \
    X(F8, set(&object->info.object, "chk-16/e3-c16-31-M"))                                         \
    X(F8, set(&object->info.object, "chk-17/e2-c17-31-M"))                                         \
    X(F8, make_object(object, true))                                                               \
    X(F8, make_object(table, false))                                                               \
    X(F9, object->info.number = 5)                                                                 \
    X(F9, object->info.level = 1)                                                                  \
    X(F9, object->state = 1)                                                                       \
    X(F9, object->info.sequence_first = 1)                                                         \
    X(F9, object->info.sequence_last = 1)                                                          \
    X(F9, set_smallest(object, "k"))                                                               \
    X(F10, table->state = 3)                                                                       \
    X(F10, table->state = 2)                                                                       \
    X(F10, set(&table->info.state, "count"))                                                       \
    X(F11, table->info.sequence_first = table->info.sequence_last + 1)                             \
    X(F11, sub->info.sequence = 24)                                                                \
    X(F12, set_smallest(table, "\x7f\x02keys"))                                                    \
    X(F12, set_smallest(table, "\x80"))                                                            \
    X(F13, object->info.key_group_first = 1; object->info.key_group_last = 1)                      \
    X(F13, table->info.entry_count = 1)                                                            \
    X(F13, object->info.has_identity = 1)

/* The same for the savepoint of crn_test_canonical_savepoint(), id 21, epoch 4, in its own
 * directory. op is its operator, whose states are cart (map of structs, two schemas), last (Avro),
 * log (list of a custom type) and total; sub has the canonical files low (key groups 0 to 31) and
 * high (32 to 63). */
#define BREAKS_OF_SAVEPOINT(X)                                                                     \
    X(R13, r->info.log_start = 20; r->has_previous_hash = true)                                    \
    X(R13, r->info.base_id = 20; r->info.is_full = 0)                                              \
    X(R13, add_history(r, 1); r->history[0].info.kind = CAIRN_RECORD_FENCE;                        \
      r->history[0].info.epoch = 1)                                                                \
    X(R13, r->info.format = (cairn_savepoint_format)2)                                             \
    X(R11, set(&r->info.location, "elsewhere"))                                                    \
    X(R14, set_source(r); r->info.source_mode = (cairn_claim_mode)3)                               \
    X(R14, set_source(r); memset(r->info.source_uuid, 0, 16))                                      \
    X(R14, set_source(r); set(&r->info.source_job, "a/b"))                                         \
    X(R14, set_source(r); set(&r->info.source_location, "\xff"))                                   \
    X(R14, set_source(r); set_long(&r->info.source_location, 4097))                                \
    X(S4, crn_state_done(&op->states[1]); set(&op->states[1].name, "last");                        \
      op->states[1].kind = CAIRN_KIND_VALUE; op->states[1].value_type = CAIRN_AVRO)                \
    X(S4, op->states[3].value_type = CAIRN_CUSTOM)                                                 \
    X(S4, op->states[0].value_type = CAIRN_INT64)                                                  \
    X(S4, schema_of(op, 0)->tag = 3)                                                               \
    X(S4, schema_of(op, 0)->tag = 4)                                                               \
    X(S4, schema_of(op, 0)->version = 1)                                                           \
    X(S4, schema_of(op, 1)->version = 1)                                                           \
    X(S4, set(&schema_of(op, 2)->name, "\x7f"))                                                    \
    X(S4, set_long(&schema_of(op, 2)->name, 256))                                                  \
    X(S4, schema_of(op, 2)->size = CRN_LIMIT_SCHEMA + 1)                                           \
    X(S4, add_schemas(&op->states[2], CRN_LIMIT_SCHEMAS))                                          \
    X(T6, set(&sub->info.backend, "rocksdb"))                                                      \
    X(T6, high->info.role = CAIRN_FILE_DATABASE; drop_canonical_fields(high))                      \
    X(T7, low->info.key_group_last = 32)                                                           \
    X(T7, high->info.key_group_first = 0)                                                          \
    X(T7, low->info.key_group_first = 63; low->info.key_group_last = 63;                           \
      high->info.key_group_last = 62)                                                              \
    X(F7, low->info.checkpoint_id = 20; low->info.epoch = 3)                                       \
    X(F8, make_object(low, true))                                                                  \
    X(F9, low->info.number = 1)                                                                    \
    X(F13, low->info.key_group_first = 32)                                                         \
    X(F13, high->info.key_group_last = 64)                                                         \
    X(F13, op->subtasks[1].files[0].info.key_group_first = 63)

/* The same for crn_test_packed_checkpoint(): first and second are the new slices of one pack, 0 to
 * 1500 and to 4000; base is one of the base's, which the operator's other subtask has, too, as
 * theirs; last has a pack of other files. */
#define BREAKS_OF_PACKS(X)                                                                         \
    X(F14, first->info.object_size = 0)                                                            \
    X(F14, first->info.object_size = 1499)                                                         \
    X(F14, first->info.object_size = UINT64_MAX)                                                   \
    X(F14, first->info.size = 0)                                                                   \
    X(F14, first->info.object_offset = 2501)                                                       \
    X(F14, first->info.object_offset = UINT64_MAX)                                                 \
    X(F14, set(&second->info.object, "shared/e3-c17-50.sst"))                                      \
    X(F14, r->operators[1].subtasks[0].files[0].info.object_offset = 1)                            \
    X(F14, last->info.object_size = 0; last->info.object_offset = 0)                               \
    X(F4, set(&last->info.object, NULL))                                                           \
    X(F8, set(&last->info.object, "shared/e3-c17-60.pack"))                                        \
    X(F8, set(&first->info.object, "chk-17/e3-c17-50-files.pack"))                                 \
    X(R15, second->info.object_offset = 1499)                                                      \
    X(R15, second->info.object_offset = 0)                                                         \
    X(R15, second->info.object_size = 4001)                                                        \
    X(R15, first->info.size = 1501)                                                                \
    X(R15, base->info.size--)                                                                      \
    X(R15, base->info.object_offset++)                                                             \
    X(R15, theirs->info.object_size = 6001)

#define X(rule, ...) #rule,
static const char *const break_pack_rules[] = {BREAKS_OF_PACKS(X)};
static const char *const break_rules[] = {BREAKS(X)};
static const char *const break_savepoint_rules[] = {BREAKS_OF_SAVEPOINT(X)};
#undef X

/* Does the n-th of them. */
static void break_record(struct crn_record *r, int n)
{
    struct crn_operator *op = &r->operators[1];
    struct crn_subtask *sub = &op->subtasks[0];
    struct crn_file *old = &sub->files[0], *table = &sub->files[1], *object = &sub->files[2],
                    *inlined = &sub->files[3];
    int at = 0;
#define X(rule, ...)                                                                               \
    if (at++ == n) {                                                                               \
        __VA_ARGS__;                                                                               \
        return;                                                                                    \
    }
    BREAKS(X)
#undef X
}

static void break_savepoint(struct crn_record *r, int n)
{
    struct crn_operator *op = &r->operators[0];
    struct crn_subtask *sub = &op->subtasks[0];
    struct crn_file *low = &sub->files[0], *high = &sub->files[1];
    int at = 0;
#define X(rule, ...)                                                                               \
    if (at++ == n) {                                                                               \
        __VA_ARGS__;                                                                               \
        return;                                                                                    \
    }
    BREAKS_OF_SAVEPOINT(X)
#undef X
}

static void break_packs(struct crn_record *r, int n)
{
    struct crn_subtask *sub = &r->operators[1].subtasks[1];
    struct crn_file *last = &sub->files[sub->file_count - 1], *first = &sub->files[5],
                    *second = &sub->files[6], *base = &sub->files[7],
                    *theirs = &r->operators[1].subtasks[0].files[7];
    int at = 0;
#define X(rule, ...)                                                                               \
    if (at++ == n) {                                                                               \
        __VA_ARGS__;                                                                               \
        return;                                                                                    \
    }
    BREAKS_OF_PACKS(X)
#undef X
}

START_TEST(what_keeps_all_rules_is_accepted)
{
    struct crn_record *records[] = {crn_test_packed_checkpoint(),
                                    crn_test_checkpoint(),
                                    crn_test_savepoint(),
                                    crn_test_canonical_savepoint(),
                                    crn_test_native_savepoint(),
                                    crn_test_canonical_checkpoint(),
                                    crn_test_claim()};
    for (size_t i = 0; i < CRN_COUNT(records); i++) {
        CRN_AUTO_RECORD struct crn_record *record = records[i];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        ck_assert_msg(crn_record_validate(record, &error) == 0, "%s", cairn_error_message(error));
    }
}
END_TEST

static void expect_broken(const struct crn_record *record, const char *name)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char rule[16];
    (void)snprintf(rule, sizeof(rule), "(rule %s)", name);
    ck_assert_msg(crn_record_validate(record, &error) == CAIRN_ECORRUPT, "%s", rule);
    ck_assert_msg(strstr(cairn_error_message(error), rule) != NULL, "%s: %s", rule,
                  cairn_error_message(error));
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_encode(record, &bytes, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(bytes.size, 0);
}

START_TEST(each_rule_is_enforced_by_its_name)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_checkpoint();
    break_record(record, _i);
    expect_broken(record, break_rules[_i]);
}
END_TEST

START_TEST(each_rule_of_packs_is_enforced_by_its_name)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_packed_checkpoint();
    break_packs(record, _i);
    expect_broken(record, break_pack_rules[_i]);
}
END_TEST

START_TEST(each_rule_of_savepoints_is_enforced_by_its_name)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_canonical_savepoint();
    break_savepoint(record, _i);
    expect_broken(record, break_savepoint_rules[_i]);
}
END_TEST

/* Tables of a savepoint are its own, those of a checkpoint are shared: the same key is right in one
 * and wrong in the other. */
START_TEST(savepoints_share_nothing)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_native_savepoint();
    struct crn_file *table = &record->operators[0].subtasks[0].files[0];
    make_object(table, true);
    expect_broken(record, "F8");
    make_object(table, false);
    ck_assert_int_eq(crn_record_validate(record, NULL), 0);
    record->info.kind = CAIRN_RECORD_CHECKPOINT;
    record->info.format = CAIRN_CANONICAL;
    expect_broken(record, "F8");
}
END_TEST

START_TEST(places_of_savepoints_are_checked)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_savepoint();
    set(&record->info.location, "new\nline");
    expect_broken(record, "R13");
    set_long(&record->info.location, 4097);
    expect_broken(record, "R13");
    set_long(&record->info.location, 4096);
    ck_assert_int_eq(crn_record_validate(record, NULL), 0);
    record->info.format = (cairn_savepoint_format)2;
    expect_broken(record, "R13");
}
END_TEST

/* One with which an ending job removed its checkpoints says why; one that begins has nothing to
 * say. */
START_TEST(fences_may_have_a_reason)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_savepoint();
    record->info.kind = CAIRN_RECORD_FENCE;
    record->info.format = CAIRN_CANONICAL;
    set(&record->info.location, "");
    ck_assert_int_eq(crn_record_validate(record, NULL), 0);
    set(&record->info.reason, "cancelled");
    ck_assert_int_eq(crn_record_validate(record, NULL), 0);
    set_long(&record->info.reason, 1025);
    expect_broken(record, "R10");
}
END_TEST

/* Names that look odd and are fine: only what would leave the directory is refused. */
START_TEST(odd_names_are_accepted)
{
    static const char *const names[] = {"...", "..x", ".hidden", "-rf", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < CRN_COUNT(names); i++) {
        CRN_AUTO_RECORD struct crn_record *record = crn_test_checkpoint();
        set(&record->operators[1].subtasks[0].files[2].info.name, names[i]);
        set(&record->operators[1].info.uid, "with/slash and 'quotes'");
        ck_assert_int_eq(crn_record_validate(record, NULL), 0);
    }
}
END_TEST

/* Flink's formula, in a form of its own: the ranges are contiguous and key group k is of subtask
 * k * parallelism / max_parallelism. */
START_TEST(ranges_are_those_of_the_formula)
{
    static const uint32_t sizes[][2] = {{128, 3}, {128, 128}, {4096, 7}, {10, 4}, {32768, 3000}};
    for (size_t n = 0; n < CRN_COUNT(sizes); n++) {
        const uint32_t groups = sizes[n][0], parallelism = sizes[n][1];
        CRN_AUTO_RECORD struct crn_record *record = crn_test_full();
        struct crn_operator *op = &record->operators[0];
        op->info.parallelism = parallelism;
        op->info.max_parallelism = groups;
        for (uint32_t i = 1; i < parallelism; i++) {
            struct crn_subtask *subtask = crn_operator_add_subtask(op);
            subtask->info.index = i;
            set(&subtask->info.backend, "heap");
        }
        for (uint32_t group = groups; group-- > 0;)
            op->subtasks[group * parallelism / groups].info.key_group_first = group;
        for (uint32_t group = 0; group < groups; group++)
            op->subtasks[group * parallelism / groups].info.key_group_last = group;
        ck_assert_int_eq(crn_record_validate(record, NULL), 0);
    }
}
END_TEST

static void expect_wire_rule(const struct cairn_buffer *payload, const char *rule)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_record *record = NULL;
    const struct crn_test_frame frame = crn_test_frame_of(payload->data, payload->size);
    crn_test_frame_put(&frame, &bytes);
    ck_assert_int_eq(crn_record_decode("m", bytes.data, bytes.size, &record, &error),
                     CAIRN_ECORRUPT);
    ck_assert_msg(strstr(cairn_error_message(error), rule) != NULL, "%s: %s", rule,
                  cairn_error_message(error));
}

/* The payload of a record, to which a test appends: of a field written twice the last one counts,
 * and checkpoints are merged. */
static void payload_of(struct crn_record *record, struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_encode(record, &bytes, NULL), 0);
    crn_test_frame_payload(bytes.data, bytes.size, out);
    crn_record_free(record);
}

START_TEST(wire_rules_are_enforced)
{
    static const uint8_t zeros[17] = {0};
    static const uint32_t fields[] = {3, 6}; /* uuid, previous_hash */
    static const size_t sizes[] = {1, 15, 17};
    for (size_t i = 0; i < CRN_COUNT(fields); i++)
        for (size_t j = 0; j < CRN_COUNT(sizes); j++) {
            CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
            payload_of(crn_test_fence(), &payload);
            crn_test_pb_bytes(&payload, fields[i], zeros, sizes[j]);
            expect_wire_rule(&payload, "(rule W2)");
        }
    CRN_AUTO_BUFFER struct cairn_buffer fence = {0}, full = {0};
    payload_of(crn_test_fence(), &fence);
    crn_test_pb_bytes(&fence, 16, NULL, 0);
    expect_wire_rule(&fence, "(rule W1)");
    payload_of(crn_test_full(), &full);
    crn_test_pb_number(&full, 2, CAIRN_RECORD_FENCE);
    expect_wire_rule(&full, "(rule W1)");
    crn_buf_clear(&fence);
    payload_of(crn_test_fence(), &fence);
    crn_test_pb_number(&fence, 2, CAIRN_RECORD_CHECKPOINT);
    expect_wire_rule(&fence, "(rule W1)");
}
END_TEST

/* What a savepoint must and others must not have; and what an early one lacked. */
START_TEST(wire_rules_for_savepoints_are_enforced)
{
    static const uint8_t zeros[16] = {0};
    CRN_AUTO_BUFFER struct cairn_buffer fence = {0}, full = {0}, pointer = {0}, source = {0};
    payload_of(crn_test_fence(), &fence);
    crn_test_pb_bytes(&fence, 18, NULL, 0);
    expect_wire_rule(&fence, "(rule W4)");
    payload_of(crn_test_full(), &full);
    crn_test_pb_number(&full, 2, CAIRN_RECORD_SAVEPOINT);
    expect_wire_rule(&full, "(rule W4)");
    payload_of(crn_test_savepoint(), &pointer);
    crn_test_pb_bytes(&pointer, 18, "\x12\x00", 2); /* merged: the location becomes empty */
    expect_wire_rule(&pointer, "(rule W1)");
    crn_buf_clear(&pointer);
    payload_of(crn_test_savepoint(), &pointer);
    crn_test_pb_bytes(&pointer, 16, NULL, 0);
    expect_wire_rule(&pointer, "(rule W1)");

    crn_buf_clear(&fence);
    payload_of(crn_test_fence(), &fence);
    crn_test_pb_bytes(&source, 4, zeros, 16);
    crn_test_pb_message(&fence, 19, &source);
    expect_wire_rule(&fence, "(rule W5)");
    crn_test_pb_number(&source, 3, 9);
    crn_test_pb_bytes(&source, 4, zeros, 15);
    crn_test_pb_message(&fence, 19, &source);
    expect_wire_rule(&fence, "(rule W2)");
}
END_TEST

/* A checkpoint with one subtask of one file, whose fields the caller gives. */
static void payload_with_file(const struct cairn_buffer *file, size_t generation_size,
                              struct cairn_buffer *out)
{
    static const uint8_t zeros[16] = {0};
    CRN_AUTO_BUFFER struct cairn_buffer subtask = {0}, op = {0}, checkpoint = {0};
    crn_test_pb_bytes(&subtask, 5, zeros, generation_size);
    crn_test_pb_message(&subtask, 11, file);
    crn_test_pb_message(&op, 8, &subtask);
    crn_test_pb_message(&checkpoint, 3, &op);
    payload_of(crn_test_full(), out);
    crn_test_pb_message(out, 16, &checkpoint);
}

START_TEST(wire_rules_for_files_are_enforced)
{
    CRN_AUTO_BUFFER struct cairn_buffer file = {0}, payload = {0};
    crn_test_pb_bytes(&file, 4, "12345", 5);
    crn_test_pb_number(&file, 5, 4);
    payload_with_file(&file, 16, &payload);
    expect_wire_rule(&payload, "(rule W3)");
    crn_buf_clear(&payload);
    payload_with_file(&file, 15, &payload);
    expect_wire_rule(&payload, "(rule W2)");

    crn_test_pb_number(&file, 5, (uint64_t)1 << 40); /* far more than there is */
    crn_buf_clear(&payload);
    payload_with_file(&file, 16, &payload);
    expect_wire_rule(&payload, "(rule W3)");

    crn_test_pb_number(&file, 5, 5);
    crn_test_pb_bytes(&file, 3, "shared/e1-c1-1.sst", 18);
    crn_buf_clear(&payload);
    payload_with_file(&file, 16, &payload);
    expect_wire_rule(&payload, "(rule W3)");

    crn_test_pb_bytes(&file, 6, "short", 5);
    crn_buf_clear(&payload);
    payload_with_file(&file, 16, &payload);
    expect_wire_rule(&payload, "(rule W2)");
}
END_TEST

START_TEST(an_identity_has_16_bytes)
{
    static const uint8_t zeros[17] = {0};
    static const size_t sizes[] = {1, 15, 17};
    for (size_t i = 0; i < CRN_COUNT(sizes); i++) {
        CRN_AUTO_BUFFER struct cairn_buffer file = {0}, payload = {0};
        crn_test_pb_number(&file, 5, 5);
        crn_test_pb_bytes(&file, 3, "chk-1/e1-c1-1", 13);
        crn_test_pb_bytes(&file, 21, zeros, sizes[i]);
        payload_with_file(&file, 16, &payload);
        expect_wire_rule(&payload, "(rule W2)");
    }
}
END_TEST

/* The frame that expect_wire_rule() puts around has no feature bits. */
START_TEST(slices_need_their_feature_bit)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_packed_checkpoint(), &payload);
    expect_wire_rule(&payload, "(rule W6)");
}
END_TEST

static bool is_tested(const char *rule)
{
    static const char *const wire[] = {"W1", "W2", "W3", "W4", "W5", "W6"};
    for (size_t i = 0; i < CRN_COUNT(wire); i++)
        if (strcmp(rule, wire[i]) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(break_rules); i++)
        if (strcmp(rule, break_rules[i]) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(break_savepoint_rules); i++)
        if (strcmp(rule, break_savepoint_rules[i]) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(break_pack_rules); i++)
        if (strcmp(rule, break_pack_rules[i]) == 0)
            return true;
    return false;
}

/* Rows of the document's tables of rules begin with "| F4 |". Those of messages are tested in
 * test_cluster_rules.c; P are no rules. */
START_TEST(rules_of_the_document_are_those_tested)
{
    FILE *file = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    ck_assert_ptr_nonnull(file);
    char line[1024], rule[8], documented[4096] = " ";
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "| %7[A-Z0-9] |", rule) != 1 || !isupper((unsigned char)rule[0]) ||
            !isdigit((unsigned char)rule[1]) || strchr("PALMN", rule[0]) != NULL)
            continue;
        ck_assert_msg(is_tested(rule), "rule %s has no test", rule);
        ck_assert_uint_lt(strlen(documented), sizeof(documented) - 16);
        strcat(strcat(documented, rule), " ");
    }
    (void)fclose(file);
    for (size_t i = 0; i < CRN_COUNT(break_rules); i++) {
        (void)snprintf(line, sizeof(line), " %s ", break_rules[i]);
        ck_assert_msg(strstr(documented, line) != NULL, "rule %s is not documented",
                      break_rules[i]);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("manifest_rules");
    TCase *c = tcase_create("rules");
    tcase_set_timeout(c, 30);
    tcase_add_test(c, what_keeps_all_rules_is_accepted);
    tcase_add_loop_test(c, each_rule_is_enforced_by_its_name, 0, (int)CRN_COUNT(break_rules));
    tcase_add_loop_test(c, each_rule_of_packs_is_enforced_by_its_name, 0,
                        (int)CRN_COUNT(break_pack_rules));
    tcase_add_loop_test(c, each_rule_of_savepoints_is_enforced_by_its_name, 0,
                        (int)CRN_COUNT(break_savepoint_rules));
    tcase_add_test(c, savepoints_share_nothing);
    tcase_add_test(c, places_of_savepoints_are_checked);
    tcase_add_test(c, fences_may_have_a_reason);
    tcase_add_test(c, odd_names_are_accepted);
    tcase_add_test(c, ranges_are_those_of_the_formula);
    tcase_add_test(c, wire_rules_are_enforced);
    tcase_add_test(c, wire_rules_for_savepoints_are_enforced);
    tcase_add_test(c, wire_rules_for_files_are_enforced);
    tcase_add_test(c, an_identity_has_16_bytes);
    tcase_add_test(c, slices_need_their_feature_bit);
    tcase_add_test(c, rules_of_the_document_are_those_tested);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
