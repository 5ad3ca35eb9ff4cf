/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_STATUS_H
#define CRN_ENGINE_STATUS_STATUS_H

#include "base/buffer.h"
#include "engine/status/histogram.h"
#include "cairn/inspect.h"
#include <stdatomic.h>
#include <stdbool.h>

/*
 * What a running job tells about itself: one picture, gathered for whoever asks (the control
 * endpoint, /metrics, `cairn top`). It is a copy: nothing in it changes or goes away before
 * crn_status_free(), also when the job is closed meanwhile.
 *
 * Gathering holds job->lock for moments only and asks neither the store nor the log. Figures of
 * different tasks are of slightly different moments.
 *
 * Words. Each enum has a function that gives its values as words: those of docs/rest.md, of log
 * fields and of labels. They are stable.
 */

struct cairn_job;

/* ------------------------------------------------------------------------------------------ *
 * Tasks
 * ------------------------------------------------------------------------------------------ */

struct crn_status_task {
    bool is_remote;  /* in a worker of this coordinator: only who it is is known, but for what the
                        newest checkpoint of this run tells */
    uint32_t worker; /* its index, if so */
    bool
        has_record; /* a remote one: is_finished and stats.barrier_last_us are of that checkpoint */
    char *uid;
    char *name; /* for people */
    uint32_t subtask, parallelism, max_parallelism;
    uint32_t key_group_first, key_group_last; /* inclusive */
    bool is_finished;                         /* its input has ended */
    uint64_t keys_set;                        /* times that a key was set, since it was opened */
    cairn_task_stats stats;
    uint32_t events_waiting; /* that poll has not fetched yet */
    bool has_gate;
    uint32_t gate_channels;
    bool gate_is_aligning; /* some barriers have come, others have not */
    cairn_gate_stats gate; /* zeros without a gate */
};

/* ------------------------------------------------------------------------------------------ *
 * Snapshots in flight
 * ------------------------------------------------------------------------------------------ */

/* How far a task is with one snapshot. */
enum crn_part_phase {
    CRN_PART_WAITING,   /* its barrier has not been taken */
    CRN_PART_ALIGNING,  /* a barrier has come to its gate, others have not */
    CRN_PART_CAPTURING, /* state is taken; memtables are flushed, files linked */
    CRN_PART_UPLOADING,
    CRN_PART_ACKED /* everything is in the store */
};
#define CRN_PART_PHASES 5u
const char *crn_part_phase_word(enum crn_part_phase phase);

enum crn_snapshot_phase {
    CRN_SNAPSHOT_TASKS,      /* tasks are at work */
    CRN_SNAPSHOT_COMMITTING, /* all tasks are through: its turn in the log is waited for, or its
                                record written */
    CRN_SNAPSHOT_ABORTING    /* given up: that is written to the log, and what there is removed */
};
const char *crn_snapshot_phase_word(enum crn_snapshot_phase phase);

struct crn_status_part {
    const char *uid; /* of status->tasks, or "" if the task was closed meanwhile */
    uint32_t subtask;
    enum crn_part_phase phase; /* of a remote task: it waits, or its worker has acknowledged */
};

struct crn_status_snapshot {
    uint64_t id;
    cairn_record_kind kind; /* CHECKPOINT or SAVEPOINT */
    bool is_full;           /* asked for as full */
    bool is_stop;           /* the job stops with it */
    cairn_savepoint_format format;
    char *location; /* savepoints: where it goes; else "" */
    enum crn_snapshot_phase phase;
    int64_t trigger_time_ms;
    uint64_t age_us;
    uint64_t timeout_left_us;               /* 0: it is over; UINT64_MAX: as good as none */
    uint64_t done_bytes;                    /* sent, or of a canonical savepoint read */
    uint64_t total_bytes;                   /* to be sent, as far as it is known; 0: not yet */
    uint32_t phase_counts[CRN_PART_PHASES]; /* tasks, by crn_part_phase */
    char *reason;                           /* ABORTING: why; else "" */
    struct crn_status_part *parts;
    size_t part_count;
    bool *acked; /* which workers have acknowledged, by index */
    size_t worker_count, workers_acked;
};

/* ------------------------------------------------------------------------------------------ *
 * Other processes of the job
 * ------------------------------------------------------------------------------------------ */

/* A worker that has joined, as its coordinator knows it. */
struct crn_status_worker {
    char *name, *host;
    uint64_t pid;
    uint32_t index;
    uint64_t task_count;
    uint64_t silent_us; /* since the last sign of life */
    bool is_lost;
};

/* ------------------------------------------------------------------------------------------ *
 * Snapshots that have ended
 * ------------------------------------------------------------------------------------------ */

enum crn_outcome {
    CRN_OUTCOME_COMPLETE,
    CRN_OUTCOME_FAILED,   /* declined, timed out, not committed */
    CRN_OUTCOME_SUBSUMED, /* a later one was complete before */
    CRN_OUTCOME_CANCELLED /* the job ended, or was taken over */
};
const char *crn_outcome_text(enum crn_outcome outcome);

