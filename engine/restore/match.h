/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_RESTORE_MATCH_H
#define CRN_ENGINE_RESTORE_MATCH_H

#include "base/buffer.h"
#include "base/error.h"
#include "cairn/inspect.h"

/* Does what is stored fit what a service opens? The rules and the words, for those who open tasks
 * and for those who ask before (cairn_check()). Pure. */

struct crn_match_operator {
    uint32_t parallelism;
    uint32_t max_parallelism; /* 0: the stored one */
    cairn_type key_type, namespace_type;
};
/* 0, or CAIRN_EMISMATCH with what differs and what to do about it. */
int crn_match_operator(const cairn_operator_info *stored, const struct crn_match_operator *wanted,
                       cairn_error **reterr);

/* Kind and types only. */
bool crn_match_is_alike(const cairn_state_info *stored, const cairn_state_info *wanted);
/* The same, with words: CAIRN_EMISMATCH. */
int crn_match_types(const cairn_state_info *stored, const cairn_state_info *wanted,
                    cairn_error **reterr);
/* One of a state's stored schemas and a serializer. `why` gets words, CAIRN_EMISMATCH has them. */
int crn_match_schema(const cairn_state_info *stored, size_t i, const cairn_serializer *serializer,
                     cairn_compatibility *ret_how, struct cairn_buffer *why, cairn_error **reterr);
/* A stored state and one that is to be registered by its name. `how` gets words: what changes, or
 * nothing if it goes on as it is. serializer NULL: schemas are not compared. CAIRN_EMISMATCH. */
int crn_match_state(const cairn_state_info *stored, const cairn_state_info *wanted,
                    const cairn_serializer *serializer, struct cairn_buffer *how,
                    cairn_error **reterr);

#endif
