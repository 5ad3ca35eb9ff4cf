/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which stored subtasks a restore reads: for every max_parallelism up to 12 and every stored and
 * wanted parallelism, what is planned covers each wanted key group exactly once, from the subtask
 * that has it, and takes files as they are just when the ranges are the same. And what is refused:
 * native files of another backend, but only if they are needed.
 */
#include "engine/restore/plan.h"

#include "backends/state/keys.h"
#include "tests/support/tap.h"

#include <string.h>

#define MAX_GROUPS 12u

/* An operator with p subtasks, each with one file of keyed state, or of operator state only. */
static struct crn_record *make_operator(uint32_t parallelism, uint32_t groups, const char *backend,
                                        cairn_file_role role)
{
    struct crn_record *record = crn_record_new();
    struct crn_operator *op = crn_record_add_operator(record);
    ck_assert_int_eq(crn_record_set_text(&op->info.uid, "op"), 0);
    op->info.parallelism = parallelism;
    op->info.max_parallelism = groups;
    for (uint32_t i = 0; i < parallelism; i++) {
        struct crn_subtask *subtask = crn_operator_add_subtask(op);
        subtask->info.index = i;
        crn_key_group_range(i, parallelism, groups, &subtask->info.key_group_first,
                            &subtask->info.key_group_last);
        ck_assert_int_eq(crn_record_set_text(&subtask->info.backend, backend), 0);
        crn_subtask_add_file(subtask)->info.role = role;
    }
    return record;
}

static void check_cover(const struct crn_restore_plan *plan, uint32_t first, uint32_t last)
{
    unsigned covered[MAX_GROUPS] = {0};
    for (size_t i = 0; i < plan->count; i++) {
        const struct crn_restore_part *part = &plan->parts[i];
        ck_assert_uint_ge(part->key_group_first, part->subtask->info.key_group_first);
        ck_assert_uint_le(part->key_group_last, part->subtask->info.key_group_last);
        ck_assert_uint_le(part->key_group_first, part->key_group_last);
        for (uint32_t g = part->key_group_first; g <= part->key_group_last; g++)
            covered[g]++;
    }
    for (uint32_t g = 0; g < MAX_GROUPS; g++)
        ck_assert_uint_eq(covered[g], g >= first && g <= last ? 1 : 0);
}

static void check_all_subtasks(const struct crn_operator *op, uint32_t wanted, bool is_canonical)
{
    uint32_t stored = op->info.parallelism, groups = op->info.max_parallelism;
    for (uint32_t i = 0; i < wanted; i++) {
        struct crn_restore_plan plan;
        uint32_t first, last, same_first, same_last;
        crn_key_group_range(i, wanted, groups, &first, &last);
        ck_assert_int_eq(crn_restore_plan_make(op, "rocksdb", first, last, &plan, NULL), 0);
        check_cover(&plan, first, last);
        bool is_same = false;
        for (uint32_t s = 0; s < stored; s++) {
            crn_key_group_range(s, stored, groups, &same_first, &same_last);
            is_same |= same_first == first && same_last == last;
        }
        ck_assert_int_eq(plan.is_same, is_same && !is_canonical);
        for (size_t k = 0; k < plan.count; k++)
            ck_assert_int_eq(plan.parts[k].is_canonical, is_canonical);
        crn_restore_plan_done(&plan);
    }
}

START_TEST(test_every_key_group_comes_from_one_place)
{
    const char *backend = _i == 0 ? "rocksdb" : "canonical";
    cairn_file_role role = _i == 0 ? CAIRN_FILE_TABLE : CAIRN_FILE_CANONICAL;
    for (uint32_t groups = 1; groups <= MAX_GROUPS; groups++)
        for (uint32_t stored = 1; stored <= groups; stored++) {
            struct crn_record *record = make_operator(stored, groups, backend, role);
            for (uint32_t wanted = 1; wanted <= groups; wanted++)
                check_all_subtasks(&record->operators[0], wanted, _i == 1);
            crn_record_free(record);
        }
}
END_TEST

START_TEST(test_what_has_no_keyed_state_is_left_out)
{
    struct crn_record *record = make_operator(3, 12, "other", CAIRN_FILE_OPERATOR_STATE);
    struct crn_restore_plan plan;
    ck_assert_int_eq(crn_restore_plan_make(&record->operators[0], "rocksdb", 0, 11, &plan, NULL),
                     0);
    ck_assert_uint_eq(plan.count, 0);
    ck_assert(!plan.is_same);
    crn_restore_plan_done(&plan);
    crn_record_free(record);
}
END_TEST

START_TEST(test_native_files_of_another_backend_are_refused_if_needed)
{
    struct crn_record *record = make_operator(2, 12, "rocksdb", CAIRN_FILE_TABLE);
    struct crn_operator *op = &record->operators[0];
    struct crn_restore_plan plan;
    cairn_error *error = NULL;
    ck_assert_int_eq(crn_record_set_text(&op->subtasks[1].info.backend, "other"), 0);
    ck_assert_int_eq(crn_restore_plan_make(op, "rocksdb", 0, 5, &plan, NULL), 0);
    ck_assert(plan.is_same);
    crn_restore_plan_done(&plan);
    ck_assert_int_eq(crn_restore_plan_make(op, "rocksdb", 5, 6, &plan, &error), CAIRN_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "'other'"));
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "canonical savepoint"));
    cairn_error_free(error);
    crn_record_free(record);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restore plan");
    TCase *tcase = tcase_create("plan");
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, test_every_key_group_comes_from_one_place, 0, 2);
    tcase_add_test(tcase, test_what_has_no_keyed_state_is_left_out);
    tcase_add_test(tcase, test_native_files_of_another_backend_are_refused_if_needed);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
