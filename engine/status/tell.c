/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line in the log for each snapshot that ended: what it was, how it ended, where the time went,
 * how much there is and how much of it is new; the same in fields. At info; a failure is a warning.
 */
#include "engine/status/fields.h"

#include "engine/status/ended.h"
#include "engine/status/recorder.h"

#include <inttypes.h>
#include <stdio.h>

static enum crn_told told_of(const struct crn_ended *ended)
{
    bool is_savepoint = ended->kind == CAIRN_RECORD_SAVEPOINT;
    switch (ended->outcome) {
    case CRN_OUTCOME_COMPLETE:
        return is_savepoint ? CRN_TOLD_SAVEPOINT_COMPLETE : CRN_TOLD_CHECKPOINT_COMPLETE;
    case CRN_OUTCOME_FAILED:
        return is_savepoint ? CRN_TOLD_SAVEPOINT_FAILED : CRN_TOLD_CHECKPOINT_FAILED;
    case CRN_OUTCOME_SUBSUMED:
        return CRN_TOLD_CHECKPOINT_SUBSUMED;
    case CRN_OUTCOME_CANCELLED:
        break;
    }
    return is_savepoint ? CRN_TOLD_SAVEPOINT_CANCELLED : CRN_TOLD_CHECKPOINT_CANCELLED;
}

static void add_identity(struct crn_fields *fields, const struct crn_ended *ended)
{
    crn_fields_text(fields, CRN_FIELD_EVENT, crn_told_word(told_of(ended)));
    crn_fields_number(fields, CRN_FIELD_CHECKPOINT_ID, ended->id);
    crn_fields_text(fields, CRN_FIELD_KIND, crn_record_kind_word(ended->kind));
    crn_fields_text(fields, CRN_FIELD_TYPE, crn_ended_type_word(ended));
    crn_fields_text(fields, CRN_FIELD_OUTCOME, crn_outcome_text(ended->outcome));
    crn_fields_number(fields, CRN_FIELD_DURATION_US, ended->duration_us);
    if (ended->location[0] != '\0')
        crn_fields_text(fields, CRN_FIELD_LOCATION, ended->location);
}

static void add_figures(struct crn_fields *fields, const struct crn_ended *ended)
{
    crn_fields_number(fields, CRN_FIELD_START_DELAY_US, ended->start_delay_max_us);
    crn_fields_number(fields, CRN_FIELD_ALIGN_US, ended->align_max_us);
    crn_fields_number(fields, CRN_FIELD_STALL_US, ended->stall_max_us);
    crn_fields_number(fields, CRN_FIELD_FLUSH_US, ended->flush_max_us);
    crn_fields_number(fields, CRN_FIELD_CAPTURE_US, ended->capture_max_us);
    crn_fields_number(fields, CRN_FIELD_UPLOAD_US, ended->upload_max_us);
    crn_fields_number(fields, CRN_FIELD_COMMIT_US, ended->commit_us);
    crn_fields_number(fields, CRN_FIELD_NEW_BYTES, ended->new_bytes);
    crn_fields_number(fields, CRN_FIELD_FULL_BYTES, ended->full_bytes);
    crn_fields_number(fields, CRN_FIELD_IN_FLIGHT_BYTES, ended->in_flight_bytes);
    crn_fields_number(fields, CRN_FIELD_REQUESTS, ended->requests);
    crn_fields_number(fields, CRN_FIELD_SENT_BYTES, ended->sent_bytes);
    crn_fields_number(fields, CRN_FIELD_NEW_FILES, ended->new_file_count);
    crn_fields_number(fields, CRN_FIELD_FILES, ended->file_count);
}

static uint64_t ms(uint64_t us)
{
    return us / 1000;
}

static void tell_complete(const struct crn_log *log, const struct crn_ended *e, uint32_t tasks,
                          uint64_t linked_bytes)
{
    struct crn_fields fields = {0};
    const char *word = crn_record_kind_word(e->kind);
    const bool is_savepoint = e->kind == CAIRN_RECORD_SAVEPOINT;
    add_identity(&fields, e);
    add_figures(&fields, e);
    crn_fields_number(&fields, CRN_FIELD_TASKS, tasks);
    if (is_savepoint)
        crn_fields_number(&fields, CRN_FIELD_LINKED_BYTES, linked_bytes);
    char place[64] = "", cost[80] = "";
    if (e->requests > 0)
        (void)snprintf(cost, sizeof cost, ", %" PRIu64 " requests with %" PRIu64 " bytes",
                       e->requests, e->sent_bytes);
    if (is_savepoint)
        (void)snprintf(place, sizeof place, ", %" PRIu64 " bytes linked, in ", linked_bytes);
    crn_fields_write(
        log, CAIRN_LOG_INFO, word, &fields,
        "job '%s': %s %" PRIu64 " complete (%s): stall %" PRIu64 " us, %" PRIu64
        " ms (start %" PRIu64 ", align %" PRIu64 ", flush %" PRIu64 ", capture %" PRIu64
        ", upload %" PRIu64 ", commit %" PRIu64 "), new %" PRIu64 " of %" PRIu64 " bytes, %" PRIu64
        " of %" PRIu64 " files, %" PRIu64 " bytes in flight%s, %u tasks%s%s%s%s",
        log->job, word, e->id, crn_ended_type_word(e), e->stall_max_us, ms(e->duration_us),
        ms(e->start_delay_max_us), ms(e->align_max_us), ms(e->flush_max_us), ms(e->capture_max_us),
        ms(e->upload_max_us), ms(e->commit_us), e->new_bytes, e->full_bytes, e->new_file_count,
        e->file_count, e->in_flight_bytes, cost, tasks, place, is_savepoint ? "'" : "", e->location,
        is_savepoint ? "'" : "");
}

static void tell_failed(const struct crn_log *log, const struct crn_ended *e, int code,
                        uint32_t tasks_done)
{
    struct crn_fields fields = {0};
    const char *word = crn_record_kind_word(e->kind);
    const bool is_failure = e->outcome == CRN_OUTCOME_FAILED;
    add_identity(&fields, e);
    crn_fields_text(&fields, CRN_FIELD_REASON, e->reason);
    if (code < 0)
        crn_fields_text(&fields, CRN_FIELD_CODE, cairn_error_name(code));
    if (e->failed_uid[0] != '\0') {
        crn_fields_text(&fields, CRN_FIELD_OPERATOR, e->failed_uid);
        crn_fields_number(&fields, CRN_FIELD_SUBTASK, e->failed_subtask);
    }
    crn_fields_number(&fields, CRN_FIELD_TASKS_DONE, tasks_done);
    crn_fields_number(&fields, CRN_FIELD_TASKS, e->task_count);
    crn_fields_write(log, is_failure ? CAIRN_LOG_WARNING : CAIRN_LOG_INFO, word, &fields,
                     "%s %" PRIu64 " of job '%s' was aborted: %s (%s, after %" PRIu64
                     " ms; %u of %zu tasks done)",
                     word, e->id, log->job, e->reason, crn_ended_type_word(e), ms(e->duration_us),
                     tasks_done, e->task_count);
}

void crn_tell_ended(const struct crn_log *log, const struct crn_ended *ended, int code,
                    uint32_t tasks_done, uint64_t linked_bytes)
{
    if (ended->outcome == CRN_OUTCOME_COMPLETE)
        tell_complete(log, ended, tasks_done, linked_bytes);
    else
        tell_failed(log, ended, code, tasks_done);
}
