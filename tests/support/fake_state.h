/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_FAKE_STATE_H
#define CRN_TESTS_FAKE_STATE_H

#include "backends/state/state.h"

/* A second implementation of struct crn_state_ops, in memory, for tests that must not have RocksDB
 * in them: under TSan, after fork(), in thousands of runs with injected faults. Deterministic: the
 * same calls give the same files, byte for byte. Same signature as crn_rocksdb_open(). */
extern const struct crn_state_backend crn_fake_backend;
int crn_fake_state_open(const struct crn_state_config *config, struct crn_state_db **ret_db,
                        cairn_error **reterr);

#endif
