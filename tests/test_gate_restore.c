/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that records in flight get where they belong (P2, P8): with another parallelism each to
 * one subtask, as the gate's partitioning says, in the order of its channel, or the restore is
 * refused with what to do; damage is told; no start drops them unasked; and a snapshot that is
 * written anew keeps them. Method: a checkpoint of two subtasks with records in flight of two
 * channels each, and starts from it that differ.
 */
#include "tests/support/gate_rig.h"

#include "cairn/inspect.h"
#include "cairn/writer.h"

#include <string.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f, false);
    rig_set_unaligned(&f, 0);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* ------------------------------------------------------------------------------------------ *
 * Another parallelism
 * ------------------------------------------------------------------------------------------ */

static int key_of_value(void *context, const void *record, size_t size, const void **ret_key,
                        size_t *ret_key_size)
{
    ck_assert_uint_eq(size, sizeof(int64_t));
    *ret_key = record;
    *ret_key_size = size;
    return context == NULL ? 0 : *(const int *)context;
}

#define RECORDS_EACH 6

/* A checkpoint of two subtasks with in each a dozen records in flight, of both channels. */
static void store_in_flight(const cairn_gate_options *options)
{
    struct rig rig;
    cairn_gate_options o = *options;
    o.channel_count = 3;
    rig_open(&f, 2, &o, &rig);
    cairn_barrier barrier = rig_trigger(&rig);
    for (unsigned s = 0; s < 2; s++) {
        rig_barrier(&rig, s, 2, &barrier);
        rig_wait(rig.tasks[s], CAIRN_EVENT_BARRIER);
        for (int64_t i = 0; i < RECORDS_EACH; i++)
            for (uint32_t c = 0; c < 2; c++)
                rig_record(&rig, s, c, 100 * s + 50 * c + i);
        rig_barrier(&rig, s, 0, &barrier);
        rig_barrier(&rig, s, 1, &barrier);
    }
    rig_wait(rig.tasks[0], CAIRN_EVENT_COMPLETED);
    rig_close(&rig);
}

START_TEST(test_rescaled)
{
    static const unsigned parallelisms[] = {1, 3, 4};
    unsigned count = parallelisms[_i % 3];
    bool by_key = _i >= 3;
    struct rig rig;
    cairn_gate_options options = plain;
    options.partitioning = by_key ? CAIRN_PARTITION_BY_KEY : CAIRN_PARTITION_ANY;
    options.key_of = key_of_value;
    store_in_flight(&options);
    rig_open(&f, count, &options, &rig);
    unsigned times[200] = {0};
    size_t got[RIG_TASKS_MAX] = {0};
    for (unsigned s = 0; s < count; s++) {
        int64_t last[4] = {-1, -1, -1, -1}; /* of each old subtask and channel */
        const void *data;
        size_t size;
        uint32_t channel;
        while (cairn_gate_restored(rig.gates[s], &channel, &data, &size) == 1) {
            int64_t value;
            memcpy(&value, data, sizeof value);
            ck_assert_int_eq(channel, value % 100 / 50);
            ck_assert_int_gt(value, last[value / 50]); /* in order */
            last[value / 50] = value;
            times[value]++;
            got[s]++;
            if (by_key)
                ck_assert_int_eq(cairn_subtask_of_key(data, size, count, 16), (int)s);
        }
    }
    for (unsigned v = 0; v < 200; v++)
        ck_assert_uint_eq(times[v], v % 50 < RECORDS_EACH);
    for (unsigned s = 0; s < count && !by_key; s++)
        ck_assert_uint_eq(got[s], 4 * RECORDS_EACH / count);
    rig_close(&rig);
}
END_TEST

/* FIXED: refused, with what to do; and restored as it was with the old parallelism. */
START_TEST(test_fixed_is_not_rescaled)
{
    struct rig rig;
    cairn_gate *gate;
    cairn_gate_options options = plain;
    store_in_flight(&options);
    options.channel_count = 3;
    rig_open_tasks(&f, 3, &rig);
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_EMISMATCH,
             "restore with the stored parallelism, 2");
    rig_close(&rig);
    rig_open(&f, 2, &options, &rig);
    rig_expect_restored(&rig, 1,
                        VALUES(0, 100, 1, 150, 0, 101, 1, 151, 0, 102, 1, 152, 0, 103, 1, 153, 0,
                               104, 1, 154, 0, 105, 1, 155));
    rig_close(&rig);
}
END_TEST

