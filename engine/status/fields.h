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
    X(NEW_FILES, "new_files")                                                                      \
    X(FILES, "files")                                                                              \
    X(TASKS, "tasks")                                                                              \
    X(TASKS_DONE, "tasks_done")                                                                    \
    X(LOCATION, "location")                                                                        \
    X(EPOCH, "epoch")                                                                              \
    X(RESTORED_ID, "restored_id")

enum crn_field {
#define CRN_X(NAME, name) CRN_FIELD_##NAME,
    CRN_FIELD_MAP(CRN_X)
#undef CRN_X
        CRN_FIELD_COUNT
};
const char *crn_field_name(enum crn_field field);

/* The fields of one line. Texts are borrowed. */
struct crn_fields {
    cairn_log_field items[CRN_FIELD_COUNT];
    char numbers[CRN_FIELD_COUNT][21];
    size_t count;
};
void crn_fields_text(struct crn_fields *fields, enum crn_field field, const char *value);
void crn_fields_number(struct crn_fields *fields, enum crn_field field, uint64_t value);
/* Why something failed: its reason and the code's name. */
void crn_fields_error(struct crn_fields *fields, const cairn_error *error);

#define crn_fields_write(log, level, component, fields, ...)                                       \
    crn_log_write_fields(log, level, component, (fields)->items, (fields)->count, __VA_ARGS__)

#endif
