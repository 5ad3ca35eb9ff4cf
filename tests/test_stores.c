/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that a store's URI means what cairn.h says and nothing else: what is not understood is
 * refused by name and creates nothing, and a path to a job inside a store is told from a store
 * (P11). And that inspect.h's functions take a handle that is NULL as cairn.h says.
 */

#include "base/file.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>

static char root[64];

static void setup(void)
{
    (void)strcpy(root, "/tmp/cairn-stores-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(chdir(root), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
}

static void check_empty(void)
{
    char **names;
    size_t count;
    ck_assert_int_eq(crn_file_list_dir(root, &names, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
    crn_file_free_names(names, count);
}

/* "@" stands for the root. Where the store must then be, below the root. */
static const struct {
    const char *uri, *directory;
} good[] = {
    {"plain", "plain"},
    {"@/absolute", "absolute"},
    {"@/slashes///", "slashes"},
    {"./a/b/c", "a/b/c"},
    {"@/copied?transfer=copy", "copied"},
    {"@/linked?transfer=link", "linked"},
    {"@/auto?transfer=auto&", "auto"},
    {"@/percent%20stays", "percent%20stays"},
    {"with:colon", "with:colon"},
    {"memory", "memory"},
    {"file://@/uri", "uri"},
    {"file://@/with%20space%3F", "with space?"},
    {"file://@/caf%c3%A9?transfer=copy", "caf\xc3\xa9"},
    {"file://@/100%25", "100%"},
};

/* Copies a URI with the root in place of a "@". */
static void spell(const char *uri, char out[256])
{
    const char *at = strchr(uri, '@');
    if (at == NULL)
        (void)snprintf(out, 256, "%s", uri);
    else
        (void)snprintf(out, 256, "%.*s%s%s", (int)(at - uri), uri, root, at + 1);
}

START_TEST(a_good_uri_opens_its_directory)
{
    char uri[256], directory[256];
    cairn_store *store;
    char *job = NULL;
    cairn_error *error = NULL;
    spell(good[_i].uri, uri);
    (void)snprintf(directory, sizeof directory, "%s/%s", root, good[_i].directory);
    ck_assert_int_eq(cairn_store_open_existing(uri, &store, &job, NULL, NULL), CAIRN_ENOTFOUND);
    check_empty();
    int r = cairn_store_open(uri, &store, &error);
    ck_assert_msg(r == 0, "'%s': %s", uri, cairn_error_message(error));
    ck_assert_msg(crn_file_is_dir(directory), "'%s' is not '%s'", uri, directory);
    cairn_store_close(store);
    ck_assert_int_eq(cairn_store_open_existing(uri, &store, &job, NULL, NULL), 0);
    ck_assert_ptr_null(job);
    cairn_store_close(store);
}
END_TEST

static const char *const bad[] = {
    "",
    "?transfer=copy",
    "s3://bucket/prefix",
    "http://host/path",
    "file:relative",
    "file://host/path",
    "file://",
    "file:/path",
    "file:///tmp/x%2",
    "file:///tmp/x%zz",
    "file:///tmp/x%00y",
    "path?transfer=fast",
    "path?colour=red",
    "path?transfer=copy&x",
    "memory:x",
    "memory://",
};

START_TEST(a_bad_uri_is_refused_by_name)
{
    cairn_store *store = NULL;
    cairn_error *error = NULL;
    char *job = NULL;
    ck_assert_int_eq(cairn_store_open(bad[_i], &store, &error), CAIRN_EINVAL);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), bad[_i]));
    cairn_error_free(error);
    ck_assert_int_eq(cairn_store_open_existing(bad[_i], &store, &job, NULL, NULL), CAIRN_EINVAL);
    ck_assert_ptr_null(store);
    check_empty();
}
END_TEST

START_TEST(a_memory_store_is_new_each_time)
{
    cairn_store *store = NULL;
    char *job = NULL;
    ck_assert_int_eq(cairn_store_open("memory:", &store, NULL), 0);
    cairn_store_close(store);
    ck_assert_int_eq(cairn_store_open_existing("memory:", &store, &job, NULL, NULL), CAIRN_EINVAL);
    cairn_store_close(NULL);
}
END_TEST

