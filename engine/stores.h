/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STORES_H
#define CRN_ENGINE_STORES_H

#include "base/error.h"
#include "cairn/store.h"

/* CAIRN_EINVAL if the store is in truth a job's or a savepoint's directory in one, since it holds
 * manifests or a mark: whoever writes there would make a store within it, where nobody looks. One
 * listing of the store's own level. */
int crn_store_check_is_root(cairn_store *store, cairn_error **reterr);

#endif
