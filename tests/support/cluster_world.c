/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of the model, its collectors and its judge; cluster_world_people.c has the processes.
 */
#include "tests/support/cluster_world_internal.h"

#include <string.h>

#define SETTLE_STEPS 20000u

uint64_t world_below(struct world *w, uint64_t n)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

void world_break(struct world *w, const char *what)
{
    if (w->broken == NULL)
        w->broken = what;
}

unsigned world_head(const struct world *w)
{
    unsigned id = WORLD_IDS;
    while (id > 0 && w->log[id].kind == W_NONE)
        id--;
    return id;
}

unsigned world_log_epoch(const struct world *w)
{
    const unsigned head = world_head(w);
    return head > 0 ? w->log[head].epoch : 0; /* it never goes down */
}

unsigned world_newest_checkpoint(const struct world *w)
{
    const unsigned head = world_head(w);
    for (unsigned id = head; id > 0 && id >= w->log[head].start; id--)
        if (w->log[id].kind == W_CHECKPOINT)
            return id;
    return 0;
}

uint64_t world_refs(const struct world_record *record)
{
    uint64_t refs = 0;
    for (unsigned i = 0; i < WORLD_WORKERS && record->kind == W_CHECKPOINT; i++)
        refs |= record->parts[i];
    return refs;
}

uint64_t world_live(const struct world *w)
{
    const unsigned head = world_head(w);
    uint64_t live = 0;
    for (unsigned id = head; id > 0 && id >= w->log[head].start; id--)
        live |= world_refs(&w->log[id]);
    return live;
}

bool world_create_record(struct world *w, unsigned id, const struct world_record *record)
{
    if (id > WORLD_IDS) {
        w->is_full = true;
        return false;
    }
    if (w->log[id].kind != W_NONE)
        return false;
    const bool committed = w->log[id].committed;
    w->log[id] = *record;
    w->log[id].committed = committed;
    return true;
}

unsigned world_put_object(struct world *w, unsigned id, unsigned epoch)
{
    if (w->object_count == WORLD_OBJECTS) {
        w->is_full = true;
        return 0;
    }
    const unsigned object = w->object_count++;
    w->objects |= UINT64_C(1) << object;
    w->object_id[object] = (uint8_t)id;
    w->object_epoch[object] = (uint8_t)epoch;
    return object;
}

bool world_post(struct world *w, unsigned epoch, unsigned number, const struct world_post *post)
{
    if (number > WORLD_POSTS) {
        w->is_full = true;
        return false;
    }
    if (number <= w->post_count[epoch] && w->omitted != OMIT_CREATE_IF_ABSENT)
        return false;
    if (number > w->post_count[epoch] + 1)
        world_break(w, "the posts have a gap");
    w->posts[epoch][number] = *post;
    if (number > w->post_count[epoch])
        w->post_count[epoch] = number;
    return true;
}

/* --- collectors --- */

static uint64_t judge_dead(const struct world *w, const struct world_collection *c)
{
    const uint64_t live = world_live(w);
    uint64_t dead = 0;
    for (unsigned i = 0; i < w->object_count; i++) {
        const uint64_t bit = UINT64_C(1) << i;
        const bool is_unresolved = w->object_id[i] > c->head && w->object_epoch[i] >= c->epoch;
        if ((c->listed & bit) != 0 && (live & bit) == 0 &&
            (!is_unresolved || w->omitted == OMIT_RESOLVING))
            dead |= bit;
    }
    return dead;
}

static bool has_unresolved(const struct world *w, const struct world_collection *c)
{
    for (unsigned i = 0; i < w->object_count; i++)
        if ((c->listed >> i & 1) != 0 && w->object_id[i] > c->head &&
            w->object_epoch[i] >= c->epoch)
            return true;
    return false;
}

static void read_log(struct world *w, struct world_collection *c)
{
    c->head = world_head(w);
    c->epoch = world_log_epoch(w);
    c->dead = judge_dead(w, c);
    c->at = G_REMOVE;
    if (w->omitted == OMIT_RESOLVING || !has_unresolved(w, c))
        return;
    const struct world_record aborted = {
        .kind = W_ABORT, .epoch = c->epoch, .start = w->log[c->head].start};
    (void)world_create_record(w, c->head + 1, &aborted); /* whoever wins: it is decided */
    c->at = G_READ;
}

static void remove_one(struct world *w, struct world_collection *c)
{
    const uint64_t lowest = c->dead & (~c->dead + 1);
    w->objects &= ~lowest;
    c->dead &= ~lowest;
    if (c->dead == 0)
        c->at = G_IDLE;
}

