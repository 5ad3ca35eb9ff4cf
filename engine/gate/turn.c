/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gate does when its task polls, and around its barrier.
 *
 * runtime->pending says whether poll has to ask: CRN_PENDING_GATE when the driver wants or gives up
 * a checkpoint, a barrier is due, or something is to be collected; CRN_PENDING_CLOCK when an
 * alignment may run out of time. Both are off between checkpoints, so poll stays cheap while
 * barriers are on their way.
 *
 * Taking a barrier (P2): prepare (what was restored and not fetched goes into the checkpoint), the
 * state itself (task_poll.c), taken. From there on what comes out of a channel in front of its
 * barrier is kept in `log`, until the alignment says that all is there. Between "due" and taken
 * `hold` lets nothing out of any channel.
 *
 * Locks: job->lock for which checkpoints are wanted; the service's collect is called without it.
 */
#include "engine/gate/gate.h"

#include "engine/savepoint/savepoint.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------------ *
 * Times
 * ------------------------------------------------------------------------------------------ */

static struct crn_gate_times *find_times(struct cairn_gate *gate, uint64_t id)
{
    for (size_t i = 0; i < CRN_ALIGN_ENTRIES_MAX; i++)
        if (gate->times[i].id == id)
            return &gate->times[i];
    return NULL;
}

/* A slot whose entry has gone is free. */
static void add_times(struct cairn_gate *gate, const struct crn_gate_times *times)
{
    for (size_t i = 0; i < CRN_ALIGN_ENTRIES_MAX; i++)
        if (crn_alignment_find(&gate->alignment, gate->times[i].id) == NULL) {
            gate->times[i] = *times;
            return;
        }
}

void crn_gate_note_sign(struct cairn_gate *gate, uint64_t id)
{
    struct crn_gate_times *times = find_times(gate, id);
    if (times == NULL || crn_alignment_find(&gate->alignment, id) == NULL)
        return;
    uint64_t now_us = crn_now_us();
    if (times->first_us == 0)
        times->first_us = now_us;
    if (gate->alignment.mode == CRN_ALIGN_TIMED && now_us >= times->deadline_us)
        crn_gate_step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_TIMEOUT, .id = id});
}

/* The alignment whose time runs, if there is one. */
static const struct crn_gate_times *find_running(struct cairn_gate *gate)
{
    const struct crn_alignment *a = &gate->alignment;
    for (size_t i = 0; i < a->entry_count && a->mode == CRN_ALIGN_TIMED; i++)
        if (a->entries[i].phase == CRN_ALIGN_GATHERING && !a->entries[i].is_savepoint &&
            !a->entries[i].overtakes)
            return find_times(gate, a->entries[i].id);
    return NULL;
}

uint64_t crn_gate_clock_us(const struct cairn_gate *gate)
{
    return gate->clock_us;
}

bool crn_gate_is_wanted(const struct cairn_gate *gate)
{
    unsigned pending = atomic_load(&gate->task->runtime->pending);
    return (pending & (CRN_PENDING_BARRIER | CRN_PENDING_GATE)) != 0 ||
           (gate->clock_us != UINT64_MAX && crn_now_us() >= gate->clock_us);
}

