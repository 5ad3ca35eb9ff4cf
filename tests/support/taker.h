/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_TAKER_H
#define CRN_TESTS_TAKER_H

#include "tests/support/job_fixture.h"
#include "tests/support/oracle.h"

/* A job "job" that takes savepoints, over each of the state backends, and what can be said of
 * these. What one holds is read back by starting another job from it. */

enum kind { FAKE, ROCKSDB, HEAP, KINDS };

struct taker {
    struct fixture f;
    struct subject s;
    struct oracle oracle;
    uint64_t random;
    cairn_store *target; /* a fault store, apart from the job's */
    char *target_dir;    /* NULL: in memory */
};

void taker_init(struct taker *t, enum kind kind);
void taker_done(struct taker *t);
/* The job's state and the oracle's, alike. */
void mutate(struct taker *t);
void checkpoint(struct taker *t);

cairn_savepoint_options options_for(cairn_store *target, cairn_savepoint_format format);
/* With all tasks polling. */
int take(struct taker *t, const cairn_savepoint_options *options, cairn_savepoint_info *ret,
         cairn_error **reterr);

/* A savepoint's directory; must be freed. */
char *name_of(uint64_t id);
/* Another job that starts from the savepoint has this state. */
void expect_state(struct taker *t, cairn_store *store, uint64_t id, const struct oracle *oracle);
/* Nothing in it is damaged, and everything that is there is referenced. */
void expect_whole(cairn_store *store, uint64_t id);

#endif
