/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what the coordinator itself costs: processor time per checkpoint, and per
 * acknowledgement, for 10 to 10,000 tasks, with one checkpoint in flight and with as many as there
 * can be. What is asserted is only that each checkpoint goes its way; times are printed, for
 * docs/benchmarks.md, since they depend on the machine.
 *
 * Every checkpoint is resolved: requested, begun, acknowledged by each task once, in a random order
 * that is the same for all checkpoints of a row, committed and completed. With several in flight,
 * one more begins before the oldest, which is farthest from the end of the list, gets its
 * acknowledgements. The clock is read once per batch. What a checkpoint of a single task costs is
 * taken as that of everything but acknowledgements.
 */
#include "engine/job/coordinator.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <time.h>

#define TASKS_MAX 10000u
#define MEASURED_NS 200000000u /* each row goes on for so long */
#define BATCH_ACKS 100000u

static uint32_t order[TASKS_MAX];
static uint8_t acked[CRN_FLIGHTS_MAX * TASKS_MAX];

static uint64_t cpu_ns(void)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void shuffle(uint32_t tasks)
{
    uint64_t random = 1;
    for (uint32_t i = 0; i < tasks; i++)
        order[i] = i;
    for (uint32_t i = tasks - 1; i > 0; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t j = (uint32_t)((random >> 33) % (i + 1)), task = order[i];
        order[i] = order[j];
        order[j] = task;
    }
}

/* One action is expected, or none: id 0. */
static void step(struct crn_coordinator *c, enum crn_event_kind kind, uint64_t event_id,
                 uint32_t task, enum crn_action_kind expected, uint64_t id)
{
    struct crn_coordinator_event event = {.kind = kind, .id = event_id, .task = task, .now_us = 1};
    struct crn_actions actions;
    crn_coordinator_step(c, &event, &actions);
    bool right = id == 0 ? actions.count == 0
                         : actions.count == 1 && actions.items[0].kind == expected &&
                               actions.items[0].id == id && actions.items[0].ticket == id;
    if (!right)
        ck_abort_msg("event %d of checkpoint %d: not the action that was expected", (int)kind,
                     (int)event_id);
}

static void begin(struct crn_coordinator *c, uint64_t id)
{
    step(c, CRN_EVENT_REQUEST, id, 0, CRN_ACTION_BEGIN, id);
}

static void resolve(struct crn_coordinator *c, uint64_t id)
{
    uint32_t last = c->task_count - 1;
    for (uint32_t i = 0; i < last; i++)
        step(c, CRN_EVENT_ACK, id, order[i], CRN_ACTION_COMMIT, 0);
    step(c, CRN_EVENT_ACK, id, order[last], CRN_ACTION_COMMIT, id);
    step(c, CRN_EVENT_COMMIT_OK, id, 0, CRN_ACTION_COMPLETE, id);
}

/* @return nanoseconds per checkpoint */
static double measure(uint32_t tasks, uint32_t in_flight)
{
    struct crn_coordinator c;
    const struct crn_coordinator_settings settings = {
        .timeout_us = UINT64_MAX, .max_concurrent = in_flight, .tolerable_failures = UINT32_MAX};
    shuffle(tasks);
    crn_coordinator_init(&c, &settings, acked);
    step(&c, CRN_EVENT_START, 0, tasks, CRN_ACTION_BEGIN, 0);
    uint64_t begun = 0, resolved = 0;
    while (begun + 1 < in_flight)
        begin(&c, ++begun);
    uint64_t start_ns = cpu_ns(), total_ns = 0;
    while (total_ns < MEASURED_NS) {
        for (uint32_t acks = 0; acks < BATCH_ACKS; acks += tasks) {
            begin(&c, ++begun);
            resolve(&c, ++resolved);
        }
        total_ns = cpu_ns() - start_ns;
    }
    return (double)total_ns / (double)resolved;
}

START_TEST(test_cost_of_a_checkpoint)
{
    static const uint32_t in_flight[] = {1, CRN_CONCURRENT_MAX};
    printf("# %6s %10s %14s %8s\n", "tasks", "in flight", "us/checkpoint", "ns/ack");
    for (size_t i = 0; i < sizeof in_flight / sizeof in_flight[0]; i++) {
        double fixed_ns = measure(1, in_flight[i]);
        for (uint32_t tasks = 10; tasks <= TASKS_MAX; tasks *= 10) {
            double total_ns = measure(tasks, in_flight[i]);
            printf("# %6u %10u %14.2f %8.2f\n", tasks, in_flight[i], total_ns / 1000,
                   (total_ns - fixed_ns) / (tasks - 1));
        }
    }
    (void)fflush(stdout);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_coordinator");
    TCase *tcase = tcase_create("cost");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_cost_of_a_checkpoint);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
