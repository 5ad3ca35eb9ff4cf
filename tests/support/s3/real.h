/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_REAL_H
#define CRN_TESTS_S3_REAL_H

#include "tests/support/tap.h"

#include "backends/storage/s3/http.h"

/* What tests over real servers share; run.sh has started them and says by the environment where
 * they are. */

/* The store that a variable such as CAIRN_TEST_S3 names, in a path of its own below it ("": that
 * very path), with more options ("&a=b"). */
int real_open(const char *variable, const char *path, const char *options, bool probe,
              cairn_store **ret, cairn_error **reterr);
cairn_store *real_store(const char *variable, const char *path, const char *options);
/* The URI of such a store, for calls that want one; free it. */
char *real_uri(const char *variable, const char *path, const char *options);
/* The port in such a variable's URI. */
unsigned real_port(const char *variable);
/* Sends a signal to a daemon of ceph.sh, such as "gateway-a". */
void real_signal(const char *daemon, int signal);
/* Runs the servers' script with these words (the directory is put in between) until it is done. */
void real_script(const char *word, const char *more);
/* radosgw-admin with these words, split at spaces. */
void real_admin(const char *words);
/* Makes a bucket, at the server of CAIRN_TEST_S3 or at this port, and names it in the environment:
 * a variable for real_store(). */
void real_bucket(const char *variable, const char *bucket, unsigned port);
/* Fails the test unless the object has exactly these bytes. */
void real_expect(cairn_store *store, const char *key, const void *data, size_t size);
int real_put(cairn_store *store, const char *key, const void *data, size_t size,
             cairn_error **reterr);
uint64_t real_count(cairn_store *store, const char *prefix);

#endif
