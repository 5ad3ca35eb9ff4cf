/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_ALIGNMENT_WORLD_H
#define CRN_TESTS_ALIGNMENT_WORLD_H

#include "engine/gate/alignment.h"

/* A gate's surroundings for the pure alignment: channels with records and barriers in them, a job
 * that wants checkpoints and gives some up, and an oracle. The oracle knows where each barrier lies
 * among the records of its channel, so it knows of every record whether a checkpoint must have it
 * in its state, in flight, or not at all (P2). Everything that can happen next is a move; a world
 * is plain data, so it can be copied and continued in several ways. */

#define WORLD_LANES_MAX 4u
#define WORLD_ITEMS_MAX 40u
#define WORLD_IDS_MAX 6u
#define WORLD_MOVES_MAX 64u

enum world_item_kind { WORLD_RECORD, WORLD_BARRIER, WORLD_CANCEL, WORLD_END };

struct world_item {
    enum world_item_kind kind;
    uint64_t id; /* BARRIER, CANCEL */
};

struct world_lane {
    struct world_item items[WORLD_ITEMS_MAX]; /* END is the last one */
    size_t count;
    size_t out;       /* items that have come out */
    size_t announced; /* items up to which the reader has looked ahead */
    size_t records;   /* that have come out */
};

struct world_id {
    bool decided;      /* the job has asked for it, or never will */
    bool requested;    /* and has not given it up */
    bool is_savepoint; /* constant */
    bool taken, complete, dead, timed_out;
    size_t state[WORLD_LANES_MAX];     /* records that came out before it was taken */
    size_t in_flight[WORLD_LANES_MAX]; /* behind those: that many, in their order */
};

/* Which moves there are beside what the channels bring. */
struct world_freedom {
    bool announces, timeouts, withdraws, fails, unknowns;
    bool serial; /* one checkpoint at a time, as unaligned ones are */
};

struct world {
    struct crn_alignment alignment;
    struct crn_alignment_channel channels[WORLD_LANES_MAX];
    uint8_t flags[WORLD_LANES_MAX];
    struct world_lane lanes[WORLD_LANES_MAX];
    uint32_t lane_count;
    struct world_id ids[WORLD_IDS_MAX + 1]; /* from 1 */
    uint64_t id_count;
    uint64_t logging_id;
    struct world_freedom freedom;
};

struct world_move {
    enum {
        MOVE_OUT,      /* lane: its next item comes out */
        MOVE_ANNOUNCE, /* lane: its next barrier that was not announced is */
        MOVE_POLL,     /* take what is due, collect what is wanted */
        MOVE_FAIL,     /* what is due cannot be taken */
        MOVE_REQUEST,  /* id */
        MOVE_UNKNOWN,  /* id: never asked for */
        MOVE_WITHDRAW, /* id */
        MOVE_TIMEOUT   /* id */
    } kind;
    uint32_t lane;
    uint64_t id;
};

/* Lanes, ids and freedom are filled in. */
void world_init(struct world *world, enum crn_alignment_mode mode, bool collects);
void world_copy(struct world *to, const struct world *from);
size_t world_moves(const struct world *world, struct world_move moves[WORLD_MOVES_MAX]);
/* What is wrong afterwards, in words; NULL: all is right. */
const char *world_step(struct world *world, const struct world_move *move);
/* No move is left: is everything settled? The same. */
const char *world_check_end(const struct world *world);

#endif
