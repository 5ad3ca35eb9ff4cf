/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_LOG_H
#define CRN_BASE_LOG_H

#include "base/error.h"

/* Where log lines go. The library itself never prints. */
struct crn_log {
    cairn_log_fn fn; /* NULL: nowhere */
    void *context;
    cairn_log_level level; /* the most detailed one that is passed on */
    const char *job;       /* its name, for the fields; NULL: none is known */
};
void crn_log_write(const struct crn_log *log, cairn_log_level level, const char *component,
                   const char *format, ...) CRN_PRINTF(4, 5);
/* The same with facts for programs: at most CRN_LOG_FIELDS_MAX, more are left out. */
#define CRN_LOG_FIELDS_MAX 32u
void crn_log_write_fields(const struct crn_log *log, cairn_log_level level, const char *component,
                          const cairn_log_field *fields, size_t field_count, const char *format,
                          ...) CRN_PRINTF(6, 7);

#endif
