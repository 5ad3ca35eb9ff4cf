/* SPDX-License-Identifier: Apache-2.0 */

/* See keyed_task.h. What task.c does around a job is done here by hand, in the same order. */

#include "tests/support/keyed_task.h"
#include "tests/support/fake_state.h"
#include "backends/state/canonical.h"
#include "base/file.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int64_t fake_clock(void *context)
{
    return ((struct test_task *)context)->clock_ms;
}

static const struct crn_state_backend *backend_of(const struct test_task *t)
{
    static const struct crn_state_backend *const backends[TEST_BACKENDS] = {
        [TEST_BACKEND_FAKE] = &crn_fake_backend,
        [TEST_BACKEND_ROCKSDB] = &crn_rocksdb_backend,
        [TEST_BACKEND_HEAP] = &crn_heap_backend,
    };
    return backends[t->backend];
}

static void open_database(struct test_task *t, bool restored)
{
    char directory[128];
    (void)snprintf(directory, sizeof(directory), "%s/%u", t->root, t->generation);
    if (!restored)
        MUST(crn_file_make_dirs(directory, ERR));
    cairn_state_info keyed[64];
    size_t keyed_count = 0;
    for (size_t i = 0; i < t->task.stored_count; i++)
        if (t->task.stored[i].kind < CAIRN_KIND_OPERATOR_LIST && keyed_count < CRN_COUNT(keyed))
            keyed[keyed_count++] = t->task.stored[i];
    struct crn_state_config config = {
        .directory = directory,
        .restored = restored,
        .memory = t->memory,
        .now_ms = fake_clock,
        .now_context = t,
        .states = keyed,
        .state_count = keyed_count,
        .max_parallelism = t->task.max_parallelism,
        .key_group_first = t->task.key_group_first,
        .key_group_last = t->task.key_group_last,
    };
    if (t->backend == TEST_BACKEND_HEAP)
        config.restored = false; /* its files are loaded, not opened */
    MUST(backend_of(t)->open(&config, &t->task.db, ERR));
    atomic_store(&t->task.open, true);
}

static int read_file(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr)
{
    return crn_file_pread_all(*(int *)context, data, n, offset, "captured file", reterr);
}

/* All entries of one state of a canonical file. */
static void load_state(struct test_task *t, struct crn_canonical_reader *reader,
                       const cairn_state_info *info)
{
    struct crn_state_db *db = t->task.db;
    struct crn_state *state;
    struct crn_state_load *load;
    struct crn_canonical_scan *scan;
    struct crn_canonical_entry entry;
    int number = crn_canonical_state(reader, info->name);
    ck_assert_int_ge(number, 0);
    MUST(db->ops->open_state(db, info, &state, ERR));
    MUST(db->ops->load_begin(db, state, &load, ERR));
    MUST(crn_canonical_scan(reader, number, t->task.key_group_first, t->task.key_group_last, &scan,
                            ERR));
    while (MUST(crn_canonical_next(scan, &entry, ERR)) > 0)
        MUST(
            db->ops->load_put(load, entry.key, entry.key_size, entry.value, entry.value_size, ERR));
    crn_canonical_scan_end(scan);
    MUST(db->ops->load_end(load, true, ERR));
}

static void load_file(struct test_task *t, const char *directory, const cairn_file_info *info)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, info->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert(info->has_identity);
    struct crn_canonical_input input = {info->name, info->size, read_file, &fd, info->identity};
    struct crn_canonical_reader *reader;
    MUST(crn_canonical_open(&input, &reader, ERR));
    for (size_t i = 0; i < t->task.stored_count; i++)
        if (t->task.stored[i].kind < CAIRN_KIND_OPERATOR_LIST)
            load_state(t, reader, &t->task.stored[i]);
    crn_canonical_close(reader);
    (void)close(fd); /* nothing was written through it */
}

struct test_task *test_task_new(int backend)
{
    struct test_task *t = calloc(1, sizeof(*t));
    ck_assert_ptr_nonnull(t);
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL || strlen(tmp) > 32)
        tmp = "/tmp";
    (void)snprintf(t->root, sizeof(t->root), "%s/cairn-keyed-XXXXXX", tmp);
    ck_assert_ptr_nonnull(mkdtemp(t->root));
    t->backend = backend;
    t->clock_ms = 1000000;
    t->task.uid = strdup("operator");
    t->task.now_ms = fake_clock;
    t->task.now_context = t;
    if (backend == TEST_BACKEND_ROCKSDB)
        MUST(cairn_memory_new(64 << 20, &t->memory, NULL));
    MUST(crn_operator_states_new(&t->task.operators, NULL));
    test_task_set_subtask(t, 0, 1, 128);
    open_database(t, false);
    return t;
}

