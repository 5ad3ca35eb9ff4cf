/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that comparing two snapshots by entry tells just the differences: against a second way to
 * find them, the two snapshots' entries as text, for pairs of every format and parallelism. A
 * snapshot differs from itself in nothing; what is only in one comes with its sign, and what is in
 * both with other values once. Times of expiry do not count, and neither does operator state.
 */

#include "base/buffer.h"
#include "base/file.h"
#include "cairn/store.h"
#include "tests/support/entries.h"
#include "tests/support/tap.h"
#include "tests/support/written.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OK CRN_TEST_OK
#define KEYS 300

static char root[64], scratch[96];
static cairn_store *store;

static void setup(void)
{
    char path[96];
    (void)strcpy(root, "/tmp/cairn-entry-diff-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", root);
    OK(crn_file_make_dirs(scratch, reterr));
    (void)snprintf(path, sizeof path, "%s/store", root);
    OK(cairn_store_open(path, &store, reterr));
}

static void teardown(void)
{
    char **names;
    size_t count;
    OK(crn_file_list_dir(scratch, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_eq(count, 0);
    cairn_store_close(store);
    OK(crn_file_remove_tree(root, reterr));
}

static cairn_snapshot *write_and_open(const char *name, const struct crn_test_shape *shape)
{
    cairn_snapshot *snapshot;
    crn_test_write(store, name, scratch, shape);
    OK(cairn_snapshot_open(store, name, 0, &snapshot, reterr));
    return snapshot;
}

/* ------------------------------------------------------------------------------------------ *
 * What differs, as text: a sign and the line of an entry up to its value
 * ------------------------------------------------------------------------------------------ */

static void add_line(struct cairn_buffer *out, char sign, const char *line)
{
    const char *value = strstr(line, " = ");
    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(crn_buf_printf(out, "%c%.*s\n", sign, (int)(value - line), line), 0);
}

static char *next_keyed(char **rest)
{
    char *line = strtok_r(*rest == NULL ? NULL : *rest, "\n", rest);
    while (line != NULL && strstr(line, " operator list ") != NULL)
        line = strtok_r(NULL, "\n", rest);
    if (line != NULL && strstr(line, " @") != NULL)
        *strstr(line, " @") = '\0'; /* the time */
    return line;
}

static int compare_identity(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return (a == NULL) - (b == NULL);
    size_t x = (size_t)(strstr(a, " = ") - a), y = (size_t)(strstr(b, " = ") - b);
    int order = strncmp(a, b, x < y ? x : y);
    return order != 0 ? order : (x > y) - (x < y);
}

static int compare_by_identity(const void *a, const void *b)
{
    return compare_identity(*(char *const *)a, *(char *const *)b);
}

static size_t split(char *text, char ***ret)
{
    size_t count = 0;
    char *rest = text;
    *ret = calloc(strlen(text) + 1, sizeof **ret);
    ck_assert_ptr_nonnull(*ret);
    for (char *line; (line = next_keyed(&rest)) != NULL;)
        (*ret)[count++] = line;
    qsort(*ret, count, sizeof **ret, compare_by_identity);
    return count;
}

static char *take_sorted(struct cairn_buffer *out)
{
    if (out->data == NULL)
        return strdup("");
    char *text = crn_buf_take_text(out);
    crn_test_sort_lines(text);
    return text;
}

static char *expected_diff(cairn_snapshot *first, cairn_snapshot *second)
{
    struct cairn_buffer out = {0};
    CRN_AUTO_FREE char *a = crn_test_entries(first, NULL);
    CRN_AUTO_FREE char *b = crn_test_entries(second, NULL);
    char **x, **y;
    size_t x_count = split(a, &x), y_count = split(b, &y);
    for (size_t i = 0, j = 0; i < x_count || j < y_count;) {
        int order = compare_identity(i < x_count ? x[i] : NULL, j < y_count ? y[j] : NULL);
        if (order != 0)
            add_line(&out, order < 0 ? '-' : '+', order < 0 ? x[i] : y[j]);
        else if (strcmp(x[i], y[j]) != 0)
            add_line(&out, '~', x[i]);
        i += order <= 0;
        j += order >= 0;
    }
    free(x);
    free(y);
    return take_sorted(&out);
}

static void add_entry(struct cairn_buffer *out, char sign, cairn_snapshot *snapshot,
                      const cairn_entry_diff *diff, const cairn_cat_entry *entry)
{
    char line[4096];
    const cairn_state_info *state = cairn_snapshot_state(snapshot, entry->op, entry->state);
    ck_assert_str_eq(diff->state, state->name);
    ck_assert_str_eq(diff->operator_uid, cairn_snapshot_operator(snapshot, entry->op)->uid);
    crn_test_entry_line(line, sizeof line, diff->operator_uid, state, &entry->entry, entry->element,
                        0, "");
    add_line(out, sign, line);
}

static char *found_diff(cairn_snapshot *first, cairn_snapshot *second,
                        cairn_entry_diff_options *options)
{
    struct cairn_buffer out = {0};
    cairn_entry_differ *differ;
    cairn_entry_diff diff;
    int r;
    options->scratch_dir = scratch;
    OK(cairn_entry_diff_open(first, second, options, &differ, reterr));
    while ((r = cairn_entry_diff_next(differ, &diff, NULL)) == 1) {
        ck_assert((diff.first == NULL) == (diff.change > 0));
        ck_assert((diff.second == NULL) == (diff.change < 0));
        bool is_in_first = diff.first != NULL;
        add_entry(&out,
                  diff.change < 0   ? '-'
                  : diff.change > 0 ? '+'
                                    : '~',
                  is_in_first ? first : second, &diff, is_in_first ? diff.first : diff.second);
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(cairn_entry_diff_next(differ, &diff, NULL), 0);
    cairn_entry_diff_close(differ);
    return take_sorted(&out);
}

static size_t check_diff(cairn_snapshot *first, cairn_snapshot *second)
{
    cairn_entry_diff_options options = CAIRN_ENTRY_DIFF_OPTIONS_INIT;
    CRN_AUTO_FREE char *expected = expected_diff(first, second);
    CRN_AUTO_FREE char *found = found_diff(first, second, &options);
    ck_assert_msg(strcmp(expected, found) == 0, "expected\n%.500s\nfound\n%.500s", expected, found);
    return strlen(found);
}

START_TEST(differences_are_told_whatever_the_form)
{
    static const struct crn_test_shape forms[] = {
        {.format = CAIRN_CANONICAL, .parallelism = 1, .end = KEYS},
        {.format = CAIRN_NATIVE, .parallelism = 3, .end = KEYS},
        {.format = CAIRN_CANONICAL, .parallelism = 17, .end = KEYS},
        {.format = CAIRN_NATIVE, .parallelism = 1, .end = KEYS},
    };
    cairn_snapshot *same[CRN_COUNT(forms)], *changed[CRN_COUNT(forms)];
    for (size_t i = 0; i < CRN_COUNT(forms); i++) {
        char name[32];
        struct crn_test_shape other = forms[i];
        (void)snprintf(name, sizeof name, "same-%zu", i);
        same[i] = write_and_open(name, &forms[i]);
        other.first = 10;
        other.end = KEYS + 10;
        other.shift = 1000;
        (void)snprintf(name, sizeof name, "changed-%zu", i);
        changed[i] = write_and_open(name, &other);
    }
    for (size_t i = 0; i < CRN_COUNT(forms); i++) {
        for (size_t j = 0; j < CRN_COUNT(forms); j++) {
            ck_assert_uint_eq(check_diff(same[i], same[j]), 0);
            ck_assert_uint_gt(check_diff(same[i], changed[j]), 1000);
            ck_assert_uint_gt(check_diff(changed[i], same[j]), 1000);
        }
    }
    for (size_t i = 0; i < CRN_COUNT(forms); i++) {
        cairn_snapshot_close(same[i]);
        cairn_snapshot_close(changed[i]);
    }
}
END_TEST

START_TEST(what_only_one_has_has_its_sign)
{
    cairn_entry_diff_options options = CAIRN_ENTRY_DIFF_OPTIONS_INIT;
    struct crn_test_shape both = {.end = KEYS}, only = {.end = KEYS, .only_op = "b"};
    struct crn_test_shape nothing = {.only_op = "b"};
    cairn_snapshot *first = write_and_open("both", &both);
    cairn_snapshot *second = write_and_open("only", &only);
    cairn_snapshot *third = write_and_open("nothing", &nothing);
    ck_assert_uint_gt(check_diff(first, second), 0);
    ck_assert_uint_gt(check_diff(second, first), 0);
    ck_assert_uint_gt(check_diff(third, first), 0);
    CRN_AUTO_FREE char *gone = found_diff(first, second, &options);
    ck_assert(strstr(gone, "b/") == NULL && strchr(gone, '+') == NULL && *gone == '-');
    options.operator_uid = "a"; /* in one of them is enough */
    options.state = "value";
    CRN_AUTO_FREE char *part = found_diff(second, first, &options);
    ck_assert(strncmp(part, "+a/value", 8) == 0 && strstr(part, "list") == NULL);
    cairn_snapshot_close(first);
    cairn_snapshot_close(second);
    cairn_snapshot_close(third);
}
END_TEST

/* The same names, but other kinds: nothing is compared with what it is not. */
START_TEST(another_kind_is_another_state)
{
    cairn_state_info list = {.name = "value", .kind = CAIRN_KIND_LIST, .value_type = CAIRN_INT64};
    cairn_entry entry = {
        .key = "\x80\0\0\0\0\0\0\1", .key_size = 8, .value = "12345678", .value_size = 8};
    struct crn_test_shape shape = {.end = KEYS, .only_op = "a"};
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    cairn_writer *writer;
    cairn_snapshot *second, *first = write_and_open("first", &shape);
    OK(cairn_writer_open(first, NULL, &writer, reterr));
    OK(cairn_writer_remove_state(writer, "a", "value", reterr));
    OK(cairn_writer_add_state(writer, "a", &list, NULL, reterr));
    OK(cairn_writer_put(writer, "a", "value", &entry, -1, reterr));
    commit.name = "second";
    OK(cairn_writer_commit(writer, store, &commit, NULL, reterr));
    cairn_writer_close(writer);
    OK(cairn_snapshot_open(store, "second", 0, &second, reterr));
    ck_assert_uint_gt(check_diff(first, second), 0);
    cairn_snapshot_close(first);
    cairn_snapshot_close(second);
}
END_TEST

START_TEST(what_cannot_be_compared_is_refused)
{
    struct crn_test_shape shape = {.end = 10, .parallelism = 2};
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    cairn_entry_diff_options options = CAIRN_ENTRY_DIFF_OPTIONS_INIT;
    cairn_entry_differ *differ;
    cairn_entry_diff diff;
    cairn_writer *writer;
    cairn_snapshot *second, *first = write_and_open("first", &shape);
    OK(cairn_writer_open(first, NULL, &writer, reterr));
    OK(cairn_writer_set_max_parallelism(writer, "b", 64, reterr));
    commit.name = "second";
    OK(cairn_writer_commit(writer, store, &commit, NULL, reterr));
    cairn_writer_close(writer);
    OK(cairn_snapshot_open(store, "second", 0, &second, reterr));
    ck_assert_int_eq(cairn_entry_diff_open(first, second, NULL, &differ, NULL), CAIRN_EMISMATCH);
    options.operator_uid = "a"; /* has no part in it */
    CRN_AUTO_FREE char *text = found_diff(first, second, &options);
    ck_assert_str_eq(text, "");
    options.operator_uid = "c";
    ck_assert_int_eq(cairn_entry_diff_open(first, second, &options, &differ, NULL),
                     CAIRN_ENOTFOUND);
    options.operator_uid = NULL;
    options.state = "positions"; /* operator state */
    ck_assert_int_eq(cairn_entry_diff_open(first, second, &options, &differ, NULL),
                     CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_entry_diff_open(NULL, second, NULL, &differ, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_entry_diff_open(first, NULL, NULL, &differ, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_entry_diff_open(first, second, NULL, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_entry_diff_next(NULL, &diff, NULL), CAIRN_EINVAL);
    cairn_entry_diff_close(NULL);
    cairn_snapshot_close(first);
    cairn_snapshot_close(second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("entry_diff");
    TCase *tcase = tcase_create("entry_diff");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, differences_are_told_whatever_the_form);
    tcase_add_test(tcase, what_only_one_has_has_its_sign);
    tcase_add_test(tcase, another_kind_is_another_state);
    tcase_add_test(tcase, what_cannot_be_compared_is_refused);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
