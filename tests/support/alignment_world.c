/* SPDX-License-Identifier: Apache-2.0 */
/* The surroundings of an alignment, and the oracle of where each record has to be; see
 * alignment_world.h. */
#include "tests/support/alignment_world.h"

#include <string.h>

void world_init(struct world *world, enum crn_alignment_mode mode, bool collects)
{
    memset(world->channels, 0, sizeof world->channels);
    memset(world->flags, 0, sizeof world->flags);
    crn_alignment_init(&world->alignment, mode, collects, world->lane_count, world->channels,
                       world->flags);
}

void world_copy(struct world *to, const struct world *from)
{
    *to = *from;
    to->alignment.channels = to->channels;
    to->alignment.flags = to->flags;
}

/* ------------------------------------------------------------------------------------------ *
 * Where barriers lie
 * ------------------------------------------------------------------------------------------ */

/* Records of the lane in front of the barrier; of a lane that ends without it, all. */
static size_t records_before(const struct world_lane *lane, uint64_t id)
{
    size_t records = 0;
    for (size_t i = 0; i < lane->count; i++) {
        if (lane->items[i].kind == WORLD_BARRIER && lane->items[i].id >= id)
            return records;
        records += lane->items[i].kind == WORLD_RECORD;
    }
    return records;
}

static bool has_item(const struct world_lane *lane, enum world_item_kind kind, uint64_t id)
{
    for (size_t i = 0; i < lane->count; i++)
        if (lane->items[i].kind == kind && lane->items[i].id == id)
            return true;
    return false;
}

/* A later barrier comes out of it, and this one does not. */
static bool skips(const struct world_lane *lane, uint64_t id)
{
    for (size_t i = 0; i < lane->count; i++)
        if (lane->items[i].kind == WORLD_BARRIER && lane->items[i].id >= id)
            return lane->items[i].id != id;
    return false;
}

/* ------------------------------------------------------------------------------------------ *
 * The oracle
 * ------------------------------------------------------------------------------------------ */

static bool is_at_least_once(const struct world *world, const struct world_id *id)
{
    return world->alignment.mode == CRN_ALIGN_AT_LEAST_ONCE && !id->is_savepoint;
}

static bool may_overtake(const struct world *world, const struct world_id *id)
{
    return (world->alignment.mode == CRN_ALIGN_UNALIGNED ||
            world->alignment.mode == CRN_ALIGN_TIMED) &&
           !id->is_savepoint;
}

/* P2, of a checkpoint that the alignment calls complete. */
static const char *check_complete(const struct world *world, uint64_t number)
{
    const struct world_id *id = &world->ids[number];
    if (!id->taken || id->complete || id->dead)
        return "complete, but it was not taken, or is settled";
    for (uint32_t c = 0; c < world->lane_count; c++) {
        const struct world_lane *lane = &world->lanes[c];
        size_t before = records_before(lane, number);
        if (skips(lane, number))
            return "complete, but a channel has skipped its barrier";
        if (is_at_least_once(world, id)) {
            if (id->state[c] < before || id->in_flight[c] != 0)
                return "at least once: a record in front of the barrier is missing";
        } else if (id->state[c] + id->in_flight[c] != before) {
            return id->state[c] + id->in_flight[c] < before
                       ? "a record in front of the barrier is missing"
                       : "a record behind the barrier is in it, or one is in it twice";
        }
        if (id->in_flight[c] != 0 && !may_overtake(world, id))
            return "an aligned checkpoint has records in flight";
    }
    return NULL;
}

/* A checkpoint may be given up only for a reason that can be seen. */
static const char *check_given_up(const struct world *world, uint64_t number)
{
    const struct world_id *id = &world->ids[number];
    if (!id->requested || id->complete || id->dead)
        return "given up, but nobody wanted it any more";
    for (uint32_t c = 0; c < world->lane_count; c++)
        if (skips(&world->lanes[c], number) || has_item(&world->lanes[c], WORLD_CANCEL, number))
            return NULL;
    if (!world->freedom.serial && may_overtake(world, id))
        for (uint64_t later = number + 1; later <= world->id_count; later++)
            if (world->ids[later].requested && may_overtake(world, &world->ids[later]))
                return NULL;
    return "given up without a reason";
}

static const char *check_flags(const struct world *world)
{
    bool has_logged = false;
    for (uint32_t c = 0; c < world->lane_count; c++) {
        uint64_t out_id = world->channels[c].out_id;
        has_logged |= (world->flags[c] & CRN_CHANNEL_LOGGED) != 0;
        if (!(world->flags[c] & CRN_CHANNEL_BLOCKED))
            continue;
        const struct crn_alignment_entry *entry = crn_alignment_find(&world->alignment, out_id);
        if (entry == NULL || entry->phase == CRN_ALIGN_LOGGING ||
            is_at_least_once(world, &world->ids[out_id]))
            return "a channel is blocked for nothing";
    }
    if (has_logged && world->logging_id == 0)
        return "a channel is logged for nothing";
    return NULL;
}

