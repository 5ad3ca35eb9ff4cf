/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out orders: a table of the latest ones, and a thread for each that is under way.
 *
 * An order is accepted before anything of it is done, so that the endpoint's thread never waits for
 * a store; what goes wrong is the trigger's outcome. Several are the job's to put in order: it
 * takes savepoints one after the other, and makes one of checkpoints that wait. Only an order that
 * ends the job keeps others out, until it has failed; a plain cancel is always heard, since it is
 * the way out of a stop that hangs.
 *
 * Threads. Orders are taken, and ended threads joined, by the endpoint's thread alone. What orders
 * wait for ends when the job's driver stops.
 */
#include "engine/control/triggers.h"

#include "engine/control/trigger.h"
#include "engine/job/job.h"
#include "engine/status/fields.h"

#include <stdio.h>

#define LATELY_US ((uint64_t)2000000) /* who asks again and again, does so within this time */

void crn_triggers_init(struct crn_triggers *triggers, struct cairn_job *job,
                       void (*changed)(void *context), void *context)
{
    *triggers = (struct crn_triggers){.job = job, .changed = changed, .context = context};
    crn_mutex_init(&triggers->lock, CRN_RANK_CONTROL);
}

static void trigger_free(struct crn_trigger *trigger)
{
    if (trigger == NULL)
        return;
    crn_order_done(&trigger->order);
    cairn_error_free(trigger->error);
    free(trigger);
}

void crn_triggers_done(struct crn_triggers *triggers)
{
    for (size_t i = 0; i < CRN_TRIGGERS_KEPT; i++)
        trigger_free(triggers->table[i]);
    crn_mutex_done(&triggers->lock);
}

static struct crn_trigger *find_locked(struct crn_triggers *triggers, uint64_t number)
{
    struct crn_trigger *trigger = triggers->table[number % CRN_TRIGGERS_KEPT];
    return trigger != NULL && trigger->number == number ? trigger : NULL;
}

void crn_trigger_id(const struct crn_triggers *triggers, uint64_t number,
                    char ret[CRN_TRIGGER_ID_SIZE])
{
    (void)snprintf(ret, CRN_TRIGGER_ID_SIZE, "%" PRIu64 "-%" PRIu64, triggers->job->epoch, number);
}

/* A line of the job's log: no lock is held. error NULL: nothing has failed. */
static void tell(const struct crn_trigger *trigger, enum crn_told told, const char *words,
                 const cairn_error *error)
{
    const struct crn_triggers *triggers = trigger->triggers;
    const char *what = crn_order_word(trigger->order.kind);
    char id[CRN_TRIGGER_ID_SIZE];
    struct crn_fields fields;
    crn_trigger_id(triggers, trigger->number, id);
    crn_fields_of(CRN_FACTS(.told = told, .error = error), &fields);
    crn_fields_text(&fields, CRN_FIELD_TRIGGER_ID, id);
    crn_fields_text(&fields, CRN_FIELD_TYPE, what);
    crn_fields_write(&triggers->job->log, error != NULL ? CAIRN_LOG_WARNING : CAIRN_LOG_INFO,
                     "control", &fields, "job '%s': order %s (%s) %s%s%s", triggers->job->name, id,
                     what, words, error != NULL ? ": " : "", cairn_error_message(error));
}

/* ------------------------------------------------------------------------------------------ *
 * In the trigger's thread
 * ------------------------------------------------------------------------------------------ */

/* The newest id that a snapshot had before: one that is above it began after the order. */
static uint64_t newest_id(struct cairn_job *job)
{
    struct crn_job_status *status = NULL;
    uint64_t newest = 0;
    if (crn_status_take(job, &status, NULL) < 0)
        return UINT64_MAX;
    if (status->in_flight_count > 0)
        newest = status->in_flight[status->in_flight_count - 1].id;
    if (status->ended_count > 0 && status->ended[0]->id > newest)
        newest = status->ended[0]->id;
    crn_status_free(status);
    return newest;
}