void world_collect(struct world *w, struct world_collection *c)
{
    switch (c->at) {
    case G_IDLE:
        *c = (struct world_collection){.at = G_LIST};
        break;
    case G_LIST:
        c->listed = w->objects;
        c->at = G_READ;
        break;
    case G_READ:
        read_log(w, c);
        break;
    case G_REMOVE:
        remove_one(w, c);
        break;
    }
}

/* --- the judge --- */

static bool is_over(const struct world *w, unsigned epoch)
{
    const unsigned last = w->post_count[epoch];
    return w->posts[epoch][last].kind == W_REPLACED || w->posts[epoch][last].kind == W_ENDED;
}

static void judge(struct world *w)
{
    if ((world_live(w) & ~w->objects) != 0)
        world_break(w, "an object that a record of the log needs is gone");
    for (unsigned epoch = 1; epoch <= WORLD_EPOCHS; epoch++)
        if (w->is_told[epoch] && !is_over(w, epoch))
            world_break(w, "those who read a board do not hear that it is over");
}

void world_init(struct world *w, enum world_omission omitted, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->omitted = omitted;
    w->random = seed;
    w->coordinator_count = 1;
    for (unsigned i = 0; i < WORLD_WORKERS; i++)
        world_begin_life(w, i);
}

/* Somebody dies, or a coordinator too many is started. */
static void disturb(struct world *w)
{
    const uint64_t what = world_below(w, 900);
    if (what == 0 && w->coordinator_count <= WORLD_TAKEOVERS)
        w->coordinator_count++;
    if (what == 1)
        w->coordinators[world_below(w, w->coordinator_count)].crashed = true;
    if (what == 2)
        world_begin_life(w, (unsigned)world_below(w, WORLD_WORKERS));
}

static bool is_alive(const struct world_coordinator *c)
{
    return !c->crashed && c->at != C_OVER;
}

static void move_some_coordinator(struct world *w)
{
    const unsigned first = (unsigned)world_below(w, w->coordinator_count);
    for (unsigned i = 0; i < w->coordinator_count; i++) {
        const unsigned chosen = (first + i) % w->coordinator_count;
        if (is_alive(&w->coordinators[chosen])) {
            world_move_coordinator(w, chosen);
            return;
        }
    }
}

void world_step(struct world *w)
{
    if (w->is_full || w->broken != NULL)
        return;
    if (!w->is_calm)
        disturb(w);
    const uint64_t who = world_below(w, 16);
    if (who < 9)
        world_move_worker(w, (unsigned)(who % WORLD_WORKERS));
    else if (who < 15)
        move_some_coordinator(w);
    else if (w->collector.at != G_IDLE || (!w->is_calm && world_below(w, 12) == 0))
        world_collect(w, &w->collector);
    judge(w);
}

/* --- the end --- */

static bool is_settled(const struct world *w)
{
    const struct world_coordinator *newest = &w->coordinators[w->coordinator_count - 1];
    if (newest->checkpoints == 0 || newest->at != C_RUN)
        return false;
    for (unsigned i = 0; i + 1 < w->coordinator_count; i++)
        if (is_alive(&w->coordinators[i]))
            return false;
    for (unsigned i = 0; i < WORLD_WORKERS; i++)
        if (w->workers[i].at != L_RUN || w->workers[i].epoch != newest->epoch)
            return false;
    return true;
}

static void start_coordinator(struct world *w)
{
    if (w->coordinator_count < WORLD_EPOCHS)
        w->coordinator_count++;
    else
        w->is_full = true;
}

static void collect_all(struct world *w)
{
    w->coordinators[w->coordinator_count - 1].crashed = true; /* no attempt goes on */
    w->collector = (struct world_collection){.at = G_IDLE};
    for (unsigned i = 0; i < 2 * WORLD_OBJECTS + 64; i++) {
        world_collect(w, &w->collector);
        judge(w);
        if (w->collector.at == G_IDLE)
            break;
    }
    if (!w->is_full && w->objects != world_live(w))
        world_break(w, "garbage is left");
}

void world_settle(struct world *w)
{
    w->is_calm = true;
    start_coordinator(w);
    for (unsigned i = 0; i < SETTLE_STEPS && !w->is_full && !is_settled(w); i++) {
        if (!is_alive(&w->coordinators[w->coordinator_count - 1]))
            start_coordinator(w); /* by what watches over the service */
        world_step(w);
    }
    if (w->is_full || w->broken != NULL)
        return;
    if (is_settled(w))
        collect_all(w);
    else
        world_break(w, "it does not come to rest");
}
