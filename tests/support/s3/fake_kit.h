/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_FAKE_KIT_H
#define CRN_TESTS_S3_FAKE_KIT_H

#include "tests/support/s3/fake_server.h"
#include "tests/support/tap.h"

#include "backends/storage/s3/http.h"

/* A fake server and a store at it, for fixtures; keys of the store are below "t/" in the bucket. */
extern struct fake *fake;
extern cairn_store *store;
void fake_kit_open(void);
void fake_kit_close(void);
/* Another store with these options ("&name=value..."). */
int fake_kit_store(const char *options, bool probe, cairn_store **ret, cairn_error **reterr);

/* Fails the test unless r is code and, if it is a failure, the error says so, too, with each of the
 * words. */
void expect_error(int r, int code, cairn_error **error, const char *word, const char *other);
/* The fake server's object below "t/" is this text; NULL: there is none. */
void expect_stored(const char *key, const char *text);
int create_text(const char *key, const char *text, cairn_error **reterr);
int put_text(const char *key, const char *text, cairn_error **reterr);
/* The store's keys, each with a final newline; free it. NULL: it failed. */
char *list_keys(bool segments, cairn_error **reterr);

#endif