static int take_checkpoint(struct crn_trigger *trigger, cairn_error **reterr)
{
    struct crn_triggers *triggers = trigger->triggers;
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    options.full = trigger->order.full;
    uint64_t after = newest_id(triggers->job);
    crn_mutex_lock(&triggers->lock);
    trigger->after_id = after;
    crn_mutex_unlock(&triggers->lock);
    CRN_TRY(cairn_job_checkpoint(triggers->job, &options, &info, reterr));
    crn_mutex_lock(&triggers->lock);
    trigger->checkpoint = info;
    crn_mutex_unlock(&triggers->lock);
    return 0;
}

static int take_savepoint(struct crn_trigger *trigger, cairn_error **reterr)
{
    struct crn_triggers *triggers = trigger->triggers;
    const struct crn_order *order = &trigger->order;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_handle *handle = NULL;
    options.target_uri = order->target;
    options.format = order->format;
    options.link_previous = order->link_previous;
    options.stop = order->kind == CRN_ORDER_STOP;
    options.drain = order->drain;
    CRN_TRY(cairn_savepoint_begin(triggers->job, &options, &handle, reterr));
    crn_mutex_lock(&triggers->lock);
    trigger->handle = handle;
    crn_mutex_unlock(&triggers->lock);
    int r = cairn_savepoint_wait(handle, UINT64_MAX, NULL, reterr);
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    int looked = cairn_savepoint_status(handle, &info, NULL); /* of a failed one, too */
    crn_mutex_lock(&triggers->lock);
    trigger->handle = NULL;
    if (looked == 0)
        trigger->savepoint = info;
    crn_mutex_unlock(&triggers->lock);
    cairn_savepoint_close(handle);
    return r;
}

static void end(struct crn_trigger *trigger, int code, cairn_error *error)
{
    struct crn_triggers *triggers = trigger->triggers;
    if (code < 0)
        tell(trigger, CRN_TOLD_ORDER_FAILED, "failed", error);
    else
        tell(trigger, CRN_TOLD_ORDER_COMPLETED, "completed", NULL);
    crn_mutex_lock(&triggers->lock);
    trigger->code = code;
    trigger->error = error;
    trigger->end_time_ms = crn_wall_ms();
    trigger->is_over = true;
    triggers->open_count--;
    if (triggers->ending == trigger->number)
        triggers->ending = 0;
    crn_mutex_unlock(&triggers->lock);
    triggers->changed(triggers->context);
}

static void *run(void *arg)
{
    struct crn_trigger *trigger = arg;
    cairn_error *error = NULL;
    int r = 0;
    tell(trigger, CRN_TOLD_ORDER_ACCEPTED, "accepted", NULL);
    if (trigger->order.kind == CRN_ORDER_CHECKPOINT)
        r = take_checkpoint(trigger, &error);
    else if (trigger->order.has_savepoint)
        r = take_savepoint(trigger, &error);
    if (r == 0 && trigger->order.kind == CRN_ORDER_CANCEL)
        r = cairn_job_cancel(trigger->triggers->job, &error);
    end(trigger, r, error);
    return NULL;
}

/* ------------------------------------------------------------------------------------------ *
 * The table
 * ------------------------------------------------------------------------------------------ */

static int may_submit_locked(struct crn_triggers *triggers, const struct crn_order *order,
                             bool *ret_is_full, cairn_error **reterr)
{
    bool is_plain_cancel = order->kind == CRN_ORDER_CANCEL && !order->has_savepoint;
    if (triggers->is_closed)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL, "the job is being closed");
    if (triggers->ending != 0 && !is_plain_cancel)
        return crn_err_fail(reterr, CAIRN_EBUSY, NULL,
                            "the job is about to end by trigger %llu-%llu: until that has failed, "
                            "only a cancel without a savepoint is taken",
                            (unsigned long long)triggers->job->epoch,
                            (unsigned long long)triggers->ending);
    /* One more for the cancel: it is not to be kept out by what hangs. */
    uint32_t max = CRN_TRIGGERS_OPEN_MAX + (is_plain_cancel ? 1 : 0);
    *ret_is_full = triggers->open_count >= max;
    if (*ret_is_full)
        return crn_err_fail(reterr, CAIRN_EBUSY, NULL,
                            "%u orders are under way already: wait until one is over",
                            triggers->open_count);
    return 0;
}

/* The slot of the next number: what is in the way of it is the oldest one, or still under way. */
static uint64_t next_number_locked(const struct crn_triggers *triggers)
{
    uint64_t number = triggers->count + 1;
    const struct crn_trigger *old;
    while ((old = triggers->table[number % CRN_TRIGGERS_KEPT]) != NULL && !old->is_joined)
        number++;
    return number;
}

