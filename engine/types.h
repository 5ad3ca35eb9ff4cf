/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_TYPES_H
#define CRN_ENGINE_TYPES_H

#include "cairn/inspect.h"
#include <stdbool.h>

/* types.c: words for messages. */
const char *crn_type_name(cairn_type type);
const char *crn_kind_name(cairn_state_kind kind);
/* Of keys, namespaces, map keys and operator state. */
static inline bool crn_type_is_plain(cairn_type type)
{
    return (unsigned)type <= CAIRN_STRING;
}
/* The sizes that a type allows. Text is not checked: it would cost every write a pass over it, and
 * nothing in here depends on it. */
static inline bool crn_type_fits(cairn_type type, size_t size)
{
    return (type != CAIRN_INT64 && type != CAIRN_DOUBLE) || size == 8;
}

#endif