/* Of one task. Durations are zero for what it did not come to. */
struct crn_ended_task {
    const char *uid;
    uint32_t subtask;
    enum crn_part_phase phase; /* how far it came */
    bool is_finished;          /* its input had ended before */
    uint64_t start_delay_us;   /* trigger to barrier */
    uint64_t align_us;
    uint64_t stall_us; /* time that its thread spent in the barrier */
    uint64_t flush_us, capture_us, upload_us;
    uint64_t full_bytes, new_bytes, in_flight_bytes;
    uint64_t file_count, new_file_count;
};

/* Immutable, shared by whoever looks at it. */
struct crn_ended {
    atomic_uint refs;
    uint64_t id;
    uint64_t epoch;
    cairn_record_kind kind; /* CHECKPOINT, SAVEPOINT; of an earlier run also FENCE: a start of the
                               job, and ABORTED: one of the two that failed */
    enum crn_outcome outcome;
    bool is_earlier; /* of an earlier run of the job, as its log tells: without tasks unless it is
                        retained, and without what only the run knew */
    bool is_full;
    bool is_stop;
    cairn_savepoint_format format;
    const char *location;   /* savepoints; else "" */
    const char *reason;     /* of a failure, with its task; else "" */
    const char *failed_uid; /* the task that it failed for; "": none, or not known */
    uint32_t failed_subtask;
    int64_t trigger_time_ms, end_time_ms;
    uint64_t duration_us;
    uint64_t start_delay_max_us, stall_max_us, align_max_us; /* of the task that took longest */
    uint64_t flush_max_us, capture_max_us, upload_max_us;
    uint64_t commit_us; /* writing its record to the log, with all tries */
    uint64_t full_bytes, new_bytes, in_flight_bytes;
    uint64_t file_count, new_file_count;
    uint64_t requests, sent_bytes;      /* until its record was written, or it failed */
    const struct crn_ended_task *tasks; /* large jobs: of the newest only */
    size_t task_count;
};

struct crn_status_counts {
    uint64_t completed, failed, subsumed, cancelled; /* checkpoints */
    uint64_t savepoints_completed, savepoints_failed;
    uint64_t failed_in_row; /* checkpoints */
};

/* Of complete checkpoints of this run. Stall, alignment and upload: one value per task. */
struct crn_status_histograms {
    struct crn_histogram duration_us;
    struct crn_histogram stall_us;
    struct crn_histogram align_us;   /* tasks with a gate */
    struct crn_histogram capture_us; /* flush and links */
    struct crn_histogram upload_us;
    struct crn_histogram commit_us;
    struct crn_histogram new_bytes;
};

/* ------------------------------------------------------------------------------------------ *
 * The job
 * ------------------------------------------------------------------------------------------ */

/* One option, by the name that it has as a setting; secrets are left out. */
struct crn_status_option {
    const char *name; /* static */
    char *value;
};

struct crn_job_status {
    char *job;
    cairn_role role;
    char *worker_name;                 /* of a worker: its own; else "" */
    uint64_t post_age_us;              /* of a worker: since its coordinator last said something */
    struct crn_status_worker *workers; /* of a coordinator, by index */
    size_t worker_count;
    uint64_t workers_wanted, workers_lost; /* of a coordinator; else 0 */
    uint64_t worker_timeout_ms;
    cairn_job_state state;
    uint64_t epoch;
    char host[256];
    uint64_t pid;
    int64_t start_time_ms;       /* when the job was opened */
    int64_t now_ms;              /* when this was gathered */
    const char *library_version; /* static */
    const char *state_backend;   /* static */
    char *store;                 /* for people */
    char *store_caveat;          /* as cairn_store_caveat() has it; else "" */
    char *stop_reason;           /* when the job has ended: how and why; else "" */

    uint64_t checkpoint_interval_ms; /* 0: none by themselves */
    uint64_t checkpoint_timeout_ms;

    bool has_restored;
    char *restored_from; /* of another place than the job's own log; else "" */
    cairn_checkpoint_info restored;
    bool has_latest; /* the newest complete checkpoint, of this run or restored */
    cairn_checkpoint_info latest;
    int64_t latest_end_time_ms; /* 0: not known */

    struct crn_status_option *options;
    size_t option_count;
    struct crn_status_task *tasks; /* by uid, then subtask */
    size_t task_count;
    struct crn_status_snapshot *in_flight; /* by id */
    size_t in_flight_count;
    uint32_t savepoints_waiting;    /* asked for and not begun */
    const struct crn_ended **ended; /* newest first: up to CRN_STATUS_ENDED_MAX of this run, then
                                       as many of earlier ones, of which the log told */
    size_t ended_count;
    struct crn_status_counts counts;
    struct crn_status_histograms histograms;
    /* To the store, by this process since the job was opened. */
    uint64_t store_requests, store_sent_bytes, store_received_bytes;
};
#define CRN_STATUS_ENDED_MAX 64u

/* Any thread but from a callback; not under job->lock. CAIRN_ECLOSED once the job is closing,
 * CAIRN_ENOMEM. */
int crn_status_take(struct cairn_job *job, struct crn_job_status **ret, cairn_error **reterr);
void crn_status_free(struct crn_job_status *status); /* NULL is fine */
const char *crn_job_state_word(cairn_job_state state);
const char *crn_role_word(cairn_role role);
const char *crn_record_kind_word(cairn_record_kind kind);

/* metrics.c: appended in Prometheus' text format, version 0.0.4. 0 or CAIRN_ENOMEM. */
int crn_metrics_write(const struct crn_job_status *status, struct cairn_buffer *out);

#endif
