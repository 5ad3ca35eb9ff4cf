/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_STORM_H
#define CRN_TESTS_S3_STORM_H

#include "tests/support/s3/proxy.h"

#include "cairn/cairn.h"

/* A job that goes on (incremental checkpoints, retention, savepoints, restarts) while a proxy
 * spoils what it says to its store, and what must hold once the proxy stops. Needs Check. */
struct storm {
    struct proxy *proxy;
    cairn_store *store;  /* through the proxy; short timeouts make it shorter */
    cairn_store *direct; /* not */
    uint64_t seed;
    unsigned of_thousand; /* requests meet a fault */
    unsigned checkpoints;
    bool on_disk; /* with RocksDB; else with the fake backend, which race detectors like */
};
void storm_run(const struct storm *storm);

#endif
