/* SPDX-License-Identifier: Apache-2.0 */
/* The judge in the world around a coordinator: every rule of engine/job/coordinator.h, decided a
 * second time from the events alone. */
#include "tests/support/coordinator_world.h"

#include <string.h>

#define SERVED UINT16_MAX

bool attempt_is_acked(const struct world *w, const struct attempt *attempt)
{
    return attempt->acks == (1u << w->tasks) - 1;
}

static bool is_live(const struct attempt *attempt)
{
    return !attempt->cancelled && !attempt->aborted;
}

static struct attempt *find(struct world *w, uint64_t id)
{
    const struct attempt *attempt = world_find(w, id);
    return attempt != NULL ? &w->attempts[attempt - w->attempts] : NULL;
}

const struct attempt *world_find(const struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->attempts[i].id == id)
            return &w->attempts[i];
    return NULL;
}

const struct attempt *world_oldest(const struct world *w)
{
    return world_find(w, w->log_head + 1);
}

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ------------------------------------------------------------------------------------------ *
 * Requests
 * ------------------------------------------------------------------------------------------ */

static uint64_t first_ticket(const struct world *w)
{
    return w->tickets >= MAX_TICKETS ? w->tickets - MAX_TICKETS + 1 : 1;
}

size_t world_unserved(const struct world *w)
{
    size_t unserved = 0;
    for (uint64_t t = first_ticket(w); t <= w->tickets; t++)
        unserved += w->owner[t % MAX_TICKETS] != SERVED;
    return unserved;
}

void world_serve_all(struct world *w)
{
    for (unsigned i = 0; i < MAX_TICKETS; i++)
        w->owner[i] = SERVED;
}

static bool is_in_range(const struct crn_action *action, uint64_t ticket)
{
    return ticket > action->after_ticket && ticket <= action->ticket;
}

/* Who has waited for this attempt hears of it, and nobody else. */
static void serve(struct world *w, const struct crn_action *action)
{
    must(action->ticket <= w->tickets, "a request that nobody made");
    for (uint64_t t = first_ticket(w); t <= w->tickets; t++) {
        uint16_t *owner = &w->owner[t % MAX_TICKETS];
        if (*owner == SERVED)
            continue;
        must((*owner == action->id) == is_in_range(action, t),
             "attempt %d tells request %d, which is that of attempt %d", (int)action->id, (int)t,
             (int)*owner);
        if (*owner == action->id)
            *owner = SERVED;
    }
}

static void take_over(struct world *w, uint64_t from, uint64_t to)
{
    for (uint64_t t = first_ticket(w); t <= w->tickets; t++)
        if (w->owner[t % MAX_TICKETS] == from)
            w->owner[t % MAX_TICKETS] = (uint16_t)to;
}

/* ------------------------------------------------------------------------------------------ *
 * Beginning
 * ------------------------------------------------------------------------------------------ */

static size_t in_flight(const struct world *w, bool savepoints)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->attempts[i].savepoint == savepoints;
    return count;
}

/* Does the job run, and is it not to stop with a savepoint that is taken already? */
static bool goes_on(const struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->attempts[i].stop && !w->attempts[i].aborted)
            return false;
    return w->started && !w->close_sent && !w->fenced && !w->failed && !w->stopped;
}

static bool has_room_for_checkpoint(const struct world *w)
{
    return goes_on(w) && !w->stop_waits && in_flight(w, false) < w->settings.max_concurrent;
}

static bool is_savepoint_due(const struct world *w)
{
    return goes_on(w) && w->savepoint_waits && in_flight(w, true) == 0;
}

static uint64_t periodic_at_us(const struct world *w)
{
    return w->next_periodic_us > w->not_before_us ? w->next_periodic_us : w->not_before_us;
}

static bool is_periodic_due(const struct world *w)
{
    return w->settings.interval_us > 0 && w->now_us >= periodic_at_us(w);
}

/* Would it be the full_every-th if all goes well that may? */
static bool is_full_due(const struct world *w)
{
    uint32_t number = w->since_full + 1;
    for (size_t i = 0; i < w->count; i++) {
        const struct attempt *a = &w->attempts[i];
        if (!a->savepoint && is_live(a))
            number = a->full ? 1 : number + 1;
    }
    return w->settings.full_every > 0 && number >= w->settings.full_every;
}

