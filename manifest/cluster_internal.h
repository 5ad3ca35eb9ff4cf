/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_MANIFEST_CLUSTER_INTERNAL_H
#define CRN_MANIFEST_CLUSTER_INTERNAL_H

#include "manifest/cluster.h"

/* What the files of cluster*.c share. */

/* cluster.c: every rule but those for an ACK's record, which is checked with its bytes. `code` is what a
 * broken rule gives, CAIRN_EINVAL before writing and CAIRN_ECORRUPT after reading; or CAIRN_ENOMEM. */
int crn_post_check(const struct crn_post *post, int code, cairn_error **reterr);
int crn_mail_check(const struct crn_mail *mail, int code, cairn_error **reterr);
/* The same for the record, when its own rules are met. */
int crn_mail_check_record(const struct crn_mail *mail, int code, cairn_error **reterr);

bool crn_uuid_is_zero(const uint8_t uuid[16]);

/* Longest texts, in bytes. */
#define CRN_MESSAGE_TEXT_MAX CRN_LOCATION_MAX
#define CRN_WORKER_NAME_MAX CRN_HOST_MAX

#endif
