/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Log lines for the service's callback. Nothing is printed here. A line is formatted only if
 * somebody wants its level; one that does not fit is cut, since a log must not need memory to tell
 * that there is none.
 */

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 1024

CRN_PRINTF(6, 0)
static void write_line(const struct crn_log *log, cairn_log_level level, const char *component,
                       const cairn_log_field *fields, size_t field_count, const char *format,
                       va_list args)
{
    if (log == NULL || log->fn == NULL || level > log->level)
        return;
    char line[LINE_BYTES];
    int n = vsnprintf(line, sizeof(line), format, args);
    if (n < 0)
        return;
    for (char *p = line; *p != 0; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    size_t count = 0;
    cairn_log_field all[CRN_LOG_FIELDS_MAX + 1];
    if (log->job != NULL)
        all[count++] = (cairn_log_field){"job", log->job, 0};
    for (size_t i = 0; i < field_count && i < CRN_LOG_FIELDS_MAX; i++)
        all[count++] = fields[i];
    log->fn(log->context, &(cairn_log_line){.struct_size = sizeof(cairn_log_line),
                                            .level = level,
                                            .component = component,
                                            .message = line,
                                            .fields = all,
                                            .field_count = count});
}

void crn_log_write(const struct crn_log *log, cairn_log_level level, const char *component,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(log, level, component, NULL, 0, format, args);
    va_end(args);
}

void crn_log_write_fields(const struct crn_log *log, cairn_log_level level, const char *component,
                          const cairn_log_field *fields, size_t field_count, const char *format,
                          ...)
{
    va_list args;
    va_start(args, format);
    write_line(log, level, component, fields, field_count, format, args);
    va_end(args);
}