static void judge_begin_checkpoint(struct world *w, const struct crn_action *action)
{
    bool asked = w->tickets > w->taken;
    must(has_room_for_checkpoint(w), "a checkpoint too many, or when none may begin");
    must(asked || is_periodic_due(w), "a checkpoint that nobody asked for");
    must(asked || !is_savepoint_due(w) || w->last_was_savepoint,
         "periodic checkpoints starve a savepoint");
    must(action->full == (w->full_asked || is_full_due(w)), "full, or not, against the rule");
    for (uint64_t t = first_ticket(w); t <= w->tickets; t++) {
        uint16_t *owner = &w->owner[t % MAX_TICKETS];
        must(*owner == SERVED || (*owner == 0) == is_in_range(action, t),
             "a checkpoint takes over others than those who waited for one to begin");
        if (*owner == 0)
            *owner = (uint16_t)action->id;
    }
    w->full_asked = false;
    w->taken = w->tickets;
    w->next_periodic_us = sum_of(w->now_us, w->settings.interval_us);
}

static void judge_begin_savepoint(struct world *w, const struct crn_action *action)
{
    must(is_savepoint_due(w), "a savepoint too many, or that nobody asked for");
    must(!has_room_for_checkpoint(w) || w->tickets == w->taken,
         "a requested checkpoint goes first");
    must(!has_room_for_checkpoint(w) || !w->last_was_savepoint || !is_periodic_due(w),
         "savepoints starve a periodic checkpoint");
    must(action->ticket == 0, "a savepoint serves a request for a checkpoint");
    must(!action->full && action->stop == w->stop_waits, "not the savepoint that waits");
    w->savepoint_waits = w->stop_waits = false;
}

static void judge_begin(struct world *w, const struct crn_action *action)
{
    must(action->id == w->head + 1, "ids are dense");
    if (action->savepoint)
        judge_begin_savepoint(w, action);
    else
        judge_begin_checkpoint(w, action);
    must(w->count < CRN_FLIGHTS_MAX, "more attempts than there can be");
    uint64_t timeout_us = action->savepoint ? SAVEPOINT_TIMEOUT_US : w->settings.timeout_us;
    w->attempts[w->count++] = (struct attempt){.id = action->id,
                                               .deadline_us = sum_of(w->now_us, timeout_us),
                                               .savepoint = action->savepoint,
                                               .stop = action->stop,
                                               .full = action->full};
    w->last_was_savepoint = action->savepoint;
    w->just_begun = true;
    w->head = action->id;
}

/* ------------------------------------------------------------------------------------------ *
 * Records and ends
 * ------------------------------------------------------------------------------------------ */

static void judge_record(struct world *w, const struct attempt *attempt, enum record record)
{
    must(w->record == RECORD_NONE, "one record at a time");
    must(attempt->id == w->log_head + 1, "an id is resolved before an older one");
    must(!w->fenced, "a record after FENCED (P7)");
    if (record == RECORD_COMMIT) {
        must(attempt_is_acked(w, attempt),
             "COMMIT only after every task acknowledged this id (P1)");
        must(is_live(attempt), "COMMIT of a dead attempt");
    } else {
        must(attempt->cancelled && !attempt->aborted, "ABORT of what is live or resolved");
        must(!attempt->in_doubt, "an outcome that is not known was guessed");
    }
    must(!w->in_vain || w->now_us - w->in_vain_since_us >= RETRY_EARLIEST_US,
         "tried again at once: a store that is away would be flooded");
    w->record = record;
    w->in_vain = false;
}

/* A savepoint leaves alone when the next periodic checkpoint is due. */
void world_remove(struct world *w, struct attempt *attempt)
{
    if (!attempt->savepoint)
        w->not_before_us = sum_of(w->now_us, w->settings.min_pause_us);
    struct attempt *end = &w->attempts[w->count--];
    memmove(attempt, attempt + 1, (size_t)(end - attempt - 1) * sizeof *attempt);
}

