/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of jobs in several processes, without the processes: random orders of the single
 * store operations of coordinators that replace one another, three workers, and a
 * collector (support/cluster_world.h). Proves that, whatever the order is and whoever dies: an id
 * is committed once, and by nobody who was replaced (P7); what the log needs is there, at every
 * moment (P1, P5); whoever reads a board that was given up hears of it; once nobody dies any more,
 * the newest coordinator commits and all others know; and a collection then leaves nothing dead
 * (P6).
 *
 * That the model could fail is proved, too: each of the protocol's rules is left out once, and the
 * world must break. CAIRN_SCHEDULES=n runs n orders; CAIRN_SEED repeats.
 */
#include "tests/support/cluster_world.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SCHEDULES 10000u
#define STEPS 1000u

static uint64_t seed(void)
{
    const char *text = getenv("CAIRN_SEED");
    const uint64_t value = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("# CAIRN_SEED=%" PRIu64 "\n", value);
    (void)fflush(stdout);
    return value;
}

static uint64_t schedules(void)
{
    const char *text = getenv("CAIRN_SCHEDULES");
    return text != NULL ? strtoull(text, NULL, 10) : SCHEDULES;
}

static const char *run(struct world *w, enum world_omission omitted, uint64_t number)
{
    world_init(w, omitted, number);
    for (unsigned i = 0; i < STEPS; i++)
        world_step(w);
    world_settle(w);
    return w->broken;
}

START_TEST(no_order_breaks_it)
{
    static struct world w;
    const uint64_t first = seed(), count = schedules();
    uint64_t settled = 0, checkpoints = 0, takeovers = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *broken = run(&w, OMIT_NOTHING, first + i);
        ck_assert_msg(broken == NULL, "CAIRN_SEED=%" PRIu64 ": %s", first + i, broken);
        settled += !w.is_full;
        takeovers += w.coordinator_count - 1;
        for (unsigned c = 0; c < w.coordinator_count; c++)
            checkpoints += w.coordinators[c].checkpoints;
    }
    printf("# %" PRIu64 " orders: %" PRIu64 " to the end, %" PRIu64 " checkpoints, %" PRIu64
           " takeovers\n",
           count, settled, checkpoints, takeovers);
    (void)fflush(stdout);
    /* It is not the emptiness of the world that keeps it whole. */
    ck_assert_uint_gt(2 * settled, count);
    ck_assert_uint_gt(2 * checkpoints, 3 * count);
    ck_assert_uint_gt(takeovers, count);
}
END_TEST

/* What is to be seen when a rule is left out. */
static const char *const seen_without[] = {
    [OMIT_NEIGHBOURS] = "a coordinator that was replaced commits",
    [OMIT_FLOOR] = "an object that a record of the log needs is gone",
    [OMIT_FLIGHTS] = "an object that a record of the log needs is gone",
    [OMIT_COMMITTING] = "an object that a record of the log needs is gone",
    [OMIT_ABORTED_FIRST] = "an object that a record of the log needs is gone",
    [OMIT_RESOLVING] = "an object that a record of the log needs is gone",
    [OMIT_TRYING_NEXT] = "those who read a board do not hear that it is over",
    [OMIT_CREATE_IF_ABSENT] = "those who read a board do not hear that it is over",
};

START_TEST(each_rule_is_needed)
{
    static struct world w;
    const uint64_t first = seed();
    for (uint64_t i = 0; i < 30 * SCHEDULES; i++) {
        const char *broken = run(&w, (enum world_omission)_i, first + i);
        if (broken != NULL && strcmp(broken, seen_without[_i]) == 0) {
            printf("# rule %d: %s, after %" PRIu64 " orders\n", _i, broken, i + 1);
            (void)fflush(stdout);
            return;
        }
    }
    ck_abort_msg("not to be seen without rule %d: %s", _i, seen_without[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_model");
    TCase *c = tcase_create("orders");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, no_order_breaks_it);
    tcase_add_loop_test(c, each_rule_is_needed, OMIT_NOTHING + 1, OMIT_CREATE_IF_ABSENT + 1);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
