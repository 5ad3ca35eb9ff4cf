/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_STATUS_OPTIONS_H
#define CRN_ENGINE_STATUS_OPTIONS_H

#include "engine/status/status.h"

/* A job's options as texts, in the order of the settings. 0 or CAIRN_ENOMEM. */
int crn_status_options_new(const cairn_job_options *options, struct crn_status_option **ret,
                           size_t *ret_count);
int crn_status_options_copy(const struct crn_status_option *from, size_t count,
                            struct crn_status_option **ret);
void crn_status_options_free(struct crn_status_option *options, size_t count);

#endif