static void judge_complete(struct world *w, struct attempt *attempt,
                           const struct crn_action *action,
                           const struct crn_coordinator_event *event)
{
    must(event->kind == CRN_EVENT_COMMIT_OK && event->id == attempt->id,
         "COMPLETE, but not committed");
    must(is_live(attempt), "COMPLETE of a dead attempt");
    w->log_head = attempt->id;
    serve(w, action);
    if (attempt->savepoint) {
        w->savepoints++;
        w->stopped |= attempt->stop;
    } else {
        w->checkpoints++;
        w->failures = 0;
        w->since_full = attempt->full ? 0 : w->since_full + 1;
    }
    world_remove(w, attempt);
}

static void judge_aborted(struct world *w, struct attempt *attempt, const struct crn_action *action,
                          const struct crn_coordinator_event *event)
{
    must(event->kind == CRN_EVENT_ABORT_OK || event->kind == CRN_EVENT_COMMIT_TAKEN,
         "ABORTED for no reason");
    must(event->id == attempt->id, "ABORTED of another one");
    must(attempt->cancelled && !attempt->aborted, "ABORTED of what is live or resolved");
    attempt->aborted = true;
    w->log_head = attempt->id;
    w->aborted++;
    serve(w, action);
}

static bool is_failed_try(const struct crn_coordinator_event *event)
{
    return event->kind == CRN_EVENT_COMMIT_UNKNOWN || event->kind == CRN_EVENT_ABORT_FAILED;
}

/* When must those who wait hear that the log cannot be told? */
static uint64_t overdue_at_us(const struct world *w)
{
    uint64_t at_us = UINT64_MAX;
    for (size_t i = 0; i < w->count; i++) {
        const struct attempt *a = &w->attempts[i];
        bool waits = !a->aborted && (a->cancelled || attempt_is_acked(w, a));
        if (waits && a->deadline_us < at_us)
            at_us = a->deadline_us;
    }
    return at_us;
}

static void judge_overdue(struct world *w, struct attempt *attempt,
                          const struct crn_coordinator_event *event)
{
    must(attempt->id == w->log_head + 1, "OVERDUE of one that is not tried");
    must(w->in_vain, "OVERDUE while a try may succeed");
    must(w->now_us >= overdue_at_us(w), "OVERDUE before a deadline");
    must(is_failed_try(event) || (event->kind == CRN_EVENT_TICK && !attempt->told),
         "OVERDUE again, before a try that may succeed");
    attempt->told = true;
}

static void judge_leave(struct world *w, struct attempt *attempt,
                        const struct crn_coordinator_event *event)
{
    must(attempt->cancelled && !attempt->aborted, "LEAVE of what must be DISCARDed (P6)");
    must(event->kind == CRN_EVENT_COMMIT_FENCED || (w->close_sent && w->in_vain),
         "an attempt is left although its record may be committed yet");
    world_remove(w, attempt);
}

/* ------------------------------------------------------------------------------------------ *
 * Cancelling and failing
 * ------------------------------------------------------------------------------------------ */

static void judge_subsumed(struct world *w, const struct attempt *older, uint64_t by)
{
    const struct attempt *newer = find(w, by);
    must(newer != NULL && newer->id > older->id && is_live(newer) && attempt_is_acked(w, newer),
         "subsumed by what is not there, not newer or not ready");
    must(!newer->savepoint && !older->savepoint, "a savepoint subsumes nothing");
    must(!older->full || newer->full, "a full checkpoint is replaced by less");
    take_over(w, older->id, newer->id);
    w->subsumed++;
}

