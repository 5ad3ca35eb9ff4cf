/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_CREDENTIALS_H
#define CRN_STORAGE_S3_CREDENTIALS_H

#include "backends/storage/s3/s3.h"

/* Fills in what the config does not have yet: keys, token and region. profile NULL: as the
 * environment says. CAIRN_EINVAL tells where they were looked for. */
int crn_s3_find_credentials(struct crn_s3_config *config, const char *profile,
                            cairn_error **reterr);

/* The value of `name` in section [section] of a file in the form that AWS's tools have. *ret NULL:
 * it is not there. Pure, for its test. CAIRN_ENOMEM. */
int crn_s3_profile_value(const char *text, size_t size, const char *section, const char *name,
                         char **ret);

#endif
