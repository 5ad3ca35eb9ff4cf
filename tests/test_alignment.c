/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that the alignment of channels keeps P2 in every mode: of each checkpoint that it calls
 * complete, every record in front of the barriers is in the state or in flight, once, and no record
 * behind them is (at least once: none is missing). And that it gives up nothing without a reason,
 * blocks nothing for nothing, and never ends with something unsettled. Method: a world of channels
 * and an oracle that knows where each barrier lies (tests/support/alignment_world.c), led through
 * hundreds of thousands of random schedules, and through all there are of small worlds. CAIRN_SEED
 * replays the random runs.
 */
#include "tests/support/alignment_world.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

static const char *const mode_names[] = {"aligned", "at least once", "unaligned", "timed"};
static const char *const move_names[] = {"out",     "announce", "poll",     "fail",
                                         "request", "unknown",  "withdraw", "timeout"};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool chance(uint64_t *state, unsigned percent)
{
    return next_random(state) % 100 < percent;
}

/* ------------------------------------------------------------------------------------------ *
 * Random schedules
 * ------------------------------------------------------------------------------------------ */

static void fill_lane(struct world *world, struct world_lane *lane, uint64_t *random, bool odd)
{
    bool ends_early = chance(random, 15);
    uint64_t last = ends_early ? next_random(random) % (world->id_count + 1) : world->id_count;
    for (uint64_t id = 1; id <= last; id++) {
        for (uint64_t n = next_random(random) % 4; n > 0; n--)
            lane->items[lane->count++] = (struct world_item){WORLD_RECORD, 0};
        if (odd && chance(random, 10))
            continue; /* skipped */
        bool cancels = odd && chance(random, 5);
        lane->items[lane->count++] =
            (struct world_item){cancels ? WORLD_CANCEL : WORLD_BARRIER, id};
        if (odd && !cancels && chance(random, 5))
            lane->items[lane->count++] = (struct world_item){WORLD_BARRIER, id}; /* double */
    }
    for (uint64_t n = next_random(random) % 3; n > 0; n--)
        lane->items[lane->count++] = (struct world_item){WORLD_RECORD, 0};
    lane->items[lane->count++] = (struct world_item){WORLD_END, 0};
}

static void fill_world(struct world *world, enum crn_alignment_mode mode, uint64_t *random)
{
    *world = (struct world){
        .lane_count = 1 + (uint32_t)(next_random(random) % WORLD_LANES_MAX),
        .id_count = 1 + next_random(random) % WORLD_IDS_MAX,
        .freedom = {.announces = chance(random, 60),
                    .timeouts = mode == CRN_ALIGN_TIMED || chance(random, 10),
                    .withdraws = chance(random, 25),
                    .fails = chance(random, 25),
                    .unknowns = chance(random, 25),
                    .serial = chance(random, 50)},
    };
    /* That a barrier nobody ever asked for came in place of another one, nobody can know. */
    bool odd = !world->freedom.unknowns && chance(random, 50);
    /* What waits for a barrier that is never to come ends by the job's timeout. */
    world->freedom.withdraws |= odd;
    for (uint32_t c = 0; c < world->lane_count; c++)
        fill_lane(world, &world->lanes[c], random, odd);
    for (uint64_t id = 1; id <= world->id_count; id++)
        world->ids[id].is_savepoint = chance(random, 25);
    world_init(world, mode, chance(random, 70));
}

/* Rare moves stay rare, or nothing would ever get complete. */
static size_t choose(const struct world_move *moves, size_t count, uint64_t *random)
{
    size_t i = next_random(random) % count;
    bool is_rare = moves[i].kind == MOVE_WITHDRAW || moves[i].kind == MOVE_FAIL ||
                   moves[i].kind == MOVE_UNKNOWN;
    return is_rare && !chance(random, 8) ? next_random(random) % count : i;
}

struct tally {
    uint64_t complete, dead, in_flight, savepoints;
};

static void run_random(enum crn_alignment_mode mode, uint64_t seed, struct tally *tally)
{
    struct world world;
    struct world_move moves[WORLD_MOVES_MAX];
    uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
    const char *why = NULL;
    size_t count;
    unsigned steps = 0;
    fill_world(&world, mode, &random);
    while (why == NULL && (count = world_moves(&world, moves)) > 0 && steps++ < 10000) {
        size_t i = choose(moves, count, &random);
        why = world_step(&world, &moves[i]);
    }
    if (why == NULL)
        why = steps < 10000 ? world_check_end(&world) : "it does not end";
    if (why != NULL)
        ck_abort_msg("%s, CAIRN_SEED=%llu: %s", mode_names[mode], (unsigned long long)seed, why);
    for (uint64_t id = 1; id <= world.id_count; id++) {
        tally->complete += world.ids[id].complete;
        tally->savepoints += world.ids[id].complete && world.ids[id].is_savepoint;
        tally->dead += world.ids[id].dead;
        for (uint32_t c = 0; c < world.lane_count && world.ids[id].complete; c++)
            tally->in_flight += world.ids[id].in_flight[c];
    }
}

/* One thread has nothing to hide from a detector of races, which makes it ten times slower. */
#if defined(__SANITIZE_THREAD__)
#define RANDOM_RUNS 6000u
#else
#define RANDOM_RUNS 60000u
#endif

