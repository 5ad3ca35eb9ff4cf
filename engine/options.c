/* SPDX-License-Identifier: Apache-2.0 */
/* Sized structs at the public border, so that programs and libraries of different versions meet. */
#include "engine/options.h"

#include "base/error.h"

#include <string.h>

int crn_options_in(void *to, size_t to_size, const void *from, const char *name,
                   cairn_error **reterr)
{
    uint32_t from_size = 0;
    memset(to, 0, to_size);
    if (from != NULL) {
        memcpy(&from_size, from, sizeof from_size);
        if (from_size < sizeof from_size)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "struct_size of %s is %u; initialise it with its _INIT macro", name,
                                from_size);
        const uint8_t *bytes = from;
        for (size_t i = to_size; i < from_size; i++)
            if (bytes[i] != 0)
                return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                    "%s sets an option that this library (%s) does not know", name,
                                    CAIRN_VERSION_STRING);
        memcpy(to, from, from_size < to_size ? from_size : to_size);
    }
    uint32_t size = (uint32_t)to_size;
    memcpy(to, &size, sizeof size);
    return 0;
}

int crn_options_out(void *to, const void *from, size_t from_size, const char *name,
                    cairn_error **reterr)
{
    uint32_t to_size;
    memcpy(&to_size, to, sizeof to_size);
    if (to_size < sizeof to_size)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "struct_size of %s is %u; initialise it with its _INIT macro", name,
                            to_size);
    size_t n = to_size < from_size ? to_size : from_size;
    memcpy((uint8_t *)to + sizeof to_size, (const uint8_t *)from + sizeof to_size,
           n - sizeof to_size);
    return 0;
}