START_TEST(a_file_is_no_store)
{
    cairn_store *store = NULL;
    char *job = NULL;
    ck_assert_int_eq(crn_file_write_new("file", "x", 1, false, NULL), 0);
    ck_assert_int_eq(cairn_store_open("file", &store, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_store_open_existing("file", &store, &job, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_store_open_existing("file/below", &store, &job, NULL, NULL),
                     CAIRN_ENOTFOUND);
}
END_TEST

START_TEST(a_job_is_told_from_its_store)
{
    static const char *const paths[] = {"store/orders", "store/orders/", "store/./orders/../orders",
                                        "link", "file://@/store/orders"};
    cairn_store *store = NULL;
    struct crn_test_job written;
    ck_assert_int_eq(cairn_store_open("store", &store, NULL), 0);
    crn_test_job_write(&written, store, "orders");
    crn_test_job_done(&written);
    cairn_store_close(store);
    ck_assert_int_eq(symlink("store/orders", "link"), 0);
    for (size_t i = 0; i < CRN_COUNT(paths); i++) {
        char uri[256];
        char *job = NULL;
        cairn_log *log;
        spell(paths[i], uri);
        ck_assert_int_eq(cairn_store_open_existing(uri, &store, &job, NULL, NULL), 0);
        ck_assert_pstr_eq(job, "orders");
        ck_assert_int_eq(cairn_log_open(store, job, &log, NULL), 0);
        ck_assert_uint_eq(cairn_log_size(log), 4);
        cairn_log_close(log);
        cairn_store_close(store);
        free(job);
    }
    char *job = NULL;
    ck_assert_int_eq(cairn_store_open_existing("store", &store, &job, NULL, NULL), 0);
    ck_assert_ptr_null(job);
    cairn_store_close(store);
    ck_assert_int_eq(cairn_store_open_existing("store/payments", &store, &job, NULL, NULL),
                     CAIRN_ENOTFOUND);
    ck_assert_int_eq(rename("store/orders", "store/.orders"), 0);
    ck_assert_int_eq(cairn_store_open_existing("store/.orders", &store, &job, NULL, NULL),
                     CAIRN_EINVAL);
}
END_TEST

START_TEST(a_null_handle_is_refused)
{
    cairn_log *log;
    cairn_snapshot *snapshot;
    cairn_cat *cat;
    cairn_cat_entry entry;
    cairn_diff *diff;
    cairn_explanation *explanation;
    cairn_usage usage = CAIRN_USAGE_INIT;
    char **names;
    size_t count;
    ck_assert_int_eq(cairn_store_jobs(NULL, &names, &count, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_log_open(NULL, "orders", &log, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_snapshot_open(NULL, "orders", 0, &snapshot, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_cat_open(NULL, NULL, &cat, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_cat_next(NULL, &entry, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_diff_open(NULL, NULL, &diff, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_job_usage(NULL, "orders", &usage, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_explain(NULL, "orders", "MANIFEST-chk1", &explanation, NULL),
                     CAIRN_EINVAL);
    ck_assert_int_eq(cairn_verify(NULL, "orders", NULL, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_gc(NULL, "orders", NULL, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_restore_to(NULL, "orders", "out", NULL, NULL, NULL), CAIRN_EINVAL);
    check_empty();
}
END_TEST

START_TEST(a_null_handle_has_nothing)
{
    ck_assert_uint_eq(cairn_log_size(NULL), 0);
    ck_assert_ptr_null(cairn_log_at(NULL, 0));
    ck_assert_ptr_null(cairn_snapshot_record(NULL));
    ck_assert_uint_eq(cairn_snapshot_operators(NULL), 0);
    ck_assert_ptr_null(cairn_snapshot_operator(NULL, 0));
    ck_assert_ptr_null(cairn_snapshot_state(NULL, 0, 0));
    ck_assert_ptr_null(cairn_snapshot_subtask(NULL, 0, 0));
    ck_assert_ptr_null(cairn_snapshot_file(NULL, 0, 0, 0));
    ck_assert_uint_eq(cairn_diff_size(NULL), 0);
    ck_assert_ptr_null(cairn_diff_at(NULL, 0));
    ck_assert_ptr_null(cairn_explanation_get(NULL));
    ck_assert_uint_eq(cairn_explanation_reference(NULL, 0), 0);
    cairn_log_close(NULL);
    cairn_snapshot_close(NULL);
    cairn_cat_close(NULL);
    cairn_diff_close(NULL);
    cairn_explanation_close(NULL);
    cairn_names_free(NULL, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stores");
    TCase *tcase = tcase_create("uri");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_good_uri_opens_its_directory, 0, (int)CRN_COUNT(good));
    tcase_add_loop_test(tcase, a_bad_uri_is_refused_by_name, 0, (int)CRN_COUNT(bad));
    tcase_add_test(tcase, a_memory_store_is_new_each_time);
    tcase_add_test(tcase, a_file_is_no_store);
    tcase_add_test(tcase, a_job_is_told_from_its_store);
    tcase_add_test(tcase, a_null_handle_is_refused);
    tcase_add_test(tcase, a_null_handle_has_nothing);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