START_TEST(test_random_schedules)
{
    enum crn_alignment_mode mode = (enum crn_alignment_mode)_i;
    struct tally tally = {0};
    const char *seed = getenv("CAIRN_SEED");
    if (seed != NULL) {
        run_random(mode, strtoull(seed, NULL, 10), &tally);
        return;
    }
    for (uint64_t i = 1; i <= RANDOM_RUNS; i++)
        run_random(mode, i, &tally);
    /* The runs reach what they are for. */
    ck_assert_uint_gt(tally.complete, RANDOM_RUNS);
    ck_assert_uint_gt(tally.savepoints, RANDOM_RUNS / 4);
    ck_assert_uint_gt(tally.dead, RANDOM_RUNS / 10);
    bool overtakes = mode == CRN_ALIGN_UNALIGNED || mode == CRN_ALIGN_TIMED;
    ck_assert_int_eq(tally.in_flight > RANDOM_RUNS / 10, overtakes);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * All schedules of small worlds
 * ------------------------------------------------------------------------------------------ */

struct search {
    struct world_move path[64];
    uint64_t ends;
};

static void fail_search(const struct search *search, size_t depth, const struct world *world,
                        const char *why)
{
    char text[2000];
    size_t used = 0;
    for (size_t i = 0; i < depth && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, " %s(%u,%llu)",
                                 move_names[search->path[i].kind], search->path[i].lane,
                                 (unsigned long long)search->path[i].id);
    ck_abort_msg("%s: %s, after%s", mode_names[world->alignment.mode], why, text);
}

static void search_all(struct search *search, const struct world *world, size_t depth)
{
    struct world_move moves[WORLD_MOVES_MAX];
    size_t count = world_moves(world, moves);
    if (count == 0) {
        const char *why = world_check_end(world);
        if (why != NULL)
            fail_search(search, depth, world, why);
        search->ends++;
        return;
    }
    if (depth == sizeof search->path / sizeof search->path[0])
        fail_search(search, depth, world, "it does not end");
    for (size_t i = 0; i < count; i++) {
        struct world next;
        world_copy(&next, world);
        search->path[depth] = moves[i];
        const char *why = world_step(&next, &moves[i]);
        if (why != NULL)
            fail_search(search, depth + 1, &next, why);
        search_all(search, &next, depth + 1);
    }
}

/* Items of a lane as letters: r, barriers by number, and its end. */
static void fill_from(struct world_lane *lane, const char *items)
{
    for (const char *p = items; *p != '\0'; p++)
        lane->items[lane->count++] = *p == 'r'
                                         ? (struct world_item){WORLD_RECORD, 0}
                                         : (struct world_item){WORLD_BARRIER, (uint64_t)(*p - '0')};
    lane->items[lane->count++] = (struct world_item){WORLD_END, 0};
}

static const struct small_world {
    const char *lanes[2];
    bool savepoint[2]; /* which of the two ids are */
    struct world_freedom freedom;
} small_worlds[] = {
    {{"r1r2r", "r1r2r"}, {false, false}, {.serial = true}},
    {{"r1r2r", "r1r2r"}, {false, false}, {0}},
    {{"r1r2r", "r1r2"}, {true, false}, {0}},
    {{"r1r2", "r1r2r"}, {false, true}, {0}},
    {{"1r2r", "r2r"}, {false, false}, {0}},
    {{"r1r2", "r1"}, {false, false}, {0}},
    {{"rr1r", "r1r"}, {false, false}, {.announces = true, .timeouts = true}},
    {{"r1r2", "r1r2"}, {false, false}, {.announces = true, .serial = true}},
    {{"r1r2", "1r2"}, {true, false}, {.announces = true}},
    {{"r12", "r12"}, {false, false}, {.timeouts = true, .serial = true}},
    {{"r1r2", "r12"}, {false, false}, {.withdraws = true, .unknowns = true}},
    {{"r12", "12r"}, {false, false}, {.fails = true, .announces = true}},
};

START_TEST(test_every_schedule_of_small_worlds)
{
    const struct small_world *small = &small_worlds[_i / 4];
    enum crn_alignment_mode mode = (enum crn_alignment_mode)(_i % 4);
    struct search search = {0};
    for (int collects = 0; collects < 2; collects++) {
        struct world world = {.lane_count = 2, .id_count = 2, .freedom = small->freedom};
        for (uint32_t c = 0; c < 2; c++) {
            fill_from(&world.lanes[c], small->lanes[c]);
            world.ids[c + 1].is_savepoint = small->savepoint[c];
        }
        if (strchr(small->lanes[0], '2') == NULL)
            world.id_count = 1;
        world_init(&world, mode, collects == 1);
        search_all(&search, &world, 0);
    }
    ck_assert_uint_gt(search.ends, 100);
}
END_TEST

static Suite *alignment_suite(void)
{
    Suite *suite = suite_create("alignment");
    TCase *tcase = tcase_create("alignment");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_random_schedules, 0, 4);
    tcase_add_loop_test(tcase, test_every_schedule_of_small_worlds, 0,
                        4 * (int)(sizeof small_worlds / sizeof small_worlds[0]));
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    return crn_test_run(alignment_suite());
}
