/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_ALIGNMENT_H
#define CRN_ENGINE_ALIGNMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * When is the barrier of a task with several inputs due, and what happens to its channels
 * meanwhile? A pure state machine: no clock, no I/O, no threads, no memory but what init is given.
 * Events go in by crn_alignment_step(); what follows from them comes out as decisions, and as
 * questions that can be asked at any time (due, flags, next_collect).
 *
 * A checkpoint (an *entry*) is known from its REQUEST on; barriers of an id that has no entry are
 * late, double or foreign, and change nothing.
 *
 *   REQUEST --> WAITING --first sign of it in a channel--> GATHERING
 *                  |                                           |
 *                  |  missing == 0, or it overtakes and has a sign; no older entry waits or gathers
 *                  +---------------------> DUE <---------------+
 *                                           | TAKEN
 *                missing == 0: complete <---+---> LOGGING --missing == 0--> complete
 *   any of them: WITHDRAW (the job's), CANCEL (in band), skipped, or replaced: gone
 *
 * `missing` counts channels that have not ended and whose records before this barrier are not all
 * accounted for: the barrier has not come out, and they were not collected. Which channels these
 * are, each channel's done_id says: barriers come in the order of their ids, so one number stands
 * for all.
 *
 * A sign is a barrier that came out, or, where barriers may overtake, one that was announced. An
 * entry overtakes in the unaligned mode at once and in the timed mode from its TIMEOUT on, but
 * never a savepoint's. A channel that brings a later barrier than the one it owes has skipped that
 * one, which then cannot get complete: it is given up. So is an entry that still logs, or is due
 * without being gathered, when a later one overtakes: one set of records in flight at a time.
 *
 * Invariants, for every channel c and every id that is taken (P2), with r a record of c in front of
 * c's barrier:
 *   - aligned: r came out before TAKEN, and no record behind the barrier did (c was BLOCKED);
 *   - overtaking: r came out before TAKEN, or it came out while c had LOGGED set, or it was
 * collected after TAKEN and comes out while LOGGED is not set: exactly one of these; and no record
 * behind the barrier did any of them;
 *   - at least once: r came out before TAKEN.
 * And: ids are taken in ascending order, each once; entries ascend; a channel is BLOCKED only by an
 * entry that gathers or is due; between "due" and TAKEN the caller takes nothing out of any
 * channel.
 *
 * Every event costs O(1) of channels, but for TAKEN and what ends an entry, which look at all.
 */

enum crn_alignment_mode {
    CRN_ALIGN_ALIGNED,
    CRN_ALIGN_AT_LEAST_ONCE,
    CRN_ALIGN_UNALIGNED,
    CRN_ALIGN_TIMED /* aligned, and overtaking from the TIMEOUT on */
};

/* Of a channel, in flags[]: 0 is the usual case. */
enum {
    CRN_CHANNEL_BLOCKED = 1, /* its barrier waits for the others': take nothing out of it */
    CRN_CHANNEL_ENDED = 2,
    CRN_CHANNEL_LOGGED = 4 /* what comes out belongs to the checkpoint that logs, too */
};

enum crn_alignment_phase {
    CRN_ALIGN_WAITING,
    CRN_ALIGN_GATHERING,
    CRN_ALIGN_DUE,
    CRN_ALIGN_LOGGING
};

enum crn_alignment_event_kind {
    CRN_ALIGN_REQUEST,  /* id, is_savepoint: the job wants it; ids ascend */
    CRN_ALIGN_WITHDRAW, /* id: the job gave it up, or taking it failed */
    CRN_ALIGN_ANNOUNCE, /* channel, id: the barrier is queued in it */
    CRN_ALIGN_BARRIER,  /* channel, id: it came out */
    CRN_ALIGN_CANCEL,   /* id: word of its end came out of a channel */
    CRN_ALIGN_END,      /* channel: nothing more will come out of it */
    CRN_ALIGN_TIMEOUT,  /* id: it may overtake from now on */
    CRN_ALIGN_TAKEN,    /* the due one: the state is taken */
    CRN_ALIGN_COLLECTED /* channel: what is queued in front of the logging entry's barrier is kept
                         */
};

struct crn_alignment_event {
    enum crn_alignment_event_kind kind;
    uint32_t channel; /* open and not BLOCKED */
    uint64_t id;
    bool is_savepoint;
};

/* More than can be in flight at once. */
#define CRN_ALIGN_ENTRIES_MAX 16u

struct crn_alignment_decisions {
    uint64_t given_up[CRN_ALIGN_ENTRIES_MAX]; /* these cannot get complete here: tell the job */
    size_t given_up_count;
    uint64_t complete; /* a taken one has all its records in flight; 0: none */
};

struct crn_alignment_channel {
    uint64_t out_id;       /* newest known barrier that came out */
    uint64_t done_id;      /* newest one that it does not owe any more: came out, or collected */
    uint64_t announced_id; /* newest one that was announced */
    uint32_t next;         /* to be collected: the channel after this one */
    bool is_listed;        /* is in that list */
};

struct crn_alignment_entry {
    uint64_t id;
    enum crn_alignment_phase phase;
    bool is_savepoint;
    bool overtakes;
    uint32_t missing;
};

struct crn_alignment {
    enum crn_alignment_mode mode; /* constant */
    bool collects;                /* constant: announced channels can be asked for what is queued */
    uint32_t channel_count, open_count;
    struct crn_alignment_channel *channels;                    /* the caller's */
    uint8_t *flags;                                            /* the caller's */
    struct crn_alignment_entry entries[CRN_ALIGN_ENTRIES_MAX]; /* ids ascend */
    size_t entry_count;
    uint64_t newest_id;                   /* of all requests */
    uint32_t collect_first, collect_last; /* list of channels; channel_count: empty */
};

/* channels and flags have channel_count elements, all zero. */
void crn_alignment_init(struct crn_alignment *alignment, enum crn_alignment_mode mode,
                        bool collects, uint32_t channel_count,
                        struct crn_alignment_channel *channels, uint8_t *flags);
void crn_alignment_step(struct crn_alignment *alignment, const struct crn_alignment_event *event,
                        struct crn_alignment_decisions *ret);
/* The id whose state is to be taken now, before anything else comes out of a channel; 0: none. */
uint64_t crn_alignment_due(const struct crn_alignment *alignment);
/* The entry with this id; NULL: there is none. */
const struct crn_alignment_entry *crn_alignment_find(const struct crn_alignment *alignment,
                                                     uint64_t id);
/* A channel to collect from for the entry that logs: do it, and say COLLECTED. false: none. */
bool crn_alignment_next_collect(struct crn_alignment *alignment, uint32_t *ret_channel);
/* May there be one? */
static inline bool crn_alignment_wants_collect(const struct crn_alignment *alignment)
{
    return alignment->collect_first != alignment->channel_count;
}

#endif