bool crn_gate_has_ended(const struct cairn_gate *gate)
{
    return gate->alignment.open_count == 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Events and what follows
 * ------------------------------------------------------------------------------------------ */

static uint64_t find_aligning(const struct crn_alignment *a)
{
    for (size_t i = 0; i < a->entry_count; i++)
        if (a->entries[i].phase == CRN_ALIGN_GATHERING)
            return a->entries[i].id;
    return 0;
}

static void update_pending(struct cairn_gate *gate)
{
    struct crn_task_runtime *runtime = gate->task->runtime;
    const struct crn_gate_times *running = find_running(gate);
    crn_figure_set(&gate->figures.aligning_id, find_aligning(&gate->alignment));
    if (crn_alignment_due(&gate->alignment) != 0) {
        gate->hold |= CRN_GATE_HOLD_DUE;
        atomic_fetch_or(&runtime->pending, CRN_PENDING_GATE);
    } else {
        gate->hold &= ~(unsigned)CRN_GATE_HOLD_DUE;
    }
    if (crn_alignment_wants_collect(&gate->alignment))
        atomic_fetch_or(&runtime->pending, CRN_PENDING_GATE);
    if (running != NULL) {
        gate->clock_us = running->deadline_us;
        atomic_fetch_or(&runtime->pending, CRN_PENDING_CLOCK);
    } else if (gate->clock_us != UINT64_MAX) {
        gate->clock_us = UINT64_MAX;
        atomic_fetch_and(&runtime->pending, ~(unsigned)CRN_PENDING_CLOCK);
    }
}

/* It cannot get complete here, so it cannot get complete at all. */
static void give_up(struct cairn_gate *gate, uint64_t id)
{
    cairn_error *error = NULL;
    (void)crn_err_fail(&error, CAIRN_EABORTED, NULL,
                       "its barrier was given up: a channel has cancelled it, or has brought a "
                       "later one");
    crn_figure_add(&gate->figures.given_up, 1);
    if (gate->log_id == id)
        crn_gate_abandon(gate, CAIRN_EABORTED, error);
    else
        crn_gate_refuse(gate, id, CAIRN_EABORTED, error);
}

static void step(struct cairn_gate *gate, const struct crn_alignment_event *event)
{
    struct crn_alignment_decisions decisions;
    crn_alignment_step(&gate->alignment, event, &decisions);
    for (size_t i = 0; i < decisions.given_up_count; i++)
        give_up(gate, decisions.given_up[i]);
    if (decisions.complete != 0 && decisions.complete == gate->log_id)
        crn_gate_hand_over(gate);
}

void crn_gate_step(struct cairn_gate *gate, const struct crn_alignment_event *event)
{
    step(gate, event);
    update_pending(gate);
}

/* ------------------------------------------------------------------------------------------ *
 * What the job wants
 * ------------------------------------------------------------------------------------------ */

static struct crn_part *find_request_locked(const struct cairn_gate *gate, uint64_t id)
{
    struct crn_part *part = gate->task->runtime->requested;
    while (part != NULL && part->attempt->id != id)
        part = part->next;
    return part;
}

static void withdraw(struct cairn_gate *gate, uint64_t id)
{
    const struct crn_alignment_entry *entry = crn_alignment_find(&gate->alignment, id);
    if (entry != NULL && entry->phase != CRN_ALIGN_WAITING)
        crn_figure_add(&gate->figures.given_up, 1);
    if (gate->log_id == id) {
        gate->log_id = 0;
        crn_in_flight_done(&gate->log);
    }
    step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_WITHDRAW, .id = id});
}

static uint64_t deadline_of(const struct crn_attempt *attempt)
{
    uint64_t timeout_ms = attempt->job->options.aligned_timeout_ms;
    return timeout_ms > (UINT64_MAX - attempt->started_us) / 1000
               ? UINT64_MAX
               : attempt->started_us + timeout_ms * 1000;
}

/* What is new in the job's wishes. */
struct wishes {
    struct crn_gate_times wanted[CRN_ALIGN_ENTRIES_MAX];
    bool are_savepoints[CRN_ALIGN_ENTRIES_MAX];
    size_t wanted_count;
    uint64_t gone[CRN_ALIGN_ENTRIES_MAX];
    size_t gone_count;
};

static void read_wishes_locked(struct cairn_gate *gate, struct wishes *ret)
{
    const struct crn_alignment *a = &gate->alignment;
    struct crn_task_runtime *runtime = gate->task->runtime;
    ret->wanted_count = ret->gone_count = 0;
    atomic_fetch_and(&runtime->pending, ~(unsigned)(CRN_PENDING_BARRIER | CRN_PENDING_GATE));
    for (size_t i = 0; i < a->entry_count; i++) {
        bool is_wanted = a->entries[i].phase == CRN_ALIGN_LOGGING
                             ? gate->logging != NULL
                             : find_request_locked(gate, a->entries[i].id) != NULL;
        if (!is_wanted)
            ret->gone[ret->gone_count++] = a->entries[i].id;
    }
    for (const struct crn_part *part = runtime->requested; part != NULL; part = part->next) {
        if (part->attempt->id <= a->newest_id)
            continue;
        ret->are_savepoints[ret->wanted_count] = part->attempt->savepoint != NULL;
        ret->wanted[ret->wanted_count++] = (struct crn_gate_times){
            .id = part->attempt->id,
            .deadline_us = deadline_of(part->attempt),
        };
    }
}

/* What follows may have to tell the job something, so it is done without the lock. */
void crn_gate_sync(struct cairn_gate *gate)
{
    struct cairn_job *job = gate->task->job;
    struct wishes wishes;
    crn_mutex_lock(&job->lock);
    read_wishes_locked(gate, &wishes);
    crn_mutex_unlock(&job->lock);
    for (size_t i = 0; i < wishes.gone_count; i++)
        withdraw(gate, wishes.gone[i]);
    for (size_t i = 0; i < wishes.wanted_count; i++) {
        add_times(gate, &wishes.wanted[i]);
        step(gate, &(struct crn_alignment_event){
                       .kind = CRN_ALIGN_REQUEST,
                       .id = wishes.wanted[i].id,
                       .is_savepoint = wishes.are_savepoints[i],
                   });
    }
    update_pending(gate);
}

/* ------------------------------------------------------------------------------------------ *
 * The turn
 * ------------------------------------------------------------------------------------------ */

