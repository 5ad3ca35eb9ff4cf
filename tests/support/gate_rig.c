/* SPDX-License-Identifier: Apache-2.0 */
/* A job whose network is the test; see gate_rig.h. */
#include "tests/support/gate_rig.h"

#include "cairn/inspect.h"

#include <string.h>

#define WAIT_US 10000000u

const cairn_gate_options plain = CAIRN_GATE_OPTIONS_INIT;

void rig_set_unaligned(struct fixture *f, uint64_t timeout_ms)
{
    f->options.unaligned = 1;
    f->options.aligned_timeout_ms = timeout_ms;
}

static void open_task(cairn_job *job, const char *uid, unsigned subtask, unsigned parallelism,
                      cairn_task **ret)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.subtask = subtask;
    options.parallelism = parallelism;
    options.max_parallelism = 16;
    options.key_type = CAIRN_INT64;
    ck_ok(cairn_task_open(job, uid, &options, ret, reterr));
}

void rig_open_tasks(const struct fixture *f, unsigned count, struct rig *ret)
{
    *ret = (struct rig){.count = count};
    ck_assert_uint_le(count, RIG_TASKS_MAX);
    ck_ok(fixture_open_job(f, "job", &ret->job, reterr));
    open_task(ret->job, "source", 0, 1, &ret->source);
    for (unsigned i = 0; i < count; i++) {
        open_task(ret->job, "sum", i, count, &ret->tasks[i]);
        ck_ok(cairn_operator_list_state(ret->tasks[i], "seen", CAIRN_SPLIT, CAIRN_INT64,
                                        &ret->seen[i], reterr));
    }
}

void rig_open(const struct fixture *f, unsigned count, const cairn_gate_options *options,
              struct rig *ret)
{
    cairn_gate_options o = *options;
    rig_open_tasks(f, count, ret);
    if (o.channel_count == 0)
        o.channel_count = 2;
    for (unsigned i = 0; i < count; i++)
        ck_ok(cairn_gate_open(ret->tasks[i], &o, &ret->gates[i], reterr));
    ck_ok(cairn_job_start(ret->job, reterr));
}

void rig_close(struct rig *rig)
{
    cairn_job_close(rig->job);
    cairn_task_close(rig->source);
    for (unsigned i = 0; i < rig->count; i++)
        cairn_task_close(rig->tasks[i]);
}

cairn_barrier rig_trigger(struct rig *rig)
{
    ck_ok(cairn_job_trigger(rig->job, NULL, reterr));
    return rig_wait(rig->source, CAIRN_EVENT_BARRIER).barrier;
}

cairn_event rig_wait(cairn_task *task, cairn_event_type type)
{
    uint64_t deadline_us = crn_now_us() + WAIT_US;
    cairn_event event;
    do {
        ck_ok(cairn_task_wait(task, 20, &event, reterr));
        if (event.type == type)
            return event;
    } while (crn_now_us() < deadline_us);
    ck_abort_msg("no event of type %d came", (int)type);
    return event;
}

void rig_expect_nothing(cairn_task *task)
{
    cairn_event event;
    ck_ok(cairn_task_poll(task, &event, reterr));
    ck_assert_int_eq(event.type, CAIRN_EVENT_NONE);
}

void rig_record(struct rig *rig, unsigned subtask, uint32_t channel, int64_t value)
{
    ck_ok(cairn_gate_record(rig->gates[subtask], channel, &value, sizeof value, reterr));
    ck_ok(cairn_operator_list_add_int64(rig->seen[subtask], value, reterr));
}

void rig_barrier(struct rig *rig, unsigned subtask, uint32_t channel, const cairn_barrier *barrier)
{
    ck_ok(cairn_gate_barrier(rig->gates[subtask], channel, barrier, reterr));
}

void rig_announce(struct rig *rig, unsigned subtask, uint32_t channel, const cairn_barrier *barrier)
{
    ck_ok(cairn_gate_announce(rig->gates[subtask], channel, barrier, reterr));
}

void rig_end(struct rig *rig, unsigned subtask, uint32_t channel)
{
    ck_ok(cairn_gate_end(rig->gates[subtask], channel, reterr));
}

void rig_expect_seen(const struct rig *rig, unsigned subtask, const int64_t *values)
{
    const void *data;
    size_t size, count = 0;
    for (; values[count] != -1; count++) {
        ck_assert_msg(cairn_operator_list_at(rig->seen[subtask], count, &data, &size) == 0,
                      "subtask %u has seen %zu values only", subtask, count);
        ck_assert_int_eq(cairn_decode_int64(data), values[count]);
    }
    ck_assert_uint_eq(cairn_operator_list_size(rig->seen[subtask]), count);
}

void rig_expect_restored(struct rig *rig, unsigned subtask, const int64_t *pairs)
{
    const void *data;
    size_t size;
    uint32_t channel;
    for (size_t i = 0; pairs[i] != -1; i += 2) {
        int64_t value;
        ck_assert_int_eq(cairn_gate_restored(rig->gates[subtask], &channel, &data, &size), 1);
        ck_assert_uint_eq(size, sizeof value);
        memcpy(&value, data, sizeof value);
        ck_assert_int_eq(channel, pairs[i]);
        ck_assert_int_eq(value, pairs[i + 1]);
    }
    ck_assert_int_eq(cairn_gate_restored(rig->gates[subtask], &channel, &data, &size), 0);
}

cairn_gate_stats rig_stats(const struct rig *rig, unsigned subtask)
{
    cairn_gate_stats stats = CAIRN_GATE_STATS_INIT;
    ck_ok(cairn_gate_get_stats(rig->gates[subtask], &stats, reterr));
    return stats;
}

/* How many files of the role the newest checkpoint has, and the key of the first one. */
static size_t find_files(const struct fixture *f, cairn_file_role role, char **ret_key)
{
    struct crn_joblog log = {0};
    const struct crn_record *newest = NULL;
    size_t count = 0;
    ck_ok(crn_joblog_read(f->store, "job", &log, reterr));
    ck_ok(crn_joblog_find(&log, 0, &newest, reterr));
    for (size_t o = 0; o < newest->operator_count; o++)
        for (size_t s = 0; s < newest->operators[o].subtask_count; s++)
            for (size_t i = 0; i < newest->operators[o].subtasks[s].file_count; i++) {
                const cairn_file_info *info = &newest->operators[o].subtasks[s].files[i].info;
                if (info->role == role && count++ == 0 && ret_key != NULL)
                    ck_ok(crn_joblog_key("job", info->object, ret_key, reterr));
            }
    crn_joblog_done(&log);
    return count;
}

size_t rig_count_files(const struct fixture *f, cairn_file_role role)
{
    return find_files(f, role, NULL);
}

char *rig_find_file(const struct fixture *f, cairn_file_role role)
{
    char *key = NULL;
    ck_assert_uint_gt(find_files(f, role, &key), 0);
    return key;
}
