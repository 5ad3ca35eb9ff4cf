/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model test: whole lives of a job at random, against the oracle of life.h. Two operators write
 * to every kind of state; meanwhile, checkpoints, savepoints of both formats, and their disposal;
 * savepoints are moved and copied about; structs are migrated; time goes by. Now and then the job
 * stops as in a crash, with or without a snapshot in flight, and starts again: from its own newest
 * checkpoint or an older one, from a savepoint, or as another job from the checkpoint of this one;
 * in each claim mode, at another parallelism, over the other state backend, with another schema of
 * its structs, with expiry switched on or off. Over directories and memory stores.
 *
 * Proves P1 and P2 (a start gives exactly the state at the barriers of its snapshot), P5 and P6
 * (after each checkpoint nothing is missing and nothing dead is left; what is claimed is gone, what
 * is not is never needed after the first checkpoint), P8 and P9.
 * CAIRN_SEED=n replays a run, CAIRN_RUNS sets their number, CAIRN_STEPS the length of each;
 * CAIRN_TRACE=1 tells what happens.
 */
#include "tests/support/life_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void restart(struct model *m)
{
    model_stop(m);
    model_start(m);
}

static void act(struct model *m)
{
    switch (model_pick(m, 20)) {
    case 0:
    case 1:
        restart(m);
        break;
    case 2:
        model_checkpoint(m, false);
        restart(m);
        break;
    case 3:
        model_savepoint(m, false);
        restart(m);
        break;
    case 4:
    case 5:
    case 6:
        model_checkpoint(m, true);
        break;
    case 7:
    case 8:
        model_savepoint(m, true);
        break;
    case 9:
        model_dispose(m);
        break;
    case 10:
        model_move(m);
        break;
    case 11:
        model_migrate(m);
        break;
    case 12:
    case 13:
        model_wait(m);
        break;
    default:
        model_steps(m, model_pick(m, 400), true);
        break;
    }
}

static void run(uint64_t seed, uint64_t steps)
{
    struct model *m = malloc(sizeof *m);
    ck_assert_ptr_nonnull(m);
    printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    model_init(m, seed);
    model_start(m);
    for (uint64_t i = 0; i < steps; i++)
        act(m);
    restart(m);
    model_checkpoint(m, true);
    model_stop(m);
    model_done(m);
    free(m);
}

START_TEST(random_lives)
{
    uint64_t chance = life_random((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32) % 1000000000;
    uint64_t seed = number_of("CAIRN_SEED", chance), steps = number_of("CAIRN_STEPS", 300);
    uint64_t runs = number_of("CAIRN_RUNS", getenv("CAIRN_SEED") != NULL ? 1 : 8);
    for (uint64_t i = 0; i < runs; i++)
        run(seed + i, steps);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("P1 P2 P5 P6 P8 P9");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, random_lives);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
