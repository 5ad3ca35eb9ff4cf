/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_EMITTER_H
#define CRN_TESTS_EMITTER_H

#include "tests/support/job_fixture.h"

/* A service that writes the numbers from 0 on into files, through a file sink: each line is
 * "<number>\n". What is left to be written is operator state, as ranges that a rescaled restore deals
 * out. All of its tasks run in the calling thread, with the heap backend. */

#define EMITTER_SUBTASKS 4
#define EMITTER_RANGES 6

struct emitter_range {
    int64_t next, end;
};
struct emitter_task {
    cairn_task *task;
    cairn_operator_list *left;
    cairn_file_sink *sink;
    struct emitter_range ranges[EMITTER_RANGES];
    size_t count;
};
struct emitter {
    cairn_job *job;
    uint32_t parallelism;
    struct emitter_task tasks[EMITTER_SUBTASKS];
};

/* Its store is a directory below f->root, in memory if there is room, so that a process can die and another go on. */
void emitter_init(struct fixture *f);
/* The job "emitter" with operator "out"; `options` of the sinks as given. */
int emitter_open(const struct fixture *f, struct emitter *e, uint32_t parallelism,
                 const cairn_file_sink_options *options, cairn_error **reterr);
/* The same up to and without cairn_job_start(). */
int emitter_prepare(const struct fixture *f, struct emitter *e, uint32_t parallelism,
                    const cairn_file_sink_options *options, cairn_error **reterr);
void emitter_close(struct emitter *e);
/* At most so many of the numbers that are left. @return how many were written */
unsigned emitter_write(struct emitter *e, unsigned count);
/* A checkpoint is complete; its events wait in the mailboxes. */
void emitter_checkpoint(struct emitter *e);
/* Fetch all events. @return 0 or what poll gave */
int emitter_poll(struct emitter *e, cairn_error **reterr);
/* To the end, with a checkpoint every `per_checkpoint` numbers and one at the end. */
void emitter_run(struct emitter *e, unsigned per_checkpoint);

#define EMITTER_NUMBERS 60 /* there are, all in all */

/* What others see in a directory. */
struct emitter_output {
    unsigned seen[EMITTER_NUMBERS]; /* how often each number is visible */
    unsigned files, hidden;
    uint64_t largest; /* file, in bytes */
};
struct emitter_output emitter_look(const char *directory);
/* Every number is visible once; false: some is not visible at all, and none is twice. */
bool emitter_is_whole(const struct emitter_output *output);

#endif
