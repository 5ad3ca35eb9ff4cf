/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CLUSTER_WORLD_H
#define CRN_TESTS_CLUSTER_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A model of a job in several processes: one store, coordinators that replace one another, and
 * workers with one subtask each. Every move is one operation on the store by one process, as
 * engine/cluster/ and engine/job/ do it, so any order of moves is what delays, stalls and deaths
 * can make of it. After each move the store is judged: what the newest record needs is there, and
 * an id is committed once.
 *
 * A rule of the protocol can be left out, to see that the world would notice.
 */

#define WORLD_WORKERS 3u
#define WORLD_EPOCHS 9u
#define WORLD_TAKEOVERS 4u /* while people still die */
#define WORLD_IDS 48u
#define WORLD_OBJECTS 64u
#define WORLD_POSTS 96u
#define WORLD_MAILS 48u
#define WORLD_FLIGHTS 2u
#define WORLD_LIVES 48u /* incarnations of workers, all together */

enum world_omission {
    OMIT_NOTHING,
    OMIT_NEIGHBOURS,      /* a writer does not look for ids above one that it has created */
    OMIT_FLOOR,           /* workers build on whatever they have */
    OMIT_FLIGHTS,         /* the log's begin does not wait for attempts in flight */
    OMIT_COMMITTING,      /* a new attempt may build on what a record under way leaves behind */
    OMIT_ABORTED_FIRST,   /* workers remove what they brought when they decline or are replaced */
    OMIT_RESOLVING,       /* collectors take what is of an id above the head for dead */
    OMIT_TRYING_NEXT,     /* a successor posts REPLACED once, wherever that gets */
    OMIT_CREATE_IF_ABSENT /* posts overwrite */
};

enum world_post_kind { W_PLAN, W_START, W_TRIGGER, W_COMPLETE, W_ABORTED, W_ENDED, W_REPLACED };

struct world_post {
    enum world_post_kind kind;
    unsigned author; /* epoch */
    unsigned id, floor;
    unsigned members[WORLD_WORKERS]; /* lives */
};

struct world_mail {
    enum { W_JOIN, W_ACK, W_DECLINE } kind;
    unsigned id, base;
    uint64_t refs;
};

struct world_record {
    enum { W_NONE, W_FENCE, W_CHECKPOINT, W_ABORT } kind; /* W_NONE: nothing is there */
    unsigned epoch, start;
    uint64_t parts[WORLD_WORKERS];
    bool committed; /* somebody was told that it is his */
};

/* What one collector is at. */
struct world_collection {
    enum { G_IDLE, G_LIST, G_READ, G_REMOVE } at;
    uint64_t listed, dead;
    unsigned head, epoch;
};

struct world_flight {
    bool is_used, removes; /* removes: its object has to go */
    unsigned id, floor, base;
    uint64_t refs, own;
    bool uploaded, told;
    unsigned acks; /* coordinators: a bit per worker */
    bool declined;
    uint64_t parts[WORLD_WORKERS];
};

struct world_coordinator {
    enum { C_READ, C_FENCE, C_COLLECT, C_FIND, C_REPLACE, C_PLAN, C_GATHER, C_RUN, C_OVER } at;
    bool crashed, replaced;
    unsigned epoch, head, start, base, committing_start;
    unsigned old_epoch, old_number; /* whom it replaces, and where */
    unsigned created;               /* id of a record that stands, and is not yet judged */
    unsigned next_post, next_mail[WORLD_WORKERS], members[WORLD_WORKERS];
    struct world_post outbox[16];
    unsigned outbox_count;
    struct world_flight flights[WORLD_FLIGHTS]; /* oldest first */
    unsigned flight_count;
    struct world_collection collection;
    unsigned doomed_from, doomed_to; /* manifests to remove */
    uint64_t doomed;                 /* objects behind them */
    unsigned checkpoints;
};

struct world_worker {
    enum { L_LOOK, L_RESTORE, L_JOIN, L_START, L_RUN } at;
    unsigned life, epoch, next_post, next_mail, restored, base;
    uint64_t base_refs;
    struct world_flight flights[WORLD_FLIGHTS];
};

struct world {
    enum world_omission omitted;
    uint64_t random;
    const char *broken; /* what is wrong, the first time that something is */
    bool is_full;       /* the model's arrays are */
    /* The store. */
    struct world_record log[WORLD_IDS + 1];
    uint64_t objects;
    uint8_t object_id[WORLD_OBJECTS], object_epoch[WORLD_OBJECTS];
    unsigned object_count;
    struct world_post posts[WORLD_EPOCHS + 1][WORLD_POSTS + 1];
    unsigned post_count[WORLD_EPOCHS + 1];
    bool is_told[WORLD_EPOCHS + 1]; /* a successor holds it for over */
    struct world_mail mails[WORLD_LIVES][WORLD_MAILS + 1];
    unsigned mail_count[WORLD_LIVES];
    unsigned mail_epoch[WORLD_LIVES], mail_slot[WORLD_LIVES];
    unsigned life_count;
    /* The processes. */
    struct world_coordinator coordinators[WORLD_EPOCHS];
    unsigned coordinator_count;
    struct world_worker workers[WORLD_WORKERS];
    struct world_collection collector;
    bool is_calm; /* nobody dies, comes or gives up any more */
};

void world_init(struct world *w, enum world_omission omitted, uint64_t seed);
/* One move of somebody. */
void world_step(struct world *w);
/* From here on nobody dies, and a coordinator that ends is started again. Moves until the newest
 * has committed, and all others know; then collects. Sets `broken` if that does not come about, or
 * garbage is left. */
void world_settle(struct world *w);

#endif
