/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_FETCH_KIT_H
#define CRN_TESTS_FETCH_KIT_H

#include "backends/storage/fault.h"
#include "engine/transfer/fetch.h"
#include "tests/support/tap.h"

/* Files of random bytes in a memory store that wants ranges, behind a fault store, and fetches of
 * all of them into a directory below a temporary root. Failures end the test. */

#define RANGE ((uint64_t)64 << 10)
#define FILES_MAX 16u

extern char kit_root[200];
extern cairn_store *kit_store; /* a fault store */
extern struct crn_file kit_files[FILES_MAX];
extern char kit_names[FILES_MAX][32], kit_objects[FILES_MAX][64];
extern uint8_t *kit_contents[FILES_MAX];
extern const struct crn_file *kit_wanted[FILES_MAX]; /* all of them */
extern size_t kit_count;

void kit_setup(void);
void kit_teardown(void);
/* Around another store, which is taken. */
void kit_open_store(cairn_store *inner, bool in_ranges);
const char *kit_in_root(const char *name); /* good for three more calls */
void kit_put(const char *object, const void *data, size_t size);
/* A file of that many bytes, which nobody has stored. */
struct crn_file *kit_make_file(size_t size);
void kit_add_file(size_t size);
/* The last `count` files into one object, in this order, so far apart. */
void kit_make_pack(size_t count, size_t gap);
/* Two large files, two that are not, four slices of one object. Returns how many gets they take. */
uint64_t kit_add_mixture(void);

void kit_count_gets(void); /* from now on: crn_fault_store_calls() */
/* Into a directory below root; `downloads` and `kept` may be NULL. */
int kit_fetch_into(const char *name, uint32_t threads, const char *kept,
                   struct crn_downloads *downloads, cairn_error **reterr);
/* Into "to", which is removed before. */
int kit_fetch(uint32_t threads, const char *kept, cairn_error **reterr);
void kit_expect_all(uint32_t threads, const char *kept);
bool kit_is_right(const char *path, size_t i);
/* How many files are there, all of them right, and nothing else. */
size_t kit_check_directory(const char *directory);

#endif
