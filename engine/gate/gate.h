/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_GATE_H
#define CRN_ENGINE_GATE_H

#include "engine/gate/alignment.h"
#include "engine/gate/in_flight.h"
#include "engine/job/job.h"

/*
 * The gate of a task: what gate.c (the public calls), turn.c (what poll asks), part.c (records in
 * flight on their way into a checkpoint) and restored.c (and back out of one) share.
 *
 * All of it is the task's thread's, but for `logging`, which job->lock guards: the driver takes it
 * away when the attempt is over.
 */

/* Why nothing may come out of any channel. */
enum {
    CRN_GATE_HOLD_DUE = 1,     /* a barrier is to be taken first */
    CRN_GATE_HOLD_RESTORED = 2 /* records of the restored checkpoint come first */
};

/* Of an entry of the alignment. */
struct crn_gate_times {
    uint64_t id;
    uint64_t first_us;    /* when the first sign of it came; 0: none yet */
    uint64_t deadline_us; /* when it may overtake */
};

/* cairn_gate_stats, and which alignment runs, for whoever looks. */
struct crn_gate_figures {
    atomic_uint_fast64_t records, barriers, given_up, overtaken;
    atomic_uint_fast64_t alignment_last_us, alignment_max_us, in_flight_bytes;
    atomic_uint_fast64_t aligning_id; /* 0: none */
};

struct cairn_gate {
    struct cairn_task *task;
    cairn_gate_options options; /* defaults filled in */
    struct crn_alignment alignment;
    struct crn_gate_times times[CRN_ALIGN_ENTRIES_MAX];
    unsigned hold;
    uint64_t clock_us; /* when the running alignment may overtake; UINT64_MAX: none */

    struct crn_in_flight log; /* of the checkpoint that was taken last, until it is handed over */
    uint64_t log_id;
    cairn_barrier log_barrier;
    bool is_collecting;
    uint32_t collecting_channel;
    int collect_code; /* first failure to keep what was collected */

    struct crn_in_flight restored;
    size_t restored_at; /* the next one to be fetched */
    uint64_t restored_left;

    struct crn_gate_figures figures;

    /* Guarded by job->lock. */
    struct crn_part *logging; /* waits for the records in flight; NULL: none */
};

void crn_gate_free(struct cairn_gate *gate);
/* Any thread. */
void crn_gate_read_figures(const struct cairn_gate *gate, cairn_gate_stats *ret);

/* turn.c */
/* Something happens to the alignment; what follows is done. */
void crn_gate_step(struct cairn_gate *gate, const struct crn_alignment_event *event);
/* A sign of this checkpoint comes: remember when, and whether it may overtake. */
void crn_gate_note_sign(struct cairn_gate *gate, uint64_t id);
/* Which checkpoints does the job want of this task? Without the lock. */
void crn_gate_sync(struct cairn_gate *gate);
/* What poll has to do before it looks for a barrier, and behind one: without the lock. */
void crn_gate_turn(struct cairn_gate *gate);
/* The part whose barrier is due and can be taken; NULL: none. Lock held. */
struct crn_part *crn_gate_due_locked(const struct cairn_gate *gate);
/* Is one due that cannot be taken yet, since an earlier capture has the database? Its place is
 * here: nothing may come out of a channel before it is taken. Lock held. */
bool crn_gate_has_to_wait_locked(const struct cairn_gate *gate);
/* When the running alignment may overtake; UINT64_MAX: none runs against a clock. */
uint64_t crn_gate_clock_us(const struct cairn_gate *gate);
/* Is that time over, or has something changed? */
bool crn_gate_is_wanted(const struct cairn_gate *gate);
/* Has every channel ended? Then the task takes its barriers as a source does. */
bool crn_gate_has_ended(const struct cairn_gate *gate);
/* Around the barrier, in this order; the last one if it could not be taken. */
int crn_gate_prepare(struct cairn_gate *gate, const struct crn_part *part, cairn_error **reterr);
void crn_gate_taken(struct cairn_gate *gate, struct crn_part *part, uint64_t began_us);
void crn_gate_not_taken(struct cairn_gate *gate, uint64_t id);

/* part.c */
/* The part is not finished before crn_gate_hand_over() or crn_gate_abandon(), unless its attempt is
 * over. */
void crn_gate_attach(struct cairn_gate *gate, struct crn_part *part);
/* All records in flight are known: into the checkpoint with them. */
void crn_gate_hand_over(struct cairn_gate *gate);
/* They cannot be kept: the checkpoint is declined. Takes the error. */
void crn_gate_abandon(struct cairn_gate *gate, int code, cairn_error *error);
/* The task is not going to take this barrier: the checkpoint is declined. Takes the error. */
void crn_gate_refuse(struct cairn_gate *gate, uint64_t id, int code, cairn_error *error);
/* The attempt is over: none of its parts waits for a gate any more. The driver's. */
void crn_gates_forget(struct crn_attempt *attempt);
/* In the part's last upload: the file becomes the subtask's. */
int crn_part_add_in_flight(struct crn_part *part, cairn_error **reterr);

/* restored.c */
int crn_gate_restore(struct cairn_gate *gate, cairn_error **reterr);
/* Operators with records in flight whose tasks have no gate: CAIRN_ENONRESTORED, or a warning if
 * that is allowed. Lock held. */
int crn_gates_check_locked(const struct cairn_job *job, cairn_error **reterr);

#endif
