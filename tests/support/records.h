/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_RECORDS_H
#define CRN_TESTS_RECORDS_H

#include "manifest/manifest.h"

/* Records for tests: fixed ones, random ones, and a comparison of every field. All of them are
 * finished and meet every rule. They abort when out of memory. */

uint64_t crn_test_random(uint64_t *state);
/* CAIRN_SEED, or one from the clock; printed as a TAP comment so that a failure can be repeated. */
uint64_t crn_test_seed(void);

struct crn_record *crn_test_fence(void);                /* id 3, restored from 2 */
struct crn_record *crn_test_aborted(void);              /* id 5, with a history of 1 to 4 */
struct crn_record *crn_test_savepoint(void);            /* id 6: a pointer */
struct crn_record *crn_test_canonical_savepoint(void);  /* id 21, in its directory: with schemas */
struct crn_record *crn_test_native_savepoint(void);     /* id 22, in its directory */
struct crn_record *crn_test_canonical_checkpoint(void); /* id 3: from a source, with schemas */
struct crn_record *crn_test_claim(void);                /* id 1: a fence that claims a source */
struct crn_record *crn_test_full(void); /* id 1: one operator, one subtask, all new */
struct crn_record *crn_test_checkpoint(
    void); /* id 17 on base 9: two operators, files of every kind */
/* The same, with packs: each subtask has two new tables in one, the second has three more of the
 * base's, two of which the first references as well; and a pack of its other files. */
struct crn_record *crn_test_packed_checkpoint(void);
struct crn_record *crn_test_many_files(size_t files);
struct crn_record *crn_test_random_record(uint64_t *state);

/* Adds a table with everything that a rule asks for; the caller changes what it likes. The base's
 * if checkpoint_id is not the record's. */
struct crn_file *crn_test_add_table(struct crn_subtask *subtask, uint64_t number, uint64_t size,
                                    uint64_t checkpoint_id, uint64_t epoch);
/* Makes a slice of a file: of the pack with this number, of its checkpoint and epoch. */
void crn_test_pack(struct crn_file *file, bool shared, uint64_t number, uint64_t offset,
                   uint64_t object_size);
/* A canonical file, in an object of its own. */
struct crn_file *crn_test_add_canonical(struct crn_subtask *subtask, uint32_t first, uint32_t last,
                                        uint64_t checkpoint_id, uint64_t epoch, uint64_t number);
/* Bytes of its own in the manifest, with their sums. */
struct crn_file *crn_test_add_inlined(struct crn_subtask *subtask, cairn_file_role role,
                                      const char *name, const void *data, size_t size,
                                      uint64_t checkpoint_id, uint64_t epoch);

/* NULL, or the name of the first field in which they differ. */
const char *crn_test_record_difference(const struct crn_record *a, const struct crn_record *b);

#endif
