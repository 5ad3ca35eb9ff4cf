/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Triggers as JSON. What a trigger shows of its snapshot comes from three places: a savepoint's own
 * handle, a checkpoint's result, and, while a checkpoint is under way, the picture of the job.
 *
 * Lock: triggers->lock.
 */
#include "engine/control/trigger.h"
#include "engine/control/view.h"

/* The checkpoint that serves the order: the first that began after it. NULL: none has begun. */
static const struct crn_status_snapshot *find_running(const struct crn_trigger *trigger,
                                                      const struct crn_job_status *status)
{
    for (size_t i = 0; status != NULL && i < status->in_flight_count; i++)
        if (status->in_flight[i].kind == CAIRN_RECORD_CHECKPOINT &&
            status->in_flight[i].id > trigger->after_id)
            return &status->in_flight[i];
    return NULL;
}

static void put_savepoint(const cairn_savepoint_info *info, struct crn_json_out *out)
{
    const bool is_complete = info->phase == CAIRN_SAVEPOINT_COMPLETE;
    crn_json_begin(out, "snapshot", '{');
    crn_json_u64(out, "id", info->id);
    crn_json_text(out, "kind", "savepoint");
    crn_json_bool(out, "is_full", true);
    crn_json_text(out, "format", crn_view_format(info->format));
    crn_json_some_text(out, "location", info->location);
    crn_json_u64(out, "duration_us", info->duration_us);
    crn_view_u64_if(out, "stall_max_us", is_complete, info->barrier_max_us);
    crn_view_u64_if(out, "full_bytes", is_complete, info->full_bytes);
    crn_view_u64_if(out, "new_bytes", is_complete, info->full_bytes - info->linked_bytes);
    crn_view_u64_if(out, "linked_bytes", is_complete, info->linked_bytes);
    crn_view_u64_if(out, "file_count", is_complete, info->file_count);
    crn_json_u64(out, "done_bytes", info->done_bytes);
    crn_json_u64(out, "total_bytes", info->total_bytes);
    crn_json_end(out, '}');
}

static void put_checkpoint(const cairn_checkpoint_info *info,
                           const struct crn_status_snapshot *running, struct crn_json_out *out)
{
    crn_json_begin(out, "snapshot", '{');
    crn_json_u64(out, "id", running != NULL ? running->id : info->id);
    crn_json_text(out, "kind", "checkpoint");
    crn_json_bool(out, "is_full", running != NULL ? running->is_full : info->is_full != 0);
    crn_json_null(out, "format");
    crn_json_null(out, "location");
    crn_json_u64(out, "duration_us", running != NULL ? running->age_us : info->duration_us);
    crn_view_u64_if(out, "stall_max_us", running == NULL, info->barrier_max_us);
    crn_view_u64_if(out, "full_bytes", running == NULL, info->full_bytes);
    crn_view_u64_if(out, "new_bytes", running == NULL, info->new_bytes);
    crn_json_null(out, "linked_bytes");
    crn_view_u64_if(out, "file_count", running == NULL, info->file_count);
    crn_view_u64_if(out, "done_bytes", running != NULL, running != NULL ? running->done_bytes : 0);
    crn_view_u64_if(out, "total_bytes", running != NULL,
                    running != NULL ? running->total_bytes : 0);
    crn_json_end(out, '}');
}

static const char *state_of(const struct crn_trigger *trigger, bool is_running)
{
    if (trigger->is_over)
        return trigger->code < 0 ? "failed" : "completed";
    return is_running ? "running" : "pending";
}