static void judge_cancel(struct world *w, struct attempt *attempt, const struct crn_action *action,
                         const struct crn_coordinator_event *event)
{
    bool acked = attempt_is_acked(w, attempt);
    bool its_own = event->id == attempt->id;
    must(is_live(attempt), "CANCEL twice");
    attempt->cancelled = true;
    switch (action->reason) {
    case CRN_CANCEL_DECLINED:
        must(its_own && ((event->kind == CRN_EVENT_DECLINE && !acked) ||
                         event->kind == CRN_EVENT_COMMIT_FAILED),
             "DECLINED for no reason");
        w->failures += !attempt->savepoint && !w->close_sent;
        break;
    case CRN_CANCEL_TIMEOUT:
        must(event->kind == CRN_EVENT_TICK && w->now_us >= attempt->deadline_us && !acked,
             "TIMEOUT before the deadline, or of what is whole");
        w->failures += !attempt->savepoint && !w->close_sent;
        break;
    case CRN_CANCEL_SUBSUMED:
        must(!acked, "SUBSUMED although it is whole");
        judge_subsumed(w, attempt, action->by);
        break;
    case CRN_CANCEL_CLOSING:
        must(w->close_sent && (!acked || w->in_vain), "CLOSE costs a whole snapshot");
        break;
    case CRN_CANCEL_FENCED:
        must(event->kind == CRN_EVENT_COMMIT_FENCED, "FENCED for no reason");
        break;
    case CRN_CANCEL_TAKEN:
        must(its_own && event->kind == CRN_EVENT_COMMIT_TAKEN, "TAKEN for no reason");
        break;
    default:
        ck_abort_msg("CANCEL for no reason");
    }
}

static void judge_job(struct world *w, const struct crn_action *action,
                      const struct crn_coordinator_event *event)
{
    must(action->id == 0, "an id in an action about the job");
    if (action->kind == CRN_ACTION_FENCED) {
        must(event->kind == CRN_EVENT_COMMIT_FENCED && !w->fenced,
             "FENCED twice, or for no reason");
        for (size_t i = 0; i < w->count; i++)
            must(!is_live(&w->attempts[i]), "fenced with an attempt that goes on");
        w->fenced = true;
        world_serve_all(w);
    } else if (action->kind == CRN_ACTION_FAIL) {
        must(!w->failed && !w->close_sent, "FAIL twice, or of a job that ends");
        must(w->failures > w->settings.tolerable_failures, "FAIL too early");
        w->failed = true;
    } else {
        must(w->close_sent && w->count == 0, "CLOSED with an attempt in flight");
        w->closed = true;
        world_serve_all(w);
    }
}

/* Ends, then one BEGIN, then one record, as the driver relies on. */
static void judge_order(const struct crn_action *action, const struct crn_action *before)
{
    if (before == NULL)
        return;
    bool is_record = action->kind == CRN_ACTION_COMMIT || action->kind == CRN_ACTION_ABORT;
    must(before->kind != CRN_ACTION_COMMIT && before->kind != CRN_ACTION_ABORT,
         "an action after a record");
    must(before->kind != CRN_ACTION_BEGIN || is_record, "an action between BEGIN and that");
    must(before->kind != CRN_ACTION_CLOSED, "an action after CLOSED");
}

void judge_action(struct world *w, const struct crn_action *action, const struct crn_action *before,
                  const struct crn_coordinator_event *event)
{
    must(!w->closed, "an action after CLOSED");
    judge_order(action, before);
    struct attempt *attempt = find(w, action->id);
    if (action->kind == CRN_ACTION_FENCED || action->kind == CRN_ACTION_FAIL ||
        action->kind == CRN_ACTION_CLOSED) {
        judge_job(w, action, event);
        return;
    }
    if (action->kind == CRN_ACTION_BEGIN) {
        judge_begin(w, action);
        return;
    }
    must(attempt != NULL, "action %d without an attempt", (int)action->kind);
    must(action->savepoint == attempt->savepoint && action->stop == attempt->stop &&
             action->full == attempt->full,
         "not what has begun");
    switch (action->kind) {
    case CRN_ACTION_COMMIT:
        judge_record(w, attempt, RECORD_COMMIT);
        break;
    case CRN_ACTION_ABORT:
        judge_record(w, attempt, RECORD_ABORT);
        break;
    case CRN_ACTION_COMPLETE:
        judge_complete(w, attempt, action, event);
        break;
    case CRN_ACTION_ABORTED:
        judge_aborted(w, attempt, action, event);
        break;
    case CRN_ACTION_DISCARD:
        must(attempt->aborted, "DISCARD before the id is resolved (P5)");
        must(attempt->drained, "DISCARD while uploads run (P5)");
        world_remove(w, attempt);
        break;
    case CRN_ACTION_LEAVE:
        judge_leave(w, attempt, event);
        break;
    case CRN_ACTION_OVERDUE:
        judge_overdue(w, attempt, event);
        break;
    default:
        judge_cancel(w, attempt, action, event);
        break;
    }
}

