/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Schemas of one state in several subtasks: what they list is merged into one list for the
 * manifest, in which a tag means one schema; a job in which one subtask is migrated and the other
 * does not even register goes on reading both.
 */

#include "tests/support/items.h"
#include "tests/support/keyed_task.h"
#include "tests/support/tap.h"

#include "base/file.h"
#include "engine/serializers/serializer.h"
#include <stdio.h>
#include <string.h>

START_TEST(test_merge)
{
    const cairn_schema_info all[] = {{0, "a", 0, (const uint8_t *)"x", 1},
                                     {1, "a", 0, (const uint8_t *)"y", 1},
                                     {4, "a", 0, (const uint8_t *)"z", 1}};
    cairn_state_info state = {.name = "s", .schemas = &all[1], .schema_count = 1};
    cairn_state_info other = {.name = "s", .schemas = all, .schema_count = 3};
    cairn_state_info merged;
    MUST(crn_state_copy(&merged, &state));
    MUST(crn_schemas_merge(&merged, &other));
    ck_assert_uint_eq(merged.schema_count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(merged.schemas[i].tag, all[i].tag);
        ck_assert(crn_schema_is_same(&merged.schemas[i], &all[i]));
    }
    cairn_schema_info odd = all[1];
    odd.bytes = (const uint8_t *)"q";
    other.schemas = &odd;
    other.schema_count = 1;
    ck_assert_int_eq(crn_schemas_merge(&merged, &other), CAIRN_EMISMATCH);
    ck_assert_uint_eq(merged.schema_count, 3);
    crn_state_done(&merged);
}
END_TEST

struct two {
    cairn_job *job;
    cairn_task *tasks[2];
    cairn_value *values[2];
};

static void open_two(struct two *two, const char *root)
{
    char store[128], local[128];
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_task_options task = CAIRN_TASK_OPTIONS_INIT;
    (void)snprintf(store, sizeof(store), "%s/store", root);
    (void)snprintf(local, sizeof(local), "%s/local", root);
    options.store_uri = store;
    options.local_dir = local;
    task.parallelism = 2;
    MUST(cairn_job_open("j", &options, &two->job, ERR));
    for (uint32_t i = 0; i < 2; i++) {
        task.subtask = i;
        MUST(cairn_task_open(two->job, "op", &task, &two->tasks[i], ERR));
    }
}

/* Takes a checkpoint with both barriers in this thread, and closes. */
static void store_two(struct two *two)
{
    cairn_event event;
    MUST(cairn_job_start(two->job, ERR));
    MUST(cairn_job_trigger(two->job, NULL, ERR));
    for (int settled = 0; settled != 3;)
        for (int i = 0; i < 2; i++) {
            MUST(cairn_task_wait(two->tasks[i], 20, &event, ERR));
            ck_assert_int_ne(event.type, CAIRN_EVENT_ABORTED);
            settled |= event.type == CAIRN_EVENT_COMPLETED ? 1 << i : 0;
        }
    cairn_job_close(two->job);
    cairn_task_close(two->tasks[0]);
    cairn_task_close(two->tasks[1]);
}

static void register_two(struct two *two, int subtask, cairn_serializer *serializer)
{
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    options.serializer = serializer;
    MUST(cairn_value_state(two->tasks[subtask], "v", CAIRN_STRUCT, &options, &two->values[subtask],
                           ERR));
}

static void set_key_of(struct two *two, int subtask)
{
    char key[8];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "%d", i);
        if (cairn_subtask_of_key(key, strlen(key), 2, 128) == subtask) {
            MUST(cairn_task_set_key(two->tasks[subtask], key, strlen(key)));
            return;
        }
    }
    ck_abort();
}

START_TEST(test_subtasks)
{
    char root[] = "/tmp/cairn-schema-XXXXXX";
    struct two two;
    cairn_serializer *v1 = item_version(1), *v2 = item_version(2), *v3 = item_version(3);
    CRN_AUTO_BUFFER struct cairn_buffer item = {0};
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    const void *data;
    size_t size;
    ck_assert_ptr_nonnull(mkdtemp(root));
    item_encode(v1, 5, "n", &item);
    open_two(&two, root);
    for (int i = 0; i < 2; i++) {
        register_two(&two, i, v1);
        set_key_of(&two, i);
        MUST(cairn_value_put(two.values[i], item.data, item.size, ERR));
    }
    store_two(&two);
    /* One subtask is migrated, the other does not even register. */
    open_two(&two, root);
    register_two(&two, 0, v2);
    options.serializer = v3;
    MUST_FAIL(CAIRN_EMISMATCH, "with another schema",
              cairn_value_state(two.tasks[1], "v", CAIRN_STRUCT, &options, &two.values[1], ERR));
    MUST(cairn_task_migrate(two.tasks[0], NULL, ERR));
    store_two(&two);
    open_two(&two, root);
    for (int i = 0; i < 2; i++) {
        register_two(&two, i, v2);
        set_key_of(&two, i);
        ck_assert_int_eq(MUST(cairn_value_get(two.values[i], &data, &size, ERR)), 1);
        ck_assert_int_eq(item_id(v2, data, size), 5);
    }
    store_two(&two);
    cairn_serializer_release(v1);
    cairn_serializer_release(v2);
    cairn_serializer_release(v3);
    MUST(crn_file_remove_tree(root, ERR));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schemas of subtasks");
    TCase *schemas = tcase_create("schemas");
    tcase_set_timeout(schemas, 20);
    tcase_add_test(schemas, test_merge);
    tcase_add_test(schemas, test_subtasks);
    suite_add_tcase(suite, schemas);
    return crn_test_run(suite);
}
