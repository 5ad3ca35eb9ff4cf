/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_SAVEPOINTS_H
#define CRN_TESTS_SAVEPOINTS_H

#include "tests/support/job_fixture.h"

/* A native savepoint's directory `name`, made of the job's newest checkpoint in the same store,
 * as somebody would who has only the two of them. */
void savepoint_of_checkpoint(cairn_store *store, const char *job, const char *name);

#endif
