/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that a commit is all or nothing (P1): whichever call of the target or of the base's store
 * fails, and at whichever moment the caller cancels, either the savepoint is there and whole, or
 * there is none and, once the store lets it, no object of it. And that calls which cannot be meant
 * are refused, change nothing, and never take the writer down (P11).
 */

#include "backends/storage/fault.h"
#include "backends/storage/storage.h"
#include "base/file.h"
#include "cairn/writer.h"
#include "tests/support/entries.h"
#include "tests/support/tap.h"
#include "tests/support/written.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OK CRN_TEST_OK

static char root[64], scratch[96];
static cairn_store *source, *target;

/* In memory: nobody waits for a disk at each of many tries. */
static cairn_store *open_faulty(void)
{
    cairn_store *memory, *store;
    OK(crn_memory_store_open(&memory, reterr));
    OK(crn_fault_store_open(memory, &store, reterr));
    return store;
}

static void setup(void)
{
    (void)strcpy(root, "/tmp/cairn-writer-fault-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", root);
    OK(crn_file_make_dirs(scratch, reterr));
    source = open_faulty();
    target = open_faulty();
}

static void teardown(void)
{
    char **names;
    size_t count;
    OK(crn_file_list_dir(scratch, &names, &count, reterr));
    crn_file_free_names(names, count);
    ck_assert_uint_eq(count, 0);
    cairn_store_close(source);
    cairn_store_close(target);
    OK(crn_file_remove_tree(root, reterr));
}

static int count_key(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)key;
    (void)stat;
    ++*(size_t *)context;
    return 0;
}

static size_t count_objects(void)
{
    size_t count = 0;
    OK(target->ops->list(target, "", count_key, &count, reterr));
    return count;
}

static void arm(cairn_store *store, unsigned ops, enum crn_fault_mode mode, uint64_t at, int code)
{
    struct crn_fault_plan plan = {.ops = ops, .mode = mode, .at = at, .code = code};
    crn_fault_store_arm(store, &plan);
}

static cairn_snapshot *open_base(void)
{
    cairn_snapshot *snapshot;
    OK(cairn_snapshot_open(source, "base", 0, &snapshot, reterr));
    return snapshot;
}

/* Takes the base over, changes operator "a" and leaves "b" as it is, and commits. */
static int edit_and_commit(cairn_snapshot *base, cairn_savepoint_format format,
                           cairn_progress_fn progress, void *context)
{
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    cairn_entry entry = {
        .key = "\x80\0\0\0\0\0\0\1", .key_size = 8, .value = "12345678", .value_size = 8};
    cairn_writer *writer;
    options.scratch_dir = scratch;
    options.progress = progress;
    options.progress_context = context;
    commit.format = format;
    commit.name = "made";
    int r = cairn_writer_open(base, &options, &writer, NULL);
    if (r < 0)
        return r;
    r = cairn_writer_put(writer, "a", "value", &entry, -1, NULL);
    if (r == 0)
        r = cairn_writer_commit(writer, target, &commit, NULL, NULL);
    cairn_writer_close(writer);
    return r;
}

/* What a failed commit leaves is nothing; else it is whole. */
static void check_target(int r, const char *wanted)
{
    if (r < 0) {
        ck_assert_uint_eq(count_objects(), 0);
        return;
    }
    CRN_AUTO_FREE char *found = crn_test_stored_entries(target, "made");
    ck_assert_str_eq(found, wanted);
}

static int remove_key(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)context;
    (void)stat;
    OK(target->ops->remove(target, &key, 1, reterr));
    return 0;
}

static void clear_target(void)
{
    OK(target->ops->list(target, "", remove_key, NULL, reterr));
}

static char *write_base(cairn_savepoint_format format)
{
    struct crn_test_shape shape = {
        .format = format, .parallelism = format == CAIRN_CANONICAL ? 2 : 1, .end = 3000};
    crn_test_write(source, "base", scratch, &shape);
    cairn_snapshot *base = open_base();
    ck_assert_int_eq(edit_and_commit(base, format, NULL, NULL), 0);
    cairn_snapshot_close(base);
    char *wanted = crn_test_stored_entries(target, "made");
    clear_target();
    return wanted;
}

