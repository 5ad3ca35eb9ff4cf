/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_SINK_H
#define CAIRN_SINK_H

/*
 * Sinks: output that others see, exactly once. cairn.h includes this; what it says of errors, NULL and options
 * structs holds here.
 *
 * TWO PHASES. What a task writes outside goes into a *transaction*: something that can be finished completely
 * (prepare), then made visible at any later time, also by another process (commit), or thrown away (abort). A
 * transaction is known by its description: bytes that `begin` makes, such as a file's name, and that suffice for
 * the other calls.
 *
 *     open ----begin----> active --barrier: prepare--> prepared --checkpoint complete: commit--> gone
 *                            |  and a new one begins        |
 *                            | crash                        | crash
 *                            v                              v
 *                        nobody knows it:            in the restored checkpoint: commit at open
 *                        see `sweep`                 of a later, lost checkpoint: nobody knows it: see `sweep`
 *
 * Prepared transactions are operator state of the task, so a checkpoint holds exactly those whose output belongs
 * to it. All calls are made by the library from the task's own thread: at its barrier, and when cairn_task_poll()
 * delivers COMPLETED or STOPPED. A checkpoint that is aborted takes nothing back: what was prepared for it is
 * committed with the next one. An ordinary savepoint commits nothing, yet holds what is prepared: a job that is
 * started from it commits that, as if it were a checkpoint. (If the run that took it crashed before its next
 * checkpoint, start from it before another run completes one: that sweeps what its own state does not know.)
 *
 * GUARANTEE. With gates in exactly-once mode and a source that is read again from the position in its state, each
 * result is visible exactly once, whatever is killed when, provided that commit and abort may be repeated
 * (a crash may come between the call and its being noted). In at-least-once mode results may appear again.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The service's side. Each function returns 0 or a negative code, and may fill *reterr. They may not call into
 * the job, but for encoding. */
typedef struct cairn_two_phase_functions {
    /* A new transaction: append its description, not empty, to `description`. Called when the first output of
     * a barrier's time is announced by cairn_two_phase_current(). */
    int (*begin)(void *context, cairn_buffer *description, cairn_error **reterr);
    /* Everything that was written to it becomes durable, so that commit cannot fail for want of it. A failure
     * aborts the checkpoint; the transaction stays active, and is prepared again at the next barrier. */
    int (*prepare)(void *context, const void *description, size_t size, cairn_error **reterr);
    /* Make it visible. May be called again for the same one. A failure is given by cairn_task_poll(), or
     * cairn_two_phase_open(), and is tried again. */
    int (*commit)(void *context, const void *description, size_t size, cairn_error **reterr);
    /* It will not be committed: an active one, when the task is closed. May be called again. NULL: nothing is
     * to be done. */
    int (*abort)(void *context, const void *description, size_t size, cairn_error **reterr);
    /* Once after each start: every transaction that any earlier run of this operator began is settled now but
     * for those that this run itself began; what else is found may be removed. Called in subtask 0 when the
     * first checkpoint of this run is complete, if every subtask has opened this sink. NULL: nothing is to be
     * done. */
    int (*sweep)(void *context, cairn_error **reterr);
    void *context;
} cairn_two_phase_functions;

/** Register a two-phase sink with a task, before cairn_job_start(), and commit what the restored snapshot holds
 * as prepared. `name` is that of its operator state. It goes with the task.
 * @return 0, as cairn_operator_list_state(), CAIRN_EINVAL (the job has started, a function is missing), or what
 *         commit gave. */
CAIRN_API CAIRN_MUST_CHECK int cairn_two_phase_open(cairn_task *task, const char *name,
                                                    const cairn_two_phase_functions *functions,
                                                    cairn_two_phase **ret_sink, cairn_error **reterr);
/** The active transaction, to write to; begun if there is none. The description is valid until the next call on
 * the task. @return 0, CAIRN_EINVAL (not started), CAIRN_ECLOSED, CAIRN_ENOMEM, or what begin gave. */
CAIRN_API CAIRN_MUST_CHECK int cairn_two_phase_current(cairn_two_phase *sink,
                                                       const void **ret_description, size_t *ret_size,
                                                       cairn_error **reterr);

/* ------------------------------------------------------------------------------------------ *
 * A sink that writes files
 * ------------------------------------------------------------------------------------------ */

typedef struct cairn_file_sink_options {
    uint32_t struct_size;
    const char *directory;   /* where files appear; made when missing. Several tasks may share it. A link is
                                followed once, when the sink is opened */
    const char *prefix;      /* of file names; NULL: the operator's uid. Sinks that share a directory need
                                different ones. No '/', not starting with '.' */
    const char *suffix;      /* such as ".jsonl"; NULL: none. No '/' */
    uint64_t max_file_bytes; /* a file that has reached this is followed by another; 0: one file per barrier */
} cairn_file_sink_options;
#define CAIRN_FILE_SINK_OPTIONS_INIT {sizeof(cairn_file_sink_options), 0, 0, 0, 0}

/** A sink whose output are files "<prefix>-<epoch>-<subtask>-<n><suffix>", which appear whole, with their final
 * name, once a checkpoint that holds their records is complete; never again, and never changed. Until then they
 * are hidden files ".cairn-tmp-..." in the same directory; those of a run that crashed are removed when the next
 * run's first checkpoint is complete. An empty file never appears, and no other file is ever replaced. Readers may
 * take a file away as soon as it has appeared.
 * @return as cairn_two_phase_open(), CAIRN_EEXIST (also: another sink of this job would give its files the same
 *         names), CAIRN_EACCES, CAIRN_ENOSPC, CAIRN_EIO. */
CAIRN_API CAIRN_MUST_CHECK int cairn_file_sink_open(cairn_task *task, const char *name,
                                                    const cairn_file_sink_options *options,
                                                    cairn_file_sink **ret_sink, cairn_error **reterr);
/** Append a record's bytes; nothing is added to them. Buffered.
 * @return 0, CAIRN_EINVAL (not started), CAIRN_ECLOSED, CAIRN_ENOSPC, CAIRN_EACCES, CAIRN_EIO. After a failure the
 *         file is as before the call. */
CAIRN_API CAIRN_MUST_CHECK int cairn_file_sink_write(cairn_file_sink *sink, const void *data, size_t size,
                                                     cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
