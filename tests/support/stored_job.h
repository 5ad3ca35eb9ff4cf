/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_STORED_JOB_H
#define CRN_TESTS_STORED_JOB_H

#include "cairn/store.h"
#include "manifest/manifest.h"

/* A job's log and objects, written by hand: no engine, no database. Everything that is stored is
 * what the manifest says, unless a test damages it. Failures end the test. */

struct crn_test_job {
    cairn_store *store; /* borrowed */
    const char *name;
    uint64_t epoch;          /* of the next record */
    uint64_t log_start;      /* of the next record */
    struct crn_record *head; /* last one committed, owned; NULL: none */
    struct crn_hash128 head_hash;
};
void crn_test_job_init(struct crn_test_job *job, cairn_store *store, const char *name);
void crn_test_job_done(struct crn_test_job *job);

/* The next record, ready to be filled and committed. */
struct crn_record *crn_test_job_record(const struct crn_test_job *job, cairn_record_kind kind);
/* Operator `uid` (added if new, with keyed states "count" and "seen") and its next subtask. */
struct crn_subtask *crn_test_job_subtask(struct crn_record *record, const char *uid);
/* Store `text` as a new object of the record, and reference it. */
struct crn_file *crn_test_job_table(const struct crn_test_job *job, const struct crn_record *record,
                                    struct crn_subtask *subtask, uint64_t number, const char *text);
struct crn_file *crn_test_job_database(const struct crn_test_job *job,
                                       const struct crn_record *record, struct crn_subtask *subtask,
                                       const char *name, const char *text);
struct crn_file *crn_test_job_inlined(const struct crn_record *record, struct crn_subtask *subtask,
                                      cairn_file_role role, const char *name, const void *data,
                                      size_t size);
/* Reference a file that an earlier checkpoint stored. */
struct crn_file *crn_test_job_reuse(struct crn_subtask *subtask, const struct crn_file *file);
/* Consumes the record; it is job->head afterwards. */
void crn_test_job_commit(struct crn_test_job *job, struct crn_record *record);
/* Both at once, for records without content. */
void crn_test_job_commit_kind(struct crn_test_job *job, cairn_record_kind kind);

/* A file of a record by its name; the test ends if it is not there. */
const struct crn_file *crn_test_job_file(const struct crn_record *record, const char *uid,
                                         uint32_t subtask, const char *name);

/* A job with one of everything. Its log, all of epoch 1 and with log_start 1:
 *   1 fence
 *   2 checkpoint, full: operator "count", subtask 0: tables 8 "alpha" and 9 "beta", MANIFEST-000005
 * "two" as an object, CURRENT and operator-state inlined; subtask 1: table 10 "gamma" 3 aborted;
 * its table shared/e1-c3-30.sst "left" was not removed 4 checkpoint, base 2: subtask 0: table 8
 * again, 11 "delta", MANIFEST-000005 "four", CURRENT inlined; subtask 1: table 10 again and beside
 * it shared/e1-c5-40.sst "flying" of an unresolved id, and four foreign objects. */
void crn_test_job_write(struct crn_test_job *job, cairn_store *store, const char *name);
#define CRN_TEST_JOB_FOREIGN 4

/* A savepoint of a job "orders" in a directory of its own: operator "count" with one subtask:
 * tables 8 "alpha" and 9 "beta", MANIFEST-000005 "saved" as an object, CURRENT inlined. */
void crn_test_savepoint_write(struct crn_test_job *directory, cairn_store *store, const char *name,
                              uint64_t id);

/* Raw access, below the job's prefix. */
void crn_test_job_put(const struct crn_test_job *job, const char *object, const void *data,
                      size_t size);
void crn_test_job_remove(const struct crn_test_job *job, const char *object);
void crn_test_job_get(const struct crn_test_job *job, const char *object, struct cairn_buffer *out);
bool crn_test_job_has(const struct crn_test_job *job, const char *object);
/* Replace an object by other bytes, as a failing disk would. */
void crn_test_job_replace(const struct crn_test_job *job, const char *object, const void *data,
                          size_t size);
/* Every key below the job's prefix, one per line, sorted. To be freed. */
char *crn_test_job_listing(const struct crn_test_job *job);

#endif
