/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_BENCH_WRITER_H
#define CAIRN_BENCH_WRITER_H

#include "tools/bench/workload.h"

/* What a writer writes to: the first member of a method, or of a database. */
struct bench_target {
    /* One record, and whatever the method wants of the writer's thread between records. */
    int (*put)(struct bench_target *target, const struct bench_record *record,
               cairn_error **reterr);
};

/* What happened between two marks. */
struct bench_window {
    uint64_t puts;
    uint64_t longest_put_ns;
    /* The same without the time that the put's thread was ready to run and waited for a processor:
     * what remains was done, or waited for, by the put itself. */
    uint64_t longest_own_ns;
    uint64_t cpu_ns;   /* of the writer's thread */
    uint64_t switches; /* times that it was put off its processor */
};

/* A thread that replays the updates of one round, over and over, at a steady rate, while a
 * checkpoint runs. Open loop: after a stall it catches up. */
struct bench_writer;
int bench_writer_start(struct bench_target *target, const struct bench_workload *workload,
                       uint32_t round, uint64_t rate, struct bench_writer **ret,
                       cairn_error **reterr);
/* End a window and begin the next; waits for the put under way, so that a stall which outlasts what
 * caused it is seen whole. @return 0 or the writer's failure. */
int bench_writer_mark(struct bench_writer *writer, struct bench_window *ret, cairn_error **reterr);
/* Stop and free it; NULL is fine. *ret_puts (may be NULL): all that it put.
 * @return 0 or the writer's failure. */
int bench_writer_stop(struct bench_writer *writer, uint64_t *ret_puts, cairn_error **reterr);

#endif
