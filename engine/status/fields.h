/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_FIELDS_H
#define CRN_ENGINE_STATUS_FIELDS_H

#include "base/log.h"

/*
 * Fields of log lines. X(NAME, name): names are stable, and docs/operations.md lists them all
 * (tests/test_status.c). The job's name is put in front by crn_log_write_fields().
 */
#define CRN_FIELD_MAP(X)                                                                           \
    X(EVENT, "event")                                                                              \
    X(CHECKPOINT_ID, "checkpoint_id")                                                              \
    X(KIND, "kind")                                                                                \
    X(TYPE, "type")                                                                                \
    X(OUTCOME, "outcome")                                                                          \
    X(REASON, "reason")                                                                            \
    X(CODE, "code")                                                                                \
    X(OPERATOR, "operator")                                                                        \
    X(SUBTASK, "subtask")                                                                          \
    X(DURATION_US, "duration_us")                                                                  \
    X(START_DELAY_US, "start_delay_us")                                                            \
    X(ALIGN_US, "align_us")                                                                        \
    X(STALL_US, "stall_us")                                                                        \
    X(FLUSH_US, "flush_us")                                                                        \
    X(CAPTURE_US, "capture_us")                                                                    \
    X(UPLOAD_US, "upload_us")                                                                      \
    X(COMMIT_US, "commit_us")                                                                      \
    X(NEW_BYTES, "new_bytes")                                                                      \
    X(FULL_BYTES, "full_bytes")                                                                    \
    X(IN_FLIGHT_BYTES, "in_flight_bytes")                                                          \
    X(LINKED_BYTES, "linked_bytes")                                                                \
    X(REQUESTS, "requests")                                                                        \
    X(SENT_BYTES, "sent_bytes")                                                                    \
    X(NEW_FILES, "new_files")                                                                      \
    X(FILES, "files")                                                                              \
    X(TASKS, "tasks")                                                                              \
    X(TASKS_DONE, "tasks_done")                                                                    \
    X(LOCATION, "location")                                                                        \
    X(TRIGGER_ID, "trigger_id")                                                                    \
    X(ADDRESS, "address")                                                                          \
    X(EPOCH, "epoch")                                                                              \
    X(RESTORED_ID, "restored_id")

enum crn_field {
#define CRN_X(NAME, name) CRN_FIELD_##NAME,
    CRN_FIELD_MAP(CRN_X)
#undef CRN_X
        CRN_FIELD_COUNT
};
const char *crn_field_name(enum crn_field field);

/* What lines tell, by which programs know them: field `event`. Listed and stable as the names are.
 */
#define CRN_TOLD_MAP(X)                                                                            \
    X(CHECKPOINT_COMPLETE, "checkpoint_complete")                                                  \
    X(CHECKPOINT_FAILED, "checkpoint_failed")                                                      \
    X(CHECKPOINT_SUBSUMED, "checkpoint_subsumed")                                                  \
    X(CHECKPOINT_CANCELLED, "checkpoint_cancelled")                                                \
    X(SAVEPOINT_COMPLETE, "savepoint_complete")                                                    \
    X(SAVEPOINT_FAILED, "savepoint_failed")                                                        \
    X(SAVEPOINT_CANCELLED, "savepoint_cancelled")                                                  \
    X(SNAPSHOT_BEGUN, "snapshot_begun")                                                            \
    X(SNAPSHOT_NOT_BEGUN, "snapshot_not_begun")                                                    \
    X(OUTCOME_NOT_WRITTEN, "outcome_not_written")                                                  \
    X(JOB_OPENED, "job_opened")                                                                    \
    X(JOB_INDEPENDENT, "job_independent")                                                          \
    X(JOB_STOPPED, "job_stopped")                                                                  \
    X(JOB_CANCELLED, "job_cancelled")                                                              \
    X(JOB_FAILED, "job_failed")                                                                    \
    X(JOB_FENCED, "job_fenced")                                                                    \
    X(COORDINATOR_REPLACED, "coordinator_replaced")                                                \
    X(CONTROL_OPEN, "control_open")                                                                \
    X(ORDER_ACCEPTED, "order_accepted")                                                            \
    X(ORDER_COMPLETED, "order_completed")                                                          \
    X(ORDER_FAILED, "order_failed")                                                                \
    X(STORE_CREATED, "store_created")                                                              \
    X(STORE_CAVEAT, "store_caveat")                                                                \
    X(STATE_DROPPED, "state_dropped")                                                              \
    X(LEFTOVERS_REMOVED, "leftovers_removed")                                                      \
    X(LEFTOVERS_STAY, "leftovers_stay")

enum crn_told {
#define CRN_X(NAME, name) CRN_TOLD_##NAME,
    CRN_TOLD_MAP(CRN_X)
#undef CRN_X
        CRN_TOLD_COUNT
};
const char *crn_told_word(enum crn_told told);

/* The fields of one line. Texts are borrowed. */
struct crn_fields {
    cairn_log_field items[CRN_FIELD_COUNT];
    char numbers[CRN_FIELD_COUNT][21];
    size_t count;
};
void crn_fields_text(struct crn_fields *fields, enum crn_field field, const char *value);
void crn_fields_number(struct crn_fields *fields, enum crn_field field, uint64_t value);
/* Facts of a line that has few; what is zero or NULL is left out. */
struct crn_facts {
    enum crn_told told;
    const char *kind;
    uint64_t checkpoint_id, epoch, restored_id;
    const char *location;
    const char *reason;
    const cairn_error *error; /* its message is the reason, and its code is told */
};
void crn_fields_of(const struct crn_facts *facts, struct crn_fields *ret);

/* A line with fields. */
#define crn_fields_write(log, level, component, fields, ...)                                       \
    crn_log_write_fields(log, level, component, (fields)->items, (fields)->count, __VA_ARGS__)
/* The same, with facts: crn_tell(log, level, component, CRN_FACTS(.told = ...), format, ...) */
#define CRN_FACTS(...) (&(const struct crn_facts){__VA_ARGS__})
#define crn_tell(log, level, component, facts, ...)                                                \
    do {                                                                                           \
        struct crn_fields crn_fields_;                                                             \
        crn_fields_of(facts, &crn_fields_);                                                        \
        crn_fields_write(log, level, component, &crn_fields_, __VA_ARGS__);                        \
    } while (0)

#endif
