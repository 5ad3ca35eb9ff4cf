/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_ERROR_H
#define CRN_BASE_ERROR_H

#include "cairn/cairn.h"

#define CRN_PRINTF(a, b) __attribute__((format(printf, a, b)))

/* Raise: fills *reterr (if reterr is not NULL and *reterr is NULL) and returns code, so that
 * raising is one line: return crn_err_fail(reterr, CAIRN_ECORRUPT, key, "manifest '%s': ...", key);
 * object may be NULL. A reterr that already holds an error is left alone: the first story wins. */
int crn_err_fail(cairn_error **reterr, int code, const char *object, const char *format, ...)
    CRN_PRINTF(4, 5);
/* The same for a failed system call: the code follows os_errno (ENOSPC, EDQUOT -> CAIRN_ENOSPC;
 * EACCES, EPERM, EROFS -> CAIRN_EACCES; ENOMEM; else CAIRN_EIO) and its text is appended to the
 * message. */
int crn_err_os(cairn_error **reterr, int os_errno, const char *object, const char *format, ...)
    CRN_PRINTF(4, 5);
/* Put "context: " in front of the message; code and object stay. Once per layer boundary. */
void crn_err_prefix(cairn_error **reterr, const char *format, ...) CRN_PRINTF(2, 3);
/* Hand an error from one slot to another; frees it if `to` is NULL or already full. Returns code.
 */
int crn_err_move(cairn_error **to, cairn_error **from, int code);
/* CAIRN_ENOMEM without detail that could itself need memory. */
int crn_err_nomem(cairn_error **reterr);
/* Deep copy, for an error that several waiters receive. NULL gives NULL. */
cairn_error *crn_err_copy(const cairn_error *error);

#endif
