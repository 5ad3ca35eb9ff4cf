/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The alignment of a task's channels; states, events and invariants are in alignment.h.
 *
 * Pure. Proved by tests/test_alignment.c, against an oracle that knows for each record whether it
 * has to be in the state, in flight, or behind the barrier (P2).
 */
#include "engine/gate/alignment.h"

#include <assert.h>
#include <string.h>

void crn_alignment_init(struct crn_alignment *alignment, enum crn_alignment_mode mode,
                        bool collects, uint32_t channel_count,
                        struct crn_alignment_channel *channels, uint8_t *flags)
{
    *alignment = (struct crn_alignment){
        .mode = mode,
        .collects = collects,
        .channel_count = channel_count,
        .open_count = channel_count,
        .channels = channels,
        .flags = flags,
        .collect_first = channel_count,
        .collect_last = channel_count,
    };
}

static struct crn_alignment_entry *find(struct crn_alignment *a, uint64_t id)
{
    for (size_t i = 0; i < a->entry_count; i++)
        if (a->entries[i].id == id)
            return &a->entries[i];
    return NULL;
}

const struct crn_alignment_entry *crn_alignment_find(const struct crn_alignment *alignment,
                                                     uint64_t id)
{
    for (size_t i = 0; i < alignment->entry_count; i++)
        if (alignment->entries[i].id == id)
            return &alignment->entries[i];
    return NULL;
}