static void collect_channel(struct cairn_gate *gate, uint32_t channel)
{
    cairn_error *error = NULL;
    gate->task->inside = "collect";
    gate->is_collecting = true;
    gate->collecting_channel = channel;
    gate->collect_code = 0;
    int r = gate->options.collect(gate->options.context, gate, channel, &gate->log_barrier);
    gate->is_collecting = false;
    gate->task->inside = NULL;
    if (r >= 0)
        r = gate->collect_code;
    if (r >= 0) {
        step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_COLLECTED, .channel = channel});
        return;
    }
    (void)crn_err_fail(&error, r, NULL,
                       "the records in front of the barrier in channel %u could not be collected: "
                       "%s (%d); max_in_flight_bytes is %llu",
                       channel, cairn_error_name(r), r,
                       (unsigned long long)gate->options.max_in_flight_bytes);
    crn_gate_abandon(gate, r, error);
}

static void collect_all(struct cairn_gate *gate)
{
    uint32_t channel;
    while (crn_alignment_next_collect(&gate->alignment, &channel))
        collect_channel(gate, channel);
}

void crn_gate_turn(struct cairn_gate *gate)
{
    crn_gate_sync(gate);
    const struct crn_gate_times *running = find_running(gate);
    if (running != NULL && crn_now_us() >= running->deadline_us)
        step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_TIMEOUT, .id = running->id});
    collect_all(gate);
    update_pending(gate);
}

struct crn_part *crn_gate_due_locked(const struct cairn_gate *gate)
{
    uint64_t id = crn_alignment_due(&gate->alignment);
    crn_mutex_assert_held(&gate->task->job->lock);
    return id == 0 || !crn_flight_is_free_locked(gate->task) ? NULL : find_request_locked(gate, id);
}

bool crn_gate_has_to_wait_locked(const struct cairn_gate *gate)
{
    uint64_t id = crn_alignment_due(&gate->alignment);
    crn_mutex_assert_held(&gate->task->job->lock);
    return id != 0 && !crn_flight_is_free_locked(gate->task) &&
           find_request_locked(gate, id) != NULL;
}

/* ------------------------------------------------------------------------------------------ *
 * Around the barrier
 * ------------------------------------------------------------------------------------------ */

int crn_gate_prepare(struct cairn_gate *gate, const struct crn_part *part, cairn_error **reterr)
{
    const struct cairn_buffer *restored = &gate->restored.bytes;
    size_t left = restored->size - gate->restored_at;
    if (part->attempt->savepoint != NULL)
        return left == 0 ? 0
                         : crn_err_fail(reterr, CAIRN_EABORTED, NULL,
                                        "a savepoint holds no records in flight, and %llu of the "
                                        "restored checkpoint are not processed yet: fetch them "
                                        "with cairn_gate_restored() first",
                                        (unsigned long long)gate->restored_left);
    crn_in_flight_done(&gate->log);
    gate->log_id = part->attempt->id;
    gate->log_barrier = crn_attempt_barrier(part->attempt);
    if (crn_buf_append(&gate->log.bytes, left == 0 ? NULL : restored->data + gate->restored_at,
                       left) < 0)
        return crn_err_nomem(reterr);
    gate->log.count = gate->restored_left;
    return 0;
}

static void note_taken(struct cairn_gate *gate, struct crn_part *part, bool overtakes,
                       uint64_t began_us)
{
    struct crn_gate_figures *figures = &gate->figures;
    const struct crn_gate_times *times = find_times(gate, part->attempt->id);
    uint64_t align_us = times == NULL || times->first_us == 0 ? 0 : began_us - times->first_us;
    crn_figure_add(&figures->barriers, 1);
    crn_figure_add(&figures->overtaken, overtakes);
    crn_figure_set(&figures->alignment_last_us, align_us);
    if (align_us > crn_figure_get(&figures->alignment_max_us))
        crn_figure_set(&figures->alignment_max_us, align_us);
    crn_figure_set(&figures->in_flight_bytes, 0);
    part->described->subtasks[0].info.align_us = align_us;
}

void crn_gate_taken(struct cairn_gate *gate, struct crn_part *part, uint64_t began_us)
{
    const struct crn_alignment_entry *entry =
        crn_alignment_find(&gate->alignment, part->attempt->id);
    assert(entry != NULL && entry->phase == CRN_ALIGN_DUE);
    bool overtakes = entry->missing > 0;
    note_taken(gate, part, overtakes, began_us);
    if (gate->log_id == entry->id) {
        if (overtakes || gate->log.count > 0)
            crn_gate_attach(gate, part);
        else
            gate->log_id = 0;
    }
    step(gate, &(struct crn_alignment_event){.kind = CRN_ALIGN_TAKEN});
    update_pending(gate);
}

void crn_gate_not_taken(struct cairn_gate *gate, uint64_t id)
{
    withdraw(gate, id);
    update_pending(gate);
}
