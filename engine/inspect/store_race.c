/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The race of store_test.c: what keeps two processes that write to one job apart (P7). All writers
 * start each round together; each has bytes of its own, so that the winner's can be told from the
 * others' afterwards.
 *
 * A writer whose outcome is not known (CAIRN_EUNKNOWN, a time-out) may be the winner. A round is
 * right if one writer won, or none and the key has one writer's bytes who does not know it.
 */
#include "engine/inspect/store_test.h"

#include "backends/storage/storage.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES = 512, LARGE_BYTES = 256 << 10 };

struct round {
    uint32_t winners, losers, unknown;
    uint32_t winner; /* number of one */
};

struct race {
    struct crn_store_bench *bench;
    struct crn_mutex lock; /* of all below */
    struct crn_cond start;
    uint32_t arrived, turn; /* writers at the start of a round; rounds that were started */
    bool is_off;
    struct round *rounds;
    int code;
    cairn_error *error;
};

struct writer {
    struct race *race;
    pthread_t thread;
    uint32_t number; /* from 1 on */
};

/* Larger bodies are longer on their way, so that the writers overlap. */
static size_t body_size(uint32_t round)
{
    return round % 4 == 3 ? LARGE_BYTES : BODY_BYTES;
}

static void fill(uint8_t *body, uint32_t number)
{
    for (size_t i = 0; i < LARGE_BYTES; i += sizeof number)
        memcpy(body + i, &number, sizeof number);
}

static void note(struct writer *writer, uint32_t n, int code, cairn_error *error)
{
    struct race *race = writer->race;
    crn_mutex_lock(&race->lock);
    struct round *round = &race->rounds[n];
    if (code == 0) {
        round->winners++;
        round->winner = writer->number;
    } else if (code == CAIRN_EEXIST) {
        round->losers++;
    } else if (cairn_error_class_of(code) == CAIRN_CLASS_RETRY) {
        round->unknown++;
    } else if (race->code == 0) {
        race->code = crn_err_move(&race->error, &error, code);
        error = NULL;
    }
    crn_mutex_unlock(&race->lock);
    cairn_error_free(error);
}

/* Until all have come. false: there will be no race. */
static bool meet(struct race *race)
{
    crn_mutex_lock(&race->lock);
    const uint32_t turn = race->turn;
    if (++race->arrived == race->bench->writers) {
        race->arrived = 0;
        race->turn++;
        crn_cond_broadcast(&race->start);
    }
    while (race->turn == turn && !race->is_off)
        crn_cond_wait(&race->start, &race->lock);
    const bool go = !race->is_off;
    crn_mutex_unlock(&race->lock);
    return go;
}

/* Each writer has one way to the store, and every way has its writers. */
static cairn_store *way_of(const struct crn_store_bench *bench, uint32_t number)
{
    const size_t way = number % (bench->other_count + 1);
    return way == 0 ? bench->store : bench->others[way - 1];
}

static void *run_writer(void *arg)
{
    struct writer *writer = arg;
    struct crn_store_bench *bench = writer->race->bench;
    cairn_store *store = way_of(bench, writer->number);
    CRN_AUTO_FREE uint8_t *body = malloc(LARGE_BYTES);
    if (body != NULL)
        fill(body, writer->number);
    for (uint32_t n = 0; n < bench->rounds && meet(writer->race); n++) {
        CRN_AUTO_BUFFER struct cairn_buffer key = {0};
        cairn_error *error = NULL;
        const char *name = crn_store_bench_key(bench, &key, "race/%u", n);
        int r = body == NULL ? crn_err_nomem(&error)
                             : store->ops->create(store, name, body, body_size(n), &error);
        note(writer, n, r, error);
    }
    return NULL;
}

static int judge_round(const struct crn_store_bench *bench, const struct round *round, uint32_t n,
                       cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0}, found = {0};
    CRN_AUTO_FREE uint8_t *body = malloc(LARGE_BYTES);
    uint32_t number;
    const char *name = crn_store_bench_key(bench, &key, "race/%u", n);
    if (body == NULL)
        return crn_err_nomem(reterr);
    if (round->winners > 1)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, name,
                            "%u of %u writers were told that they created the same key, in round "
                            "%u of %u",
                            round->winners, bench->writers, n + 1, bench->rounds);
    if (round->winners == 0 && round->unknown == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, name,
                            "all writers were told that the key exists, and none that it created "
                            "it, in round %u of %u",
                            n + 1, bench->rounds);
    CRN_TRY(crn_store_get_bytes(bench->store, name, LARGE_BYTES, &found, reterr));
    if (found.size != body_size(n))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, name,
                            "the key has %zu bytes, and every writer had %zu", found.size,
                            body_size(n));
    memcpy(&number, found.data, sizeof number);
    fill(body, round->winners == 1 ? round->winner : number);
    if (number == 0 || number > bench->writers || memcmp(found.data, body, found.size) != 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, name,
                            "the key does not have the winner's bytes, in round %u of %u", n + 1,
                            bench->rounds);
    return 0;
}

static int run_race(struct race *race, struct writer *writers, cairn_error **reterr)
{
    const uint32_t wanted = race->bench->writers;
    uint32_t started = 0;
    int r = 0;
    while (started < wanted && r == 0) {
        writers[started] = (struct writer){.race = race, .number = started + 1};
        r = crn_thread_start(&writers[started].thread, "cairn-race", run_writer, &writers[started],
                             reterr);
        started += r == 0;
    }
    if (r < 0) { /* those that run wait for the others, who will not come */
        crn_mutex_lock(&race->lock);
        race->is_off = true;
        crn_cond_broadcast(&race->start);
        crn_mutex_unlock(&race->lock);
    }
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(writers[i].thread, NULL); /* it was started, and nobody else joins it */
    return r;
}

int crn_store_race(struct crn_store_bench *bench, cairn_error **reterr)
{
    struct race race = {.bench = bench};
    CRN_AUTO_FREE struct round *rounds = calloc(bench->rounds, sizeof *rounds);
    CRN_AUTO_FREE struct writer *writers = calloc(bench->writers, sizeof *writers);
    if (rounds == NULL || writers == NULL)
        return crn_err_nomem(reterr);
    race.rounds = rounds;
    crn_mutex_init(&race.lock, CRN_RANK_LEAF);
    crn_cond_init(&race.start);
    int r = run_race(&race, writers, reterr);
    if (r == 0 && race.code < 0)
        r = crn_err_move(reterr, &race.error, race.code);
    cairn_error_free(race.error);
    for (uint32_t n = 0; r == 0 && n < bench->rounds; n++)
        r = judge_round(bench, &rounds[n], n, reterr);
    crn_cond_done(&race.start);
    crn_mutex_done(&race.lock);
    return r;
}
