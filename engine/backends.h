/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_BACKENDS_H
#define CRN_ENGINE_BACKENDS_H

#include "backends/state/state.h"

/* The state backend of that name; NULL: the default one. CAIRN_EINVAL names those there are. */
int crn_backend_find(const char *name, const struct crn_state_backend **ret, cairn_error **reterr);

#endif
