/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a name in somebody's options to a state backend: the one place that knows which there are.
 */
#include "engine/backends.h"

#include <string.h>

/* The first one is the default. */
static const struct crn_state_backend *const backends[] = {&crn_rocksdb_backend, &crn_heap_backend};

int crn_backend_find(const char *name, const struct crn_state_backend **ret, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer names = {0};

    if (name == NULL)
        name = backends[0]->name;
    for (size_t i = 0; i < CRN_COUNT(backends); i++) {
        if (strcmp(name, backends[i]->name) == 0) {
            *ret = backends[i];
            return 0;
        }
        if (crn_buf_printf(&names, "%s'%s'", i > 0 ? ", " : "", backends[i]->name) < 0)
            return crn_err_nomem(reterr);
    }
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "no state backend '%s'; there are %s", name,
                        (const char *)names.data);
}
