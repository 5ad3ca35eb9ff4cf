/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SAVEPOINT_CREATE_H
#define CRN_ENGINE_SAVEPOINT_CREATE_H

#include "base/buffer.h"
#include "cairn/store.h"

/* directory.c: create-if-absent of an object that only this caller makes, tried again until its
 * outcome is known. 0: it is there with these bytes, durable; CAIRN_EEXIST: other bytes are;
 * CAIRN_EUNKNOWN; others: it does not exist. */
int crn_create_settled(cairn_store *store, const char *key, const struct cairn_buffer *bytes,
                       cairn_error **reterr);

#endif