struct fault_case {
    bool at_source;
    unsigned ops;
    enum crn_fault_mode mode;
    int code;
};

static const struct fault_case cases[] = {
    {false, CRN_FAULT_ANY & ~CRN_FAULT_REMOVE, CRN_FAULT_BEFORE, CAIRN_ENOSPC},
    {false, CRN_FAULT_PUT | CRN_FAULT_COPY | CRN_FAULT_CREATE, CRN_FAULT_LOST_REPLY,
     CAIRN_EUNKNOWN},
    {false, CRN_FAULT_PUT, CRN_FAULT_SHORT, CAIRN_EIO},
    {true, CRN_FAULT_ANY, CRN_FAULT_BEFORE, CAIRN_EIO},
    {true, CRN_FAULT_GET, CRN_FAULT_FLIP, CAIRN_EIO},
};

START_TEST(a_commit_is_all_or_nothing)
{
    const struct fault_case *fault = &cases[_i / 2];
    cairn_savepoint_format format = (cairn_savepoint_format)(_i % 2);
    cairn_store *store = fault->at_source ? source : target;
    CRN_AUTO_FREE char *wanted = write_base(format);
    unsigned failures = 0;
    cairn_snapshot *base = open_base();
    for (uint64_t at = 1;; at++) {
        ck_assert_uint_lt(at, 200);
        arm(store, fault->ops, fault->mode, at, fault->code);
        int r = edit_and_commit(base, format, NULL, NULL);
        bool fired = crn_fault_store_fired(store);
        arm(store, 0, CRN_FAULT_NEVER, 0, 0);
        check_target(r, wanted);
        clear_target();
        failures += r < 0;
        if (!fired) {
            ck_assert_int_eq(r, 0);
            break;
        }
        /* A reply that is lost is asked for again; a link that is refused is a copy. */
        ck_assert(r < 0 || fault->mode == CRN_FAULT_LOST_REPLY || fault->at_source);
    }
    ck_assert(failures > 0 || fault->mode == CRN_FAULT_LOST_REPLY);
    cairn_snapshot_close(base);
}
END_TEST

/* Nobody can clean up behind a store that is gone: but no manifest is left. */
START_TEST(a_store_that_is_gone_has_no_savepoint)
{
    free(write_base(CAIRN_CANONICAL));
    cairn_snapshot *base = open_base(), *made;
    for (uint64_t at = 2; at < 12; at++) {
        struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY,
                                      .mode = CRN_FAULT_BEFORE,
                                      .at = at,
                                      .and_after = true,
                                      .code = CAIRN_EACCES};
        crn_fault_store_arm(target, &plan);
        int r = edit_and_commit(base, CAIRN_CANONICAL, NULL, NULL);
        bool fired = crn_fault_store_fired(target);
        arm(target, 0, CRN_FAULT_NEVER, 0, 0);
        ck_assert_int_eq(r, fired ? CAIRN_EACCES : 0);
        if (fired)
            ck_assert_int_lt(cairn_snapshot_open(target, "made", 0, &made, NULL), 0);
        clear_target();
    }
    cairn_snapshot_close(base);
}
END_TEST

struct patience {
    unsigned left;
    bool is_over;
};

static int lose_patience(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct patience *patience = context;
    ck_assert_uint_le(done_bytes, total_bytes);
    if (patience->left-- > 0)
        return 0;
    patience->is_over = true;
    return 1;
}