void test_task_set_subtask(struct test_task *t, uint32_t subtask, uint32_t parallelism,
                           uint32_t max_parallelism)
{
    t->task.options.subtask = subtask;
    t->task.options.parallelism = parallelism;
    t->task.max_parallelism = max_parallelism;
    crn_key_group_range(subtask, parallelism, max_parallelism, &t->task.key_group_first,
                        &t->task.key_group_last);
    if (t->task.db != NULL && t->backend == TEST_BACKEND_HEAP) { /* it knows its key groups */
        t->task.db->ops->close(t->task.db);
        t->generation++;
        open_database(t, false);
    }
}

static void free_stored(struct test_task *t)
{
    for (size_t i = 0; i < t->task.stored_count; i++)
        crn_state_done(&t->task.stored[i]);
    free(t->task.stored);
    t->task.stored = NULL;
    t->task.stored_count = 0;
}

/* What the manifest would say of the task's states. */
static void describe(struct test_task *t)
{
    struct crn_record *record = crn_record_new();
    struct crn_operator *op = crn_record_add_operator(record);
    ck_assert_ptr_nonnull(op);
    MUST(crn_keyed_describe(&t->task, op, ERR));
    MUST(crn_operator_states_describe(t->task.operators, op, ERR));
    cairn_state_info *stored = calloc(op->state_count + 1, sizeof(*stored));
    ck_assert_ptr_nonnull(stored);
    for (size_t i = 0; i < op->state_count; i++)
        MUST(crn_state_copy(&stored[i], &op->states[i]));
    free_stored(t);
    t->task.stored = stored;
    t->task.stored_count = op->state_count;
    crn_record_free(record);
}

static void close_database(struct test_task *t)
{
    atomic_store(&t->task.open, false);
    crn_keyed_detach(&t->task);
    t->task.db->ops->close(t->task.db);
    t->task.db = NULL;
}

void test_task_restart(struct test_task *t)
{
    struct crn_state_db *db = t->task.db;
    struct crn_barrier barrier;
    struct crn_capture capture = {0};
    atomic_bool cancelled = false;
    char directory[128];
    (void)snprintf(directory, sizeof(directory), "%s/%u", t->root, ++t->generation);
    struct cairn_buffer blob = {0};

    describe(t);
    MUST(crn_operator_states_encode(t->task.operators, &blob, ERR));
    MUST(db->ops->barrier(db, &barrier, ERR));
    MUST(db->ops->capture(db, &barrier, directory, &cancelled, &capture, ERR));
    db->ops->release(db);
    close_database(t);
    crn_keyed_free_all(&t->task);
    crn_operator_states_free(t->task.operators);
    MUST(crn_operator_states_new(&t->task.operators, ERR));
    MUST(crn_operator_states_restore(t->task.operators, &blob, 1, t->task.options.subtask, 1, ERR));
    crn_buf_done(&blob);
    open_database(t, true);
    for (size_t i = 0; i < capture.count && t->backend == TEST_BACKEND_HEAP; i++)
        load_file(t, directory, &capture.files[i].info);
    crn_capture_done(&capture);
}

void test_task_free(struct test_task *t)
{
    if (t->task.db != NULL)
        close_database(t);
    crn_keyed_free_all(&t->task);
    crn_operator_states_free(t->task.operators);
    free_stored(t);
    free(t->task.uid);
    if (t->memory != NULL)
        cairn_memory_release(t->memory);
    MUST(crn_file_remove_tree(t->root, ERR));
    free(t);
}

cairn_error *test_error;

int64_t test_must(int64_t r, const char *call, int line)
{
    ck_assert_msg(r >= 0, "line %d: %s: %s: %s", line, call, cairn_error_name((int)r),
                  cairn_error_message(test_error));
    ck_assert_msg(test_error == NULL, "line %d: %s: success with an error object", line, call);
    return r;
}

void test_must_fail(int64_t r, int code, const char *words, const char *call, int line)
{
    const char *message = cairn_error_message(test_error);
    ck_assert_msg(r == code, "line %d: %s: %s (%s) instead of %s", line, call,
                  cairn_error_name((int)r), message, cairn_error_name(code));
    ck_assert_msg(cairn_error_code(test_error) == code, "line %d: %s: no error object", line, call);
    ck_assert_msg(strstr(message, words) != NULL, "line %d: %s: no '%s' in the message '%s'", line,
                  call, words, message);
    cairn_error_free(test_error);
    test_error = NULL;
}