static const char *follow(struct world *world, const struct crn_alignment_event *event)
{
    struct crn_alignment_decisions decisions;
    crn_alignment_step(&world->alignment, event, &decisions);
    for (size_t i = 0; i < decisions.given_up_count; i++) {
        uint64_t number = decisions.given_up[i];
        const char *why = check_given_up(world, number);
        if (why != NULL)
            return why;
        world->ids[number].dead = true;
        world->ids[number].requested = false;
        if (world->logging_id == number)
            world->logging_id = 0;
    }
    if (decisions.complete != 0) {
        const char *why = check_complete(world, decisions.complete);
        if (why != NULL)
            return why;
        world->ids[decisions.complete].complete = true;
        if (world->logging_id == decisions.complete)
            world->logging_id = 0;
    }
    return check_flags(world);
}

/* ------------------------------------------------------------------------------------------ *
 * Moves
 * ------------------------------------------------------------------------------------------ */

static bool is_settled(const struct world_id *id)
{
    return id->dead || id->complete || (id->decided && !id->requested);
}

static uint64_t next_undecided(const struct world *world)
{
    for (uint64_t id = 1; id <= world->id_count; id++)
        if (!world->ids[id].decided)
            return id;
    return 0;
}

/* A barrier exists only once the job has asked for it, if it does. */
static bool can_come_out(const struct world *world, uint32_t lane)
{
    const struct world_lane *l = &world->lanes[lane];
    if (l->out == l->count || crn_alignment_due(&world->alignment) != 0 ||
        (world->flags[lane] & (CRN_CHANNEL_BLOCKED | CRN_CHANNEL_ENDED)))
        return false;
    const struct world_item *item = &l->items[l->out];
    return item->id == 0 || world->ids[item->id].decided;
}

/* The next barrier that the reader can see and has not told of; 0: none. */
static size_t next_to_announce(const struct world *world, uint32_t lane)
{
    const struct world_lane *l = &world->lanes[lane];
    size_t i = l->announced > l->out ? l->announced : l->out;
    if (world->flags[lane] & (CRN_CHANNEL_BLOCKED | CRN_CHANNEL_ENDED))
        return 0;
    for (; i < l->count; i++) {
        if (l->items[i].id != 0 && !world->ids[l->items[i].id].decided)
            return 0;
        if (l->items[i].kind == WORLD_BARRIER)
            return i + 1;
    }
    return 0;
}

static size_t add(struct world_move *moves, size_t count, struct world_move move)
{
    moves[count] = move;
    return count + 1;
}

static size_t job_moves(const struct world *world, struct world_move *moves, size_t n)
{
    const struct world_freedom *free = &world->freedom;
    uint64_t next = next_undecided(world);
    bool is_busy = false;
    for (uint64_t id = 1; id <= world->id_count; id++) {
        const struct world_id *i = &world->ids[id];
        is_busy |= free->serial && i->decided && !is_settled(i);
        if (i->requested && !is_settled(i)) {
            if (free->withdraws)
                n = add(moves, n, (struct world_move){.kind = MOVE_WITHDRAW, .id = id});
            if (free->timeouts && !i->timed_out)
                n = add(moves, n, (struct world_move){.kind = MOVE_TIMEOUT, .id = id});
        }
    }
    if (next != 0 && !is_busy)
        n = add(moves, n, (struct world_move){.kind = MOVE_REQUEST, .id = next});
    if (next != 0 && !is_busy && free->unknowns)
        n = add(moves, n, (struct world_move){.kind = MOVE_UNKNOWN, .id = next});
    return n;
}

size_t world_moves(const struct world *world, struct world_move moves[WORLD_MOVES_MAX])
{
    size_t n = 0;
    for (uint32_t c = 0; c < world->lane_count; c++) {
        if (can_come_out(world, c))
            n = add(moves, n, (struct world_move){.kind = MOVE_OUT, .lane = c});
        if (world->freedom.announces && next_to_announce(world, c) != 0)
            n = add(moves, n, (struct world_move){.kind = MOVE_ANNOUNCE, .lane = c});
    }
    bool is_due = crn_alignment_due(&world->alignment) != 0;
    if (is_due || crn_alignment_wants_collect(&world->alignment))
        n = add(moves, n, (struct world_move){.kind = MOVE_POLL});
    if (is_due && world->freedom.fails)
        n = add(moves, n, (struct world_move){.kind = MOVE_FAIL});
    return job_moves(world, moves, n);
}

