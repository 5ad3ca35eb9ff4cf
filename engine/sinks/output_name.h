/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_OUTPUT_NAME_H
#define CRN_ENGINE_OUTPUT_NAME_H

#include "base/buffer.h"
#include "base/error.h"

/* Names of a file sink's files, and what can be done to files that are known by them. The bytes are
 * in docs/format.md, "Prepared transactions". */

/* A hidden name is CRN_OUTPUT_HIDDEN, 16 digits of the tag, '-', the epoch, '-', the final name. */
#define CRN_OUTPUT_HIDDEN ".cairn-tmp-"
#define CRN_OUTPUT_HIDDEN_MAX (11u + 16u + 1u + 20u + 1u) /* what it has before the final name */

/* What a transaction of a file sink is. */
struct crn_output_name {
    char *directory; /* absolute */
    char *hidden;
    const char *final; /* in `hidden` */
};
#define CRN_AUTO_OUTPUT_NAME CRN_CLEANUP(crn_output_name_done)
void crn_output_name_done(struct crn_output_name *name);

/* Whose hidden files they are: one sink of one operator of one job. */
uint64_t crn_output_tag(const char *job, const char *uid, const char *sink);
int crn_output_name_make(struct crn_output_name *ret, const char *directory, uint64_t tag,
                         uint64_t epoch, const char *final, cairn_error **reterr);
/* The description of a transaction. Decoding: CAIRN_ECORRUPT, CAIRN_EVERSION. */
int crn_output_name_encode(const struct crn_output_name *name, struct cairn_buffer *out);
int crn_output_name_decode(const void *data, size_t size, struct crn_output_name *ret,
                           cairn_error **reterr);

/* The hidden file in `directory` gets its final name, durably. Never replaces anything.
 * @return 1; 0: there is no such hidden file; CAIRN_EEXIST: another file has the name. */
int crn_output_reveal(const char *directory, const struct crn_output_name *name,
                      cairn_error **reterr);
/* 1: `directory` has a file of the final name, and that is durable; 0: it has none. */
int crn_output_is_revealed(const char *directory, const struct crn_output_name *name,
                           cairn_error **reterr);
/* Is this a hidden file with this tag, and with a final name of this prefix, of an epoch before
 * `epoch`? */
bool crn_output_is_old(const char *file_name, uint64_t tag, const char *prefix, uint64_t epoch);

#endif
