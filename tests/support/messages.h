/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_MESSAGES_H
#define CRN_TESTS_MESSAGES_H

#include "manifest/cluster.h"

/* Posts and mails for tests: fixed ones of every kind, random ones, a comparison of every field,
 * and a second encoder, which knows the format from its page and checks nothing. All abort when out
 * of memory. */

/* Of epoch 7, with the lowest number that the kind can have. */
struct crn_post crn_test_post(enum crn_post_kind kind);
struct crn_post crn_test_savepoint_post(void); /* a trigger: stop with a canonical savepoint */
struct crn_mail crn_test_mail(enum crn_mail_kind kind); /* an ACK has subtask 1 of each operator */
struct crn_post crn_test_random_post(uint64_t *state);
struct crn_mail crn_test_random_mail(uint64_t *state);
/* Makes a part of a whole checkpoint or savepoint: some subtasks, all without a state, and nothing
 * of the log. */
void crn_test_make_part(struct crn_record *record, uint64_t *state);
/* A copy of what a message may own. */
char *crn_test_text(const char *text);

/* NULL, or the name of the first field in which they differ. No text is an empty one. */
const char *crn_test_post_difference(const struct crn_post *a, const struct crn_post *b);
const char *crn_test_mail_difference(const struct crn_mail *a, const struct crn_mail *b);

/* Payloads, appended. `record` is what an ACK carries: bytes of a part. */
void crn_test_post_payload(const struct crn_post *post, struct cairn_buffer *out);
void crn_test_mail_payload(const struct crn_mail *mail, const struct cairn_buffer *record,
                           struct cairn_buffer *out);

#endif
