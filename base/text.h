/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_BASE_TEXT_H
#define CRN_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 (no overlong forms, no surrogates) without control characters (C0, DEL, C1). */
bool crn_text_is_clean(const char *text, size_t n);
/* 1..128 bytes, clean, no '/', not starting with '.'. */
bool crn_text_is_job_name(const char *text);
/* 1..255 bytes, clean: operator uids and state names. */
bool crn_text_is_name(const char *text);
/* "%20" and the like, in place. false: a percent sign without two hexadecimal digits, or %00. */
bool crn_text_percent_decode(char *text);

#endif
