/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_OBJECT_INPUT_H
#define CRN_ENGINE_OBJECT_INPUT_H

#include "backends/state/canonical.h"
#include "cairn/store.h"
#include "engine/transfer/downloads.h"
#include "manifest/manifest.h"

/* A stored canonical file, read in ranges where it lies. Its blocks carry checksums of their own
 * (P8), so that what is read is verified without reading the whole. A read that the store fails for
 * now is tried again a few times. */
struct crn_object_input {
    struct crn_canonical_input input; /* its context is this struct: it must not move */
    cairn_store *store;
    char *key;
    const struct crn_file *file;     /* borrowed; may be inlined */
    struct crn_downloads *downloads; /* limits; NULL, as init leaves it: none */
};
int crn_object_input_init(struct crn_object_input *object, cairn_store *store, const char *prefix,
                          const struct crn_file *file, cairn_error **reterr);
void crn_object_input_done(struct crn_object_input *object);

#endif
