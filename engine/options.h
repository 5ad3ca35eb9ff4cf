/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_OPTIONS_H
#define CRN_ENGINE_OPTIONS_H

#include "cairn/cairn.h"

/* The rule of every public options and result struct: it starts with its own size.
 *
 * In: copy what the caller's struct has, zero the rest; a larger struct (a newer caller) is refused
 * with CAIRN_EINVAL unless what we do not know is all zero. NULL gives all zero. `to` has to_size
 * bytes and gets struct_size = to_size. */
int crn_options_in(void *to, size_t to_size, const void *from, const char *name,
                   cairn_error **reterr);
/* Out: fill as much of the caller's struct as it has; its struct_size stays. A struct_size too
 * small to be one is CAIRN_EINVAL. */
int crn_options_out(void *to, const void *from, size_t from_size, const char *name,
                    cairn_error **reterr);

#endif
