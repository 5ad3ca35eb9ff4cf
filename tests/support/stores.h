/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_STORES_H
#define CRN_TESTS_STORES_H

#include "tests/support/tap.h"

#include "backends/storage/fault.h"
#include "backends/storage/storage.h"

/* What the tests of stores share: every kind of store in a temporary directory, and short ways to
 * use one. */
enum store_kind { STORE_MEMORY, STORE_AUTO, STORE_LINK, STORE_COPY, STORE_FAULT, STORE_S3 };
/* How many kinds there are to test: STORE_S3 only if CAIRN_TEST_S3 names a store for it. */
int stores_kinds(void);

extern char stores_dir[64]; /* fixture: made before and removed after each test */
void stores_make_dir(void);
void stores_drop_dir(void);
char *stores_path(const char *name); /* below stores_dir; free it */

cairn_store *stores_open(int kind); /* the posix kinds at stores_dir/store */
/* STORE_S3 with a prefix of the test's own and this name. */
cairn_store *stores_open_s3(const char *name);
/* `size` bytes that depend on seed and place; free them. */
uint8_t *stores_bytes(size_t size, unsigned seed);
int stores_put(cairn_store *store, const char *key, const void *data, size_t size);
int stores_put_text(cairn_store *store, const char *key, const char *text);
/* Fails the test unless the object holds exactly this. */
void stores_expect(cairn_store *store, const char *key, const void *data, size_t size);
void stores_expect_missing(cairn_store *store, const char *key);
/* list()'s keys, each with a final newline; free it. */
char *stores_list(cairn_store *store, const char *prefix);
char *stores_list_segments(cairn_store *store, const char *prefix);
int stores_remove(cairn_store *store, const char *key);
/* Runs fn in a forked child; its exit status (fn returns it), or 128 + the signal. */
int stores_in_child(int (*fn)(void *context), void *context);
/* Number of files below stores_dir/store whose names begin with the temporary prefix. */
int stores_count_temps(void);

#endif