/* ------------------------------------------------------------------------------------------ *
 * What was not done
 * ------------------------------------------------------------------------------------------ */

/* Is `older` kept, although a newer one that is ready could replace it? A full one on its way
 * between them that cannot be replaced is in the way. */
static bool should_be_subsumed(const struct world *w, size_t older)
{
    const struct attempt *a = &w->attempts[older];
    bool full_between = false;
    if (a->savepoint || !is_live(a) || attempt_is_acked(w, a))
        return false;
    for (size_t i = older + 1; i < w->count; i++) {
        const struct attempt *b = &w->attempts[i];
        if (b->savepoint || !is_live(b))
            continue;
        bool ready = attempt_is_acked(w, b);
        if (ready && (b->full || (!a->full && !full_between)))
            return true;
        full_between |= b->full && !ready;
    }
    return false;
}

static void judge_attempts(const struct world *w, const struct crn_coordinator_event *event)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct attempt *a = &w->attempts[i];
        bool acking = is_live(a) && !attempt_is_acked(w, a);
        must(!a->aborted || !a->drained, "resolved and drained, but not DISCARDed (P6)");
        must(a->aborted || !w->fenced, "fenced with an attempt that is not resolved");
        must(!acking || !w->close_sent, "CLOSE waits for a task");
        must(!acking || event->kind != CRN_EVENT_DECLINE || event->id != a->id,
             "a declined attempt goes on");
        must(!acking || event->kind != CRN_EVENT_TICK || w->now_us < a->deadline_us, "no timeout");
        must(!should_be_subsumed(w, i), "of no use any more, but not subsumed");
    }
}

/* The driver sends a TICK when the coordinator wants one, never earlier. */
static void judge_next_tick(const struct world *w)
{
    uint64_t next_us = crn_coordinator_next_tick_us(&w->c);
    if (is_savepoint_due(w) || (has_room_for_checkpoint(w) && w->tickets > w->taken))
        must(next_us <= w->now_us, "the next attempt is due, but no tick");
    if (has_room_for_checkpoint(w) && w->settings.interval_us > 0)
        must(next_us <= periodic_at_us(w), "no tick for a periodic checkpoint");
    for (size_t i = 0; i < w->count; i++)
        if (is_live(&w->attempts[i]) && !attempt_is_acked(w, &w->attempts[i]))
            must(next_us <= w->attempts[i].deadline_us, "no tick at a deadline");
    const struct attempt *oldest = world_oldest(w);
    if (!w->in_vain || oldest == NULL)
        return;
    must(next_us <= sum_of(w->in_vain_since_us, RETRY_LATEST_US), "no tick to try again");
    if (!oldest->told)
        must(next_us <= overdue_at_us(w), "no tick to tell those who wait");
}

void judge_state(const struct world *w, const struct crn_coordinator_event *event)
{
    if (w->closed)
        return;
    must(w->c.head_id == w->head, "a wrong head");
    must(w->c.flight_count == w->count, "a wrong number of attempts");
    for (size_t i = 0; i < w->count; i++)
        must(w->c.flights[i].id == w->attempts[i].id, "wrong attempts");
    must(w->c.savepoint_waits == w->savepoint_waits, "a savepoint lost or invented");
    must(w->failed || w->close_sent || w->fenced || w->failures <= w->settings.tolerable_failures,
         "too many failures, but no FAIL");
    must(!w->close_sent || w->count > 0 || w->closed, "nothing in flight, but not CLOSED");
    judge_attempts(w, event);
    const struct attempt *oldest = world_oldest(w);
    bool due = oldest != NULL && (oldest->cancelled || attempt_is_acked(w, oldest));
    must(!due || w->record != RECORD_NONE || (w->in_vain && !w->close_sent),
         "nobody resolves the oldest id");
    judge_next_tick(w);
}