static void write_locked(struct crn_trigger *trigger, const struct crn_job_status *status,
                         const char *key, struct crn_json_out *out)
{
    char id[CRN_TRIGGER_ID_SIZE];
    cairn_savepoint_info savepoint = trigger->savepoint;
    savepoint.struct_size = sizeof savepoint;
    if (trigger->handle != NULL && cairn_savepoint_status(trigger->handle, &savepoint, NULL) < 0)
        savepoint.id = 0;
    const struct crn_status_snapshot *running =
        trigger->order.kind == CRN_ORDER_CHECKPOINT && !trigger->is_over
            ? find_running(trigger, status)
            : NULL;
    crn_trigger_id(trigger->triggers, trigger->number, id);
    crn_json_begin(out, key, '{');
    crn_json_text(out, "trigger_id", id);
    crn_json_text(out, "type", crn_order_word(trigger->order.kind));
    crn_json_text(out, "state", state_of(trigger, running != NULL || savepoint.id != 0));
    crn_json_i64(out, "time_ms", trigger->time_ms);
    if (trigger->is_over)
        crn_json_i64(out, "end_time_ms", trigger->end_time_ms);
    else
        crn_json_null(out, "end_time_ms");
    if (savepoint.id != 0)
        put_savepoint(&savepoint, out);
    else if (running != NULL || trigger->checkpoint.id != 0)
        put_checkpoint(&trigger->checkpoint, running, out);
    else
        crn_json_null(out, "snapshot");
    if (trigger->is_over && trigger->code < 0)
        crn_view_error(out, "error", trigger->code, trigger->error);
    else
        crn_json_null(out, "error");
    crn_json_end(out, '}');
    trigger->asked_us = crn_now_us();
    trigger->is_told |= trigger->is_over;
}

int crn_triggers_write(struct crn_triggers *triggers, uint64_t number,
                       const struct crn_job_status *status, struct crn_json_out *out)
{
    crn_mutex_lock(&triggers->lock);
    struct crn_trigger *trigger = triggers->table[number % CRN_TRIGGERS_KEPT];
    bool is_there = trigger != NULL && trigger->number == number;
    if (is_there)
        write_locked(trigger, status, NULL, out);
    crn_mutex_unlock(&triggers->lock);
    return is_there ? 0 : CAIRN_ENOTFOUND;
}

void crn_triggers_write_all(struct crn_triggers *triggers, const struct crn_job_status *status,
                            struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_begin(out, "triggers", '[');
    crn_mutex_lock(&triggers->lock);
    uint64_t below =
        UINT64_MAX; /* numbers may have gaps: the next one is the highest below the last */
    for (;;) {
        struct crn_trigger *next = NULL;
        for (size_t i = 0; i < CRN_TRIGGERS_KEPT; i++) {
            struct crn_trigger *trigger = triggers->table[i];
            if (trigger != NULL && trigger->number < below &&
                (next == NULL || trigger->number > next->number))
                next = trigger;
        }
        if (next == NULL)
            break;
        write_locked(next, status, NULL, out);
        below = next->number;
    }
    crn_mutex_unlock(&triggers->lock);
    crn_json_end(out, ']');
    crn_json_end(out, '}');
}

bool crn_triggers_wants_status(struct crn_triggers *triggers)
{
    bool wants = false;
    crn_mutex_lock(&triggers->lock);
    for (size_t i = 0; i < CRN_TRIGGERS_KEPT; i++) {
        const struct crn_trigger *trigger = triggers->table[i];
        wants |=
            trigger != NULL && !trigger->is_over && trigger->order.kind == CRN_ORDER_CHECKPOINT;
    }
    crn_mutex_unlock(&triggers->lock);
    return wants;
}

/* A number of 1 to 19 digits, without a leading zero. */
static bool parse_number(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;
    for (; *p >= '0' && *p <= '9' && p - *text < 19; p++)
        value = 10 * value + (uint64_t)(*p - '0');
    bool is_number = p > *text && **text != '0';
    *text = p;
    *ret = value;
    return is_number;
}

int crn_trigger_id_parse(const char *text, uint64_t *ret_epoch, uint64_t *ret_number)
{
    bool is_id = parse_number(&text, ret_epoch) && *text++ == '-' &&
                 parse_number(&text, ret_number) && *text == '\0';
    return is_id ? 0 : CAIRN_EINVAL;
}
