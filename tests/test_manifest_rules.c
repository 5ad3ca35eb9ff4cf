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
    X(R11, r->info.kind = CAIRN_RECORD_SAVEPOINT)                                                  \
    X(R12, r->info.base_id = 17)                                                                   \
    X(R12, r->info.is_full = 1)                                                                    \
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
    X(S2, op->states[0].value_type = (cairn_type)4)                                                \
    X(S2, op->states[1].map_key_type = (cairn_type)4)                                              \
    X(S3, op->states[0].map_key_type = CAIRN_STRING)                                               \
    X(S3, op->states[2].ttl_ms = 1)                                                                \
    X(T1, sub->info.key_group_first = 1)                                                           \
    X(T1, sub->info.key_group_last = 64)                                                           \
    X(T1, op->info.max_parallelism = 4096)                                                         \
    X(T2, set(&sub->info.backend, ""))                                                             \
    X(T2, set(&sub->info.backend, "RocksDB"))                                                      \
    X(T2, set_long(&sub->info.backend, 33))                                                        \
    X(T3, set(&object->info.name, "CURRENT"))                                                      \
    X(T4, table->info.number = old->info.number)                                                   \
    X(T5, inlined->info.role = CAIRN_FILE_OPERATOR_STATE)                                          \
    X(F1, object->info.role = (cairn_file_role)0)                                                  \
    X(F1, object->info.role = (cairn_file_role)4)                                                  \
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
    X(F12, set_smallest(table, "\x80"))

static const char *const break_rules[] = {
#define X(rule, ...) #rule,
    BREAKS(X)
#undef X
};

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

START_TEST(what_keeps_all_rules_is_accepted)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_checkpoint();
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_msg(crn_record_validate(record, &error) == 0, "%s", cairn_error_message(error));
}
END_TEST

START_TEST(each_rule_is_enforced_by_its_name)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_test_checkpoint();
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char rule[16];
    (void)snprintf(rule, sizeof(rule), "(rule %s)", break_rules[_i]);
    break_record(record, _i);
    ck_assert_msg(crn_record_validate(record, &error) == CAIRN_ECORRUPT, "case %d, %s", _i, rule);
    ck_assert_msg(strstr(cairn_error_message(error), rule) != NULL, "case %d, %s: %s", _i, rule,
                  cairn_error_message(error));
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_assert_int_eq(crn_record_encode(record, &bytes, NULL), CAIRN_ECORRUPT);
    ck_assert_uint_eq(bytes.size, 0);
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

static bool is_tested(const char *rule)
{
    static const char *const wire[] = {"W1", "W2", "W3"};
    for (size_t i = 0; i < CRN_COUNT(wire); i++)
        if (strcmp(rule, wire[i]) == 0)
            return true;
    for (size_t i = 0; i < CRN_COUNT(break_rules); i++)
        if (strcmp(rule, break_rules[i]) == 0)
            return true;
    return false;
}

/* Rows of the document's tables of rules begin with "| F4 |". */
START_TEST(rules_of_the_document_are_those_tested)
{
    FILE *file = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    ck_assert_ptr_nonnull(file);
    char line[1024], rule[8], documented[4096] = " ";
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "| %7[A-Z0-9] |", rule) != 1 || !isupper((unsigned char)rule[0]) ||
            !isdigit((unsigned char)rule[1]) || rule[0] == 'P')
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
    tcase_add_test(c, odd_names_are_accepted);
    tcase_add_test(c, ranges_are_those_of_the_formula);
    tcase_add_test(c, wire_rules_are_enforced);
    tcase_add_test(c, wire_rules_for_files_are_enforced);
    tcase_add_test(c, rules_of_the_document_are_those_tested);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
