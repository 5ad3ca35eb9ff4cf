/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_MANIFEST_CLUSTER_INTERNAL_H
#define CRN_MANIFEST_CLUSTER_INTERNAL_H

#include "manifest/cluster.h"

/* What the files of cluster*.c share. */

/* cluster.c: every rule for the content; those for an ACK's record itself are checked with its bytes.
 * `object` is the key that it was read from, and CAIRN_ECORRUPT what a broken rule gives; NULL: it is to
 * be written, and that is CAIRN_EINVAL. Or CAIRN_ENOMEM. */
int crn_post_check(const struct crn_post *post, const char *object, cairn_error **reterr);
int crn_mail_check(const struct crn_mail *mail, const char *object, cairn_error **reterr);

bool crn_uuid_is_zero(const uint8_t uuid[16]);

/* Longest texts, in bytes. */
#define CRN_MESSAGE_TEXT_MAX CRN_LOCATION_MAX
#define CRN_WORKER_NAME_MAX CRN_HOST_MAX

#endif
