/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CLAIM_KIT_H
#define CRN_TESTS_CLAIM_KIT_H

#include "tests/support/oracle.h"
#include "tests/support/savepoints.h"

/* Jobs that start from the snapshots of job "src": a case sets up `f` and `oracle`, whose state the newest
 * checkpoint of "src" and the savepoint SAVEPOINT have. */
#define SAVEPOINT "savepoint-src"
extern struct fixture f;
extern struct oracle oracle;
extern uint64_t seed;

/* The next open starts from that directory of f.store; NULL: from the job's own log. */
void start_from(const char *name, cairn_claim_mode mode);
/* Of a savepoint that was claimed nothing stays; of a job, word of where it is. */
void check_is_gone(cairn_store *store, const char *source);
/* The job has the oracle's state. */
void check_state(struct subject *s);
/* Changes, a checkpoint, and the same state again after a restart without any source. */
cairn_checkpoint_info go_on(struct subject *s, const char *name);

#endif
