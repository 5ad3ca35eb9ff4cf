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

void crn_log_write(const struct crn_log *log, cairn_log_level level, const char *component,
                   const char *format, ...)
{
    if (log == NULL || log->fn == NULL || level > log->level)
        return;
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n < 0)
        return;
    for (char *p = line; *p != 0; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    log->fn(log->context, level, component, line);
}