static const char *come_out(struct world *world, uint32_t lane)
{
    struct world_lane *l = &world->lanes[lane];
    const struct world_item *item = &l->items[l->out++];
    struct crn_alignment_event event = {.channel = lane, .id = item->id};
    switch (item->kind) {
    case WORLD_RECORD:
        if (world->flags[lane] & CRN_CHANNEL_LOGGED) {
            struct world_id *id = &world->ids[world->logging_id];
            if (id->state[lane] + id->in_flight[lane] != l->records)
                return "records in flight are not in their order, or one is there twice";
            id->in_flight[lane]++;
        }
        l->records++;
        return NULL;
    case WORLD_BARRIER:
        event.kind = CRN_ALIGN_BARRIER;
        break;
    case WORLD_CANCEL:
        event.kind = CRN_ALIGN_CANCEL;
        break;
    case WORLD_END:
        event.kind = CRN_ALIGN_END;
        break;
    }
    return follow(world, &event);
}

/* Everything that is queued in front of the barrier. */
static const char *collect(struct world *world, uint32_t lane)
{
    const struct world_lane *l = &world->lanes[lane];
    struct world_id *id = &world->ids[world->logging_id];
    size_t records = l->records;
    for (size_t i = l->out;; i++) {
        if (i == l->count)
            return "asked to collect where no barrier is";
        if (l->items[i].kind == WORLD_BARRIER && l->items[i].id == world->logging_id)
            break;
        if (l->items[i].kind != WORLD_RECORD)
            continue;
        if (id->state[lane] + id->in_flight[lane] != records)
            return "collected records are not in their order, or one is there twice";
        id->in_flight[lane]++;
        records++;
    }
    return follow(world,
                  &(struct crn_alignment_event){.kind = CRN_ALIGN_COLLECTED, .channel = lane});
}

static const char *poll(struct world *world)
{
    const char *why = NULL;
    uint64_t due = crn_alignment_due(&world->alignment);
    uint32_t lane;
    if (due != 0) {
        struct world_id *id = &world->ids[due];
        if (!id->requested || id->taken)
            return "due, but nobody wants it, or it was taken";
        for (uint64_t later = due + 1; later <= world->id_count; later++)
            if (world->ids[later].taken)
                return "taken out of order";
        id->taken = true;
        for (uint32_t c = 0; c < world->lane_count; c++)
            id->state[c] = world->lanes[c].records;
        if (crn_alignment_find(&world->alignment, due)->missing > 0)
            world->logging_id = due;
        why = follow(world, &(struct crn_alignment_event){.kind = CRN_ALIGN_TAKEN});
    }
    while (why == NULL && crn_alignment_next_collect(&world->alignment, &lane))
        why = collect(world, lane);
    return why;
}

static const char *withdraw(struct world *world, uint64_t id)
{
    world->ids[id].requested = false;
    world->ids[id].dead = true;
    if (world->logging_id == id)
        world->logging_id = 0;
    return follow(world, &(struct crn_alignment_event){.kind = CRN_ALIGN_WITHDRAW, .id = id});
}

static const char *announce(struct world *world, uint32_t lane)
{
    struct world_lane *l = &world->lanes[lane];
    l->announced = next_to_announce(world, lane);
    return follow(world, &(struct crn_alignment_event){
                             .kind = CRN_ALIGN_ANNOUNCE,
                             .channel = lane,
                             .id = l->items[l->announced - 1].id,
                         });
}

const char *world_step(struct world *world, const struct world_move *move)
{
    struct world_id *id = &world->ids[move->id];
    switch (move->kind) {
    case MOVE_OUT:
        return come_out(world, move->lane);
    case MOVE_ANNOUNCE:
        return announce(world, move->lane);
    case MOVE_POLL:
        return poll(world);
    case MOVE_FAIL:
        return withdraw(world, crn_alignment_due(&world->alignment));
    case MOVE_REQUEST:
        id->decided = id->requested = true;
        return follow(world, &(struct crn_alignment_event){
                                 .kind = CRN_ALIGN_REQUEST,
                                 .id = move->id,
                                 .is_savepoint = id->is_savepoint,
                             });
    case MOVE_UNKNOWN:
        id->decided = true;
        return NULL;
    case MOVE_WITHDRAW:
        return withdraw(world, move->id);
    case MOVE_TIMEOUT:
        id->timed_out = true;
        return follow(world,
                      &(struct crn_alignment_event){.kind = CRN_ALIGN_TIMEOUT, .id = move->id});
    }
    return "no such move";
}

const char *world_check_end(const struct world *world)
{
    if (world->alignment.entry_count != 0)
        return "nothing can happen any more, and a checkpoint is not settled";
    for (uint32_t c = 0; c < world->lane_count; c++)
        if (world->lanes[c].out != world->lanes[c].count)
            return "nothing can happen any more, and a channel is not empty";
    for (uint64_t id = 1; id <= world->id_count; id++)
        if (!is_settled(&world->ids[id]))
            return "nothing can happen any more, and the job still waits";
    return NULL;
}