static int start_locked(struct crn_triggers *triggers, struct crn_trigger *trigger,
                        cairn_error **reterr)
{
    trigger->number = next_number_locked(triggers);
    trigger->time_ms = crn_wall_ms();
    trigger->asked_us = crn_now_us();
    trigger->after_id = UINT64_MAX;
    CRN_TRY(crn_thread_start(&trigger->thread, "cairn-order", run, trigger, reterr));
    triggers->count = trigger->number;
    triggers->open_count++;
    bool ends_job = trigger->order.kind == CRN_ORDER_STOP ||
                    (trigger->order.kind == CRN_ORDER_CANCEL && trigger->order.has_savepoint);
    if (ends_job)
        triggers->ending = trigger->number;
    struct crn_trigger **slot = &triggers->table[trigger->number % CRN_TRIGGERS_KEPT];
    trigger_free(*slot);
    *slot = trigger;
    return 0;
}

int crn_triggers_submit(struct crn_triggers *triggers, struct crn_order *order,
                        uint64_t *ret_number, bool *ret_is_full, cairn_error **reterr)
{
    struct cairn_job *job = triggers->job;
    struct crn_trigger *trigger = calloc(1, sizeof *trigger);
    if (trigger == NULL) {
        crn_order_done(order);
        return crn_err_nomem(reterr);
    }
    trigger->triggers = triggers;
    trigger->order = *order;
    *order = (struct crn_order){0};
    crn_mutex_lock(&job->lock);
    int r = crn_job_check_orders_locked(job, reterr);
    crn_mutex_unlock(&job->lock);
    crn_triggers_reap(triggers); /* so that no slot is taken by one that is over */
    crn_mutex_lock(&triggers->lock);
    if (r == 0)
        r = may_submit_locked(triggers, &trigger->order, ret_is_full, reterr);
    if (r == 0)
        r = start_locked(triggers, trigger, reterr);
    if (r == 0)
        *ret_number = trigger->number;
    crn_mutex_unlock(&triggers->lock);
    if (r < 0)
        trigger_free(trigger);
    return r;
}

void crn_triggers_reap(struct crn_triggers *triggers)
{
    for (size_t i = 0; i < CRN_TRIGGERS_KEPT; i++) {
        crn_mutex_lock(&triggers->lock);
        struct crn_trigger *trigger = triggers->table[i];
        bool has_ended = trigger != NULL && trigger->is_over && !trigger->is_joined;
        crn_mutex_unlock(&triggers->lock);
        if (has_ended) {                               /* its thread has nothing left to do */
            (void)pthread_join(trigger->thread, NULL); /* cannot fail: it is joined once */
            trigger->is_joined = true;
        }
    }
}

void crn_triggers_refuse(struct crn_triggers *triggers)
{
    crn_mutex_lock(&triggers->lock);
    triggers->is_closed = true;
    crn_mutex_unlock(&triggers->lock);
}

bool crn_triggers_are_over(struct crn_triggers *triggers)
{
    crn_mutex_lock(&triggers->lock);
    bool are_over = triggers->open_count == 0;
    crn_mutex_unlock(&triggers->lock);
    return are_over;
}

int crn_triggers_is_over(struct crn_triggers *triggers, uint64_t number)
{
    crn_mutex_lock(&triggers->lock);
    struct crn_trigger *trigger = find_locked(triggers, number);
    int r = trigger == NULL ? CAIRN_ENOTFOUND : trigger->is_over;
    if (trigger != NULL)
        trigger->asked_us = crn_now_us();
    crn_mutex_unlock(&triggers->lock);
    return r;
}

bool crn_triggers_has_untold(struct crn_triggers *triggers, uint64_t now_us)
{
    bool has = false;
    crn_mutex_lock(&triggers->lock);
    for (size_t i = 0; i < CRN_TRIGGERS_KEPT; i++) {
        const struct crn_trigger *trigger = triggers->table[i];
        has |= trigger != NULL && trigger->is_over && !trigger->is_told &&
               now_us < trigger->asked_us + LATELY_US;
    }
    crn_mutex_unlock(&triggers->lock);
    return has;
}
