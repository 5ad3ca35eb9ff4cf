/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_CLEANUP_H
#define CRN_BASE_CLEANUP_H

#include "cairn/cairn.h"
#include <stdlib.h>
#include <unistd.h>

/* Attribute cleanup releases what a scope holds, on every path; ownership leaves a scope only
 * through CRN_TAKE. CRN_TRY is the only macro with hidden control flow. */
#define CRN_CLEANUP(fn) __attribute__((cleanup(fn)))
#define CRN_TAKE(p)                                                                                \
    __extension__({                                                                                \
        __auto_type crn_p_ = (p);                                                                  \
        (p) = NULL;                                                                                \
        crn_p_;                                                                                    \
    })
#define CRN_TRY(expr)                                                                              \
    do {                                                                                           \
        int crn_r_ = (expr);                                                                       \
        if (crn_r_ < 0)                                                                            \
            return crn_r_;                                                                         \
    } while (0)

static inline void crn_cleanup_free(void *p)
{
    free(*(void **)p);
}
static inline void crn_cleanup_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* what was written is checked by fsync before this */
}
static inline void crn_cleanup_error(cairn_error **e)
{
    cairn_error_free(*e);
}
#define CRN_AUTO_FREE CRN_CLEANUP(crn_cleanup_free)
#define CRN_AUTO_FD CRN_CLEANUP(crn_cleanup_fd)
#define CRN_AUTO_ERROR CRN_CLEANUP(crn_cleanup_error)

#define CRN_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
