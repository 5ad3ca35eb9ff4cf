/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_LOG_H
#define CRN_BASE_LOG_H

#include "base/error.h"

/* Where log lines go. The library itself never prints. */
struct crn_log {
    cairn_log_fn fn; /* NULL: nowhere */
    void *context;
    cairn_log_level level; /* the most detailed one that is passed on */
};
void crn_log_write(const struct crn_log *log, cairn_log_level level, const char *component,
                   const char *format, ...) CRN_PRINTF(4, 5);

#endif
