/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as words: one spelling for the control endpoint, the log's fields and the tool. They are
 * stable; docs/rest.md and docs/operations.md have them.
 */
#include "engine/status/status.h"

const char *crn_part_phase_word(enum crn_part_phase phase)
{
    switch (phase) {
    case CRN_PART_WAITING:
        return "waiting";
    case CRN_PART_ALIGNING:
        return "aligning";
    case CRN_PART_CAPTURING:
        return "capturing";
    case CRN_PART_UPLOADING:
        return "uploading";
    case CRN_PART_ACKED:
        return "acked";
    }
    return "?";
}

const char *crn_snapshot_phase_word(enum crn_snapshot_phase phase)
{
    switch (phase) {
    case CRN_SNAPSHOT_TASKS:
        return "tasks";
    case CRN_SNAPSHOT_COMMITTING:
        return "committing";
    case CRN_SNAPSHOT_ABORTING:
        return "aborting";
    }
    return "?";
}

const char *crn_outcome_text(enum crn_outcome outcome)
{
    switch (outcome) {
    case CRN_OUTCOME_COMPLETE:
        return "complete";
    case CRN_OUTCOME_FAILED:
        return "failed";
    case CRN_OUTCOME_SUBSUMED:
        return "subsumed";
    case CRN_OUTCOME_CANCELLED:
        return "cancelled";
    }
    return "?";
}

const char *crn_job_state_word(cairn_job_state state)
{
    switch (state) {
    case CAIRN_JOB_OPEN:
        return "open";
    case CAIRN_JOB_RUNNING:
        return "running";
    case CAIRN_JOB_STOPPING:
        return "stopping";
    case CAIRN_JOB_STOPPED:
        return "stopped";
    case CAIRN_JOB_CANCELLED:
        return "cancelled";
    case CAIRN_JOB_FAILED:
        return "failed";
    case CAIRN_JOB_FENCED:
        return "fenced";
    }
    return "?";
}

const char *crn_role_word(cairn_role role)
{
    switch (role) {
    case CAIRN_ALONE:
        return "alone";
    case CAIRN_COORDINATOR:
        return "coordinator";
    case CAIRN_WORKER:
        return "worker";
    }
    return "?";
}

const char *crn_record_kind_word(cairn_record_kind kind)
{
    switch (kind) {
    case CAIRN_RECORD_CHECKPOINT:
        return "checkpoint";
    case CAIRN_RECORD_SAVEPOINT:
        return "savepoint";
    case CAIRN_RECORD_ABORTED:
        return "aborted";
    case CAIRN_RECORD_FENCE:
        return "fence";
    }
    return "?";
}
