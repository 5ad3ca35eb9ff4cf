/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SNAPSHOT_H
#define CRN_ENGINE_SNAPSHOT_H

#include "cairn/inspect.h"
#include "cairn/store.h"
#include "manifest/manifest.h"

/* One checkpoint's manifest in memory, and where its objects are. */
struct cairn_snapshot {
    cairn_store *store; /* borrowed */
    char *job;
    struct crn_record *record; /* a checkpoint */
};

#endif