uint64_t crn_alignment_due(const struct crn_alignment *alignment)
{
    for (size_t i = 0; i < alignment->entry_count; i++)
        if (alignment->entries[i].phase == CRN_ALIGN_DUE)
            return alignment->entries[i].id;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Channels to collect from
 * ------------------------------------------------------------------------------------------ */

static void list_channel(struct crn_alignment *a, uint32_t channel)
{
    struct crn_alignment_channel *c = &a->channels[channel];
    if (!a->collects || c->is_listed)
        return;
    c->is_listed = true;
    c->next = a->channel_count;
    if (a->collect_first == a->channel_count)
        a->collect_first = channel;
    else
        a->channels[a->collect_last].next = channel;
    a->collect_last = channel;
}

static struct crn_alignment_entry *find_logging(struct crn_alignment *a)
{
    for (size_t i = 0; i < a->entry_count; i++)
        if (a->entries[i].phase == CRN_ALIGN_LOGGING)
            return &a->entries[i];
    return NULL;
}

bool crn_alignment_next_collect(struct crn_alignment *alignment, uint32_t *ret_channel)
{
    const struct crn_alignment_entry *entry = find_logging(alignment);
    while (alignment->collect_first != alignment->channel_count) {
        uint32_t channel = alignment->collect_first;
        struct crn_alignment_channel *c = &alignment->channels[channel];
        alignment->collect_first = c->next;
        c->is_listed = false;
        /* Since it was listed it may have ended, its barrier may have come out, or the entry may
         * have gone. */
        if (entry != NULL && c->announced_id == entry->id &&
            (alignment->flags[channel] & CRN_CHANNEL_LOGGED)) {
            *ret_channel = channel;
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------------ *
 * Ends of an entry
 * ------------------------------------------------------------------------------------------ */

/* Channels that wait for this entry, or are logged for it, are free again. */
static void free_channels(struct crn_alignment *a, const struct crn_alignment_entry *entry)
{
    uint8_t kept = (uint8_t) ~(entry->phase == CRN_ALIGN_LOGGING ? CRN_CHANNEL_LOGGED : 0u);
    for (uint32_t i = 0; i < a->channel_count; i++) {
        a->flags[i] &= kept;
        if (a->channels[i].out_id == entry->id)
            a->flags[i] &= (uint8_t)~CRN_CHANNEL_BLOCKED;
    }
}

static void remove_entry(struct crn_alignment *a, struct crn_alignment_entry *entry)
{
    free_channels(a, entry);
    size_t i = (size_t)(entry - a->entries);
    a->entry_count--;
    memmove(entry, entry + 1, (a->entry_count - i) * sizeof *entry);
}

static void give_up(struct crn_alignment *a, struct crn_alignment_entry *entry,
                    struct crn_alignment_decisions *ret)
{
    ret->given_up[ret->given_up_count++] = entry->id;
    remove_entry(a, entry);
}

/* It was taken, and every record in front of its barrier is accounted for. */
static void finish(struct crn_alignment *a, struct crn_alignment_entry *entry,
                   struct crn_alignment_decisions *ret)
{
    ret->complete = entry->id;
    remove_entry(a, entry);
}

/* ------------------------------------------------------------------------------------------ *
 * Which entries are due
 * ------------------------------------------------------------------------------------------ */

/* entries[i] overtakes: what logs before it, or would, can go on no longer. Returns where it is
 * then. */
static size_t replace_older(struct crn_alignment *a, size_t i, struct crn_alignment_decisions *ret)
{
    for (size_t k = 0; k < i;)
        if (a->entries[k].missing > 0) {
            give_up(a, &a->entries[k], ret);
            i--;
        } else {
            k++;
        }
    return i;
}

/* Oldest first, up to the first one that has to wait: ids are taken in order. */
static void find_due(struct crn_alignment *a, struct crn_alignment_decisions *ret)
{
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct crn_alignment_entry *entry = &a->entries[i];
        if (entry->phase == CRN_ALIGN_DUE || entry->phase == CRN_ALIGN_LOGGING)
            continue;
        if (entry->missing > 0) {
            if (!entry->overtakes || entry->phase != CRN_ALIGN_GATHERING)
                return;
            i = replace_older(a, i, ret);
        }
        a->entries[i].phase = CRN_ALIGN_DUE;
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Events
 * ------------------------------------------------------------------------------------------ */

static void on_request(struct crn_alignment *a, uint64_t id, bool is_savepoint)
{
    if (id <= a->newest_id)
        return;
    assert(a->entry_count < CRN_ALIGN_ENTRIES_MAX); /* the job has fewer in flight */
    a->newest_id = id;
    a->entries[a->entry_count++] = (struct crn_alignment_entry){
        .id = id,
        .phase = CRN_ALIGN_WAITING,
        .is_savepoint = is_savepoint,
        .overtakes = a->mode == CRN_ALIGN_UNALIGNED && !is_savepoint,
        .missing = a->open_count,
    };
}

/* The channel owes this barrier no longer. */
static void settle(struct crn_alignment *a, uint32_t channel, struct crn_alignment_entry *entry,
                   struct crn_alignment_decisions *ret)
{
    struct crn_alignment_channel *c = &a->channels[channel];
    if (c->done_id >= entry->id)
        return;
    c->done_id = entry->id;
    entry->missing--;
    if (entry->phase != CRN_ALIGN_LOGGING)
        return;
    a->flags[channel] &= (uint8_t)~CRN_CHANNEL_LOGGED;
    if (entry->missing == 0)
        finish(a, entry, ret);
}

static void give_up_skipped(struct crn_alignment *a, uint64_t done_id, uint64_t id,
                            struct crn_alignment_decisions *ret)
{
    for (size_t i = 0; i < a->entry_count && a->entries[i].id < id;)
        if (a->entries[i].id > done_id)
            give_up(a, &a->entries[i], ret);
        else
            i++;
}

/* Does a channel whose barrier has come wait for the others? */
static bool holds(const struct crn_alignment *a, const struct crn_alignment_entry *entry)
{
    if (entry->phase == CRN_ALIGN_LOGGING || entry->overtakes)
        return false;
    return entry->is_savepoint || a->mode != CRN_ALIGN_AT_LEAST_ONCE;
}

static void on_barrier(struct crn_alignment *a, uint32_t channel, uint64_t id,
                       struct crn_alignment_decisions *ret)
{
    struct crn_alignment_channel *c = &a->channels[channel];
    if (id > a->newest_id || c->out_id >= id)
        return;
    give_up_skipped(a, c->done_id, id, ret);
    c->out_id = id;
    struct crn_alignment_entry *entry = find(a, id);
    if (entry == NULL)
        return;
    if (entry->phase == CRN_ALIGN_WAITING)
        entry->phase = CRN_ALIGN_GATHERING;
    if (holds(a, entry))
        a->flags[channel] |= CRN_CHANNEL_BLOCKED;
    settle(a, channel, entry, ret);
}

static void on_announce(struct crn_alignment *a, uint32_t channel, uint64_t id)
{
    struct crn_alignment_channel *c = &a->channels[channel];
    struct crn_alignment_entry *entry = find(a, id);
    bool may_overtake = a->mode == CRN_ALIGN_UNALIGNED || a->mode == CRN_ALIGN_TIMED;
    if (entry == NULL || entry->is_savepoint || !may_overtake || c->done_id >= id ||
        c->announced_id >= id)
        return;
    c->announced_id = id;
    if (entry->phase == CRN_ALIGN_WAITING)
        entry->phase = CRN_ALIGN_GATHERING;
    if (entry->phase == CRN_ALIGN_LOGGING)
        list_channel(a, channel);
}

static void on_end(struct crn_alignment *a, uint32_t channel, struct crn_alignment_decisions *ret)
{
    a->flags[channel] |= CRN_CHANNEL_ENDED;
    a->open_count--;
    for (size_t i = 0; i < a->entry_count;) {
        size_t before = a->entry_count;
        settle(a, channel, &a->entries[i], ret);
        i += a->entry_count == before; /* else another one stands there now */
    }
}

static void on_timeout(struct crn_alignment *a, uint64_t id)
{
    struct crn_alignment_entry *entry = find(a, id);
    if (entry == NULL || entry->is_savepoint || a->mode != CRN_ALIGN_TIMED)
        return;
    entry->overtakes = true;
}

static void on_taken(struct crn_alignment *a, struct crn_alignment_decisions *ret)
{
    struct crn_alignment_entry *entry = find(a, crn_alignment_due(a));
    assert(entry != NULL);
    if (entry->missing == 0) {
        finish(a, entry, ret);
        return;
    }
    free_channels(a, entry);
    entry->phase = CRN_ALIGN_LOGGING;
    for (uint32_t i = 0; i < a->channel_count; i++) {
        if ((a->flags[i] & CRN_CHANNEL_ENDED) || a->channels[i].done_id >= entry->id)
            continue;
        a->flags[i] |= CRN_CHANNEL_LOGGED;
        if (a->channels[i].announced_id == entry->id)
            list_channel(a, i);
    }
}

static void on_collected(struct crn_alignment *a, uint32_t channel,
                         struct crn_alignment_decisions *ret)
{
    struct crn_alignment_entry *entry = find_logging(a);
    if (entry != NULL)
        settle(a, channel, entry, ret);
}

static void on_gone(struct crn_alignment *a, uint64_t id, struct crn_alignment_decisions *tell)
{
    struct crn_alignment_entry *entry = find(a, id);
    if (entry == NULL)
        return;
    if (tell != NULL)
        give_up(a, entry, tell);
    else
        remove_entry(a, entry);
}

void crn_alignment_step(struct crn_alignment *alignment, const struct crn_alignment_event *event,
                        struct crn_alignment_decisions *ret)
{
    *ret = (struct crn_alignment_decisions){0};
    switch (event->kind) {
    case CRN_ALIGN_REQUEST:
        on_request(alignment, event->id, event->is_savepoint);
        break;
    case CRN_ALIGN_WITHDRAW:
        on_gone(alignment, event->id, NULL);
        break;
    case CRN_ALIGN_ANNOUNCE:
        on_announce(alignment, event->channel, event->id);
        break;
    case CRN_ALIGN_BARRIER:
        on_barrier(alignment, event->channel, event->id, ret);
        break;
    case CRN_ALIGN_CANCEL:
        on_gone(alignment, event->id, ret);
        break;
    case CRN_ALIGN_END:
        on_end(alignment, event->channel, ret);
        break;
    case CRN_ALIGN_TIMEOUT:
        on_timeout(alignment, event->id);
        break;
    case CRN_ALIGN_TAKEN:
        on_taken(alignment, ret);
        break;
    case CRN_ALIGN_COLLECTED:
        on_collected(alignment, event->channel, ret);
        break;
    }
    find_due(alignment, ret);
}