START_TEST(test_key_of_fails)
{
    struct rig rig;
    cairn_gate *gate;
    int answer = CAIRN_ECORRUPT;
    cairn_gate_options options = plain;
    options.partitioning = CAIRN_PARTITION_BY_KEY;
    options.key_of = key_of_value;
    store_in_flight(&options);
    options.channel_count = 3;
    options.context = &answer;
    rig_open_tasks(&f, 1, &rig);
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_ECORRUPT, "key_of");
    answer = 0;
    ck_ok(cairn_gate_open(rig.tasks[0], &options, &gate, reterr));
    rig_close(&rig);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Snapshots that hold records in flight
 * ------------------------------------------------------------------------------------------ */

/* Nobody drops them by mistake. */
START_TEST(test_no_gate_for_records_in_flight)
{
    struct rig rig;
    store_in_flight(&plain);
    rig_open_tasks(&f, 2, &rig);
    ck_fails(cairn_job_start(rig.job, reterr), CAIRN_ENONRESTORED, "'sum'");
    rig_close(&rig);
    f.options.allow_non_restored_state = 1;
    rig_open_tasks(&f, 2, &rig);
    ck_ok(cairn_job_start(rig.job, reterr));
    rig_close(&rig);
}
END_TEST

/* P8: a flipped bit is an error that names the object. */
START_TEST(test_damaged_records)
{
    struct rig rig;
    cairn_gate *gate;
    cairn_gate_options options = plain;
    f.options.inline_threshold_bytes = 1;
    store_in_flight(&options);
    char *key = rig_find_file(&f, CAIRN_FILE_IN_FLIGHT);
    store_damage(f.store, key);
    options.channel_count = 3;
    rig_open_tasks(&f, 2, &rig);
    ck_fails(cairn_gate_open(rig.tasks[0], &options, &gate, reterr), CAIRN_ECORRUPT, key);
    rig_close(&rig);
    free(key);
}
END_TEST

/* A snapshot that is written anew keeps them with their operator. */
START_TEST(test_writer_keeps_records)
{
    struct rig rig;
    cairn_snapshot *snapshot;
    cairn_writer *writer;
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    cairn_gate_options options = plain;
    f.backend = crn_heap_backend;
    store_in_flight(&options);
    ck_ok(cairn_snapshot_open(f.store, "job", 0, &snapshot, reterr));
    ck_ok(cairn_writer_open(snapshot, NULL, &writer, reterr));
    commit.format = CAIRN_CANONICAL;
    commit.name = "edited";
    ck_ok(cairn_writer_commit(writer, f.store, &commit, NULL, reterr));
    cairn_writer_close(writer);
    cairn_snapshot_close(snapshot);
    f.options.restore_store = f.store;
    f.options.restore_name = "edited";
    options.channel_count = 3;
    rig_open(&f, 2, &options, &rig);
    rig_expect_restored(
        &rig, 0,
        VALUES(0, 0, 1, 50, 0, 1, 1, 51, 0, 2, 1, 52, 0, 3, 1, 53, 0, 4, 1, 54, 0, 5, 1, 55));
    rig_close(&rig);
}
END_TEST

static Suite *gate_restore_suite(void)
{
    Suite *suite = suite_create("gate_restore");
    TCase *tcase = tcase_create("gate_restore");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_rescaled, 0, 6);
    tcase_add_test(tcase, test_fixed_is_not_rescaled);
    tcase_add_test(tcase, test_key_of_fails);
    tcase_add_test(tcase, test_no_gate_for_records_in_flight);
    tcase_add_test(tcase, test_damaged_records);
    tcase_add_test(tcase, test_writer_keeps_records);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(gate_restore_suite());
}