START_TEST(the_caller_can_cancel)
{
    CRN_AUTO_FREE char *wanted = write_base((cairn_savepoint_format)_i);
    cairn_snapshot *base = open_base();
    for (unsigned n = 0;; n++) {
        struct patience patience = {.left = n};
        int r = edit_and_commit(base, (cairn_savepoint_format)(1 - _i), lose_patience, &patience);
        ck_assert_int_eq(r, patience.is_over ? CAIRN_ECANCELED : 0);
        if (r == 0)
            break;
        ck_assert_uint_eq(count_objects(), 0);
    }
    CRN_AUTO_FREE char *found = crn_test_stored_entries(target, "made");
    ck_assert_str_eq(found, wanted);
    cairn_snapshot_close(base);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Calls that cannot be meant
 * ------------------------------------------------------------------------------------------ */

static cairn_writer *new_writer(void)
{
    cairn_writer *writer;
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    options.scratch_dir = scratch;
    OK(cairn_writer_open(NULL, &options, &writer, reterr));
    return writer;
}

#define REFUSED(code, call) ck_assert_int_eq((call), (code))

START_TEST(bad_options_are_refused)
{
    cairn_writer *writer = NULL;
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    REFUSED(CAIRN_EINVAL, cairn_writer_open(NULL, NULL, NULL, NULL));
    options.scratch_dir = scratch;
    options.job = "a/b";
    REFUSED(CAIRN_EINVAL, cairn_writer_open(NULL, &options, &writer, NULL));
    options.job = NULL;
    options.memory_bytes = 1;
    REFUSED(CAIRN_EINVAL, cairn_writer_open(NULL, &options, &writer, NULL));
    options.memory_bytes = 0;
    options.struct_size = 1;
    REFUSED(CAIRN_EINVAL, cairn_writer_open(NULL, &options, &writer, NULL));
    options.struct_size = sizeof options;
    options.scratch_dir = "/nowhere/at/all";
    ck_assert_int_lt(cairn_writer_open(NULL, &options, &writer, NULL), 0);
    ck_assert_ptr_null(writer);
    cairn_writer_close(NULL);

    writer = new_writer();
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    REFUSED(CAIRN_EINVAL, cairn_writer_commit(NULL, target, NULL, NULL, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_commit(writer, NULL, NULL, NULL, NULL));
    commit.format = (cairn_savepoint_format)7;
    REFUSED(CAIRN_EINVAL, cairn_writer_commit(writer, target, &commit, NULL, NULL));
    commit.format = CAIRN_NATIVE;
    commit.name = "../x";
    REFUSED(CAIRN_EINVAL, cairn_writer_commit(writer, target, &commit, NULL, NULL));
    ck_assert_uint_eq(count_objects(), 0);
    commit.name = "made";
    REFUSED(0, cairn_writer_commit(writer, target, &commit, NULL, NULL));
    REFUSED(CAIRN_ECLOSED, cairn_writer_commit(writer, target, &commit, NULL, NULL));
    REFUSED(CAIRN_ECLOSED, cairn_writer_add_operator(writer, "x", NULL, NULL));
    cairn_writer_close(writer);
    writer = new_writer();
    REFUSED(CAIRN_EEXIST, cairn_writer_commit(writer, target, &commit, NULL, NULL));
    cairn_writer_close(writer);
    ck_assert_uint_eq(count_objects(), 1);
}
END_TEST

START_TEST(bad_operators_are_refused)
{
    cairn_writer *writer = new_writer();
    cairn_writer_operator o = CAIRN_WRITER_OPERATOR_INIT;
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(NULL, "x", NULL, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, NULL, NULL, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, "", NULL, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, "a\n", NULL, NULL));
    o.parallelism = 32769;
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, "x", &o, NULL));
    o.parallelism = 5;
    o.max_parallelism = 4;
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, "x", &o, NULL));
    o.max_parallelism = 0;
    o.key_type = CAIRN_STRUCT;
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, "x", &o, NULL));
    o.key_type = CAIRN_BYTES;
    o.name = "\x80";
    REFUSED(CAIRN_EINVAL, cairn_writer_add_operator(writer, "x", &o, NULL));
    o.name = NULL;
    REFUSED(0, cairn_writer_add_operator(writer, "x", &o, NULL));
    REFUSED(CAIRN_EEXIST, cairn_writer_add_operator(writer, "x", &o, NULL));
    REFUSED(CAIRN_ENOTFOUND, cairn_writer_remove_operator(writer, "y", NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_remove_operator(writer, NULL, NULL));
    REFUSED(CAIRN_ENOTFOUND, cairn_writer_rename_operator(writer, "y", "z", NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_rename_operator(writer, "x", NULL, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_rename_operator(writer, "x", "", NULL));
    REFUSED(CAIRN_ENOTFOUND, cairn_writer_set_max_parallelism(writer, "y", 128, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_set_max_parallelism(writer, "x", 4, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_set_max_parallelism(writer, "x", 32769, NULL));
    cairn_writer_close(writer);
}
END_TEST

START_TEST(bad_states_are_refused)
{
    cairn_writer *writer = new_writer();
    cairn_state_info info = {.name = "s", .kind = CAIRN_KIND_VALUE};
    REFUSED(0, cairn_writer_add_operator(writer, "x", NULL, NULL));
    REFUSED(CAIRN_ENOTFOUND, cairn_writer_add_state(writer, "y", &info, NULL, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_add_state(writer, "x", NULL, NULL, NULL));
    static const cairn_state_info bad[] = {
        {.name = NULL, .kind = CAIRN_KIND_VALUE},
        {.name = "", .kind = CAIRN_KIND_VALUE},
        {.name = "s"},
        {.name = "s", .kind = (cairn_state_kind)9},
        {.name = "s", .kind = CAIRN_KIND_VALUE, .value_type = (cairn_type)7},
        {.name = "s", .kind = CAIRN_KIND_VALUE, .map_key_type = CAIRN_INT64},
        {.name = "s", .kind = CAIRN_KIND_MAP, .map_key_type = CAIRN_STRUCT},
        {.name = "s", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_STRUCT}, /* no serializer */
        {.name = "s", .kind = CAIRN_KIND_BROADCAST, .ttl_ms = 1},
        {.name = "s", .kind = CAIRN_KIND_OPERATOR_LIST, .value_type = CAIRN_STRUCT},
    };
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        ck_assert_msg(cairn_writer_add_state(writer, "x", &bad[i], NULL, NULL) == CAIRN_EINVAL,
                      "%zu", i);
    cairn_serializer *serializer;
    OK(cairn_custom_serializer("c", 1, NULL, 0, NULL, &serializer, reterr));
    info.value_type = CAIRN_STRUCT;
    REFUSED(CAIRN_EINVAL, cairn_writer_add_state(writer, "x", &info, serializer, NULL));
    info.value_type = CAIRN_INT64;
    REFUSED(CAIRN_EINVAL, cairn_writer_add_state(writer, "x", &info, serializer, NULL));
    cairn_serializer_release(serializer);
    REFUSED(0, cairn_writer_add_state(writer, "x", &info, NULL, NULL));
    info.kind = CAIRN_KIND_BROADCAST; /* the names are shared */
    REFUSED(CAIRN_EEXIST, cairn_writer_add_state(writer, "x", &info, NULL, NULL));
    REFUSED(CAIRN_ENOTFOUND, cairn_writer_remove_state(writer, "x", "t", NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_remove_state(writer, "x", NULL, NULL));
    cairn_writer_close(writer);
}
END_TEST

START_TEST(bad_entries_are_refused)
{
    static char big[65537];
    cairn_writer *writer = new_writer();
    cairn_writer_operator o = CAIRN_WRITER_OPERATOR_INIT;
    cairn_state_info value = {.name = "v", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64};
    cairn_state_info map = {.name = "m", .kind = CAIRN_KIND_MAP, .map_key_type = CAIRN_INT64};
    cairn_state_info list = {.name = "l", .kind = CAIRN_KIND_OPERATOR_LIST};
    cairn_state_info rules = {
        .name = "b", .kind = CAIRN_KIND_BROADCAST, .map_key_type = CAIRN_INT64};
    o.namespace_type = CAIRN_INT64;
    REFUSED(0, cairn_writer_add_operator(writer, "x", &o, NULL));
    REFUSED(0, cairn_writer_add_state(writer, "x", &value, NULL, NULL));
    REFUSED(0, cairn_writer_add_state(writer, "x", &map, NULL, NULL));
    REFUSED(0, cairn_writer_add_state(writer, "x", &list, NULL, NULL));
    REFUSED(0, cairn_writer_add_state(writer, "x", &rules, NULL, NULL));
    static const struct {
        const char *state;
        cairn_entry entry;
        int code;
    } bad[] = {
        {"none", {0}, CAIRN_ENOTFOUND},
        {NULL, {0}, CAIRN_EINVAL},
        {"v", {.key = "k", .key_size = 1, .value = "short", .value_size = 5}, CAIRN_EINVAL},
        {"v", {.key = NULL, .key_size = 1, .value = "12345678", .value_size = 8}, CAIRN_EINVAL},
        {"v", {.key = "k", .key_size = 1, .value = NULL, .value_size = 8}, CAIRN_EINVAL},
        {"v", {.key = big, .key_size = 65537, .value = "12345678", .value_size = 8}, CAIRN_EINVAL},
        {"v",
         {.key = "k", .key_size = 1, .ns = "n", .ns_size = 1, .value = "12345678", .value_size = 8},
         CAIRN_EINVAL},
        {"v",
         {.key = "k",
          .key_size = 1,
          .map_key = "n",
          .map_key_size = 1,
          .value = "12345678",
          .value_size = 8},
         CAIRN_EINVAL},
        {"m", {.key = "k", .key_size = 1, .map_key = "n", .map_key_size = 1}, CAIRN_EINVAL},
        {"m",
         {.key = "k",
          .key_size = 1,
          .map_key = "12345678",
          .map_key_size = 8,
          .value = big,
          .value_size = (size_t)1 << 40},
         CAIRN_EINVAL},
        {"l", {.key = "k", .key_size = 1}, CAIRN_EINVAL},
        {"l", {.ns = "k", .ns_size = 1}, CAIRN_EINVAL},
        {"b", {.key = "k", .key_size = 1}, CAIRN_EINVAL},
    };
    for (size_t i = 0; i < CRN_COUNT(bad); i++) {
        int r = cairn_writer_put(writer, "x", bad[i].state, &bad[i].entry, -1, NULL);
        ck_assert_msg(r == bad[i].code, "%zu: %d", i, r);
    }
    cairn_entry good = {.key = "k", .key_size = 1, .value = "12345678", .value_size = 8};
    REFUSED(CAIRN_EINVAL, cairn_writer_put(writer, "x", "v", NULL, -1, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_put(writer, "x", "v", &good, -2, NULL));
    REFUSED(CAIRN_ENOTFOUND, cairn_writer_put(writer, "y", "v", &good, -1, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_put(NULL, "x", "v", &good, -1, NULL));
    REFUSED(CAIRN_EINVAL, cairn_writer_remove(writer, "x", "v", NULL, NULL));
    REFUSED(0, cairn_writer_put(writer, "x", "v", &good, -1, NULL));
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    commit.name = "made";
    REFUSED(0, cairn_writer_commit(writer, target, &commit, NULL, NULL));
    cairn_writer_close(writer);
    CRN_AUTO_FREE char *text = crn_test_stored_entries(target, "made");
    ck_assert_str_eq(text, "x/v value k|| [0] = 12345678 @0 ()\n"); /* and nothing else */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer_fault");
    TCase *tcase = tcase_create("writer_fault");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_commit_is_all_or_nothing, 0, 2 * (int)CRN_COUNT(cases));
    tcase_add_test(tcase, a_store_that_is_gone_has_no_savepoint);
    tcase_add_loop_test(tcase, the_caller_can_cancel, 0, 2);
    tcase_add_test(tcase, bad_options_are_refused);
    tcase_add_test(tcase, bad_operators_are_refused);
    tcase_add_test(tcase, bad_states_are_refused);
    tcase_add_test(tcase, bad_entries_are_refused);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
