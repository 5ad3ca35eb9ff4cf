/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_FAKE_INTERNAL_H
#define CRN_TESTS_S3_FAKE_INTERNAL_H

#include "base/text.h"
#include "base/thread.h"
#include "tests/support/s3/fake_server.h"

#include <stdlib.h>

#define FAKE_RULES_MAX 16
#define FAKE_CONNECTIONS_MAX 4096 /* at once */
#define FAKE_OBJECTS_MAX 4096
#define FAKE_PARTS_MAX 16

enum {
    H_LENGTH,
    H_IF_NONE_MATCH,
    H_RANGE,
    H_DATE,
    H_EXPECT,
    H_COPY_SOURCE,
    H_AUTHORIZATION,
    H_COUNT
};

struct message {
    struct cairn_buffer head, body;
    char *method, *target;
    char *headers[H_COUNT];
    bool has_rule;
    struct fake_rule rule;
    char *answer; /* the rule's */
    int64_t ahead_ms;
};

struct answer {
    unsigned status;
    struct cairn_buffer headers, body;
    size_t head_size; /* what HEAD says of a body it does not send */
};

struct connection {
    struct fake *fake;
    pthread_t thread;
    int fd; /* -1: closed */
    uint64_t bytes_in, cut_in;
};

struct object {
    char *key; /* NULL: free */
    struct cairn_buffer bytes;
};

struct upload {
    char *key; /* NULL: free */
    struct cairn_buffer parts[FAKE_PARTS_MAX];
};

struct fake {
    int fd;
    unsigned port;
    pthread_t thread;
    /* Guarded by lock. */
    struct crn_mutex lock;
    bool is_over, is_lying, has_hosts;
    char *last_head;
    const char *bucket, *credential; /* NULL: any */
    const char *directory;           /* of fake_directory.c; constant */
    unsigned requests, page_keys;
    int64_t ahead_ms;
    struct fake_rule rules[FAKE_RULES_MAX];
    size_t rule_count;
    struct connection connections[FAKE_CONNECTIONS_MAX];
    size_t connection_count;
    struct object objects[FAKE_OBJECTS_MAX]; /* sorted by key */
    size_t object_count;
    struct upload uploads[64];
};

/* The server runs in the test's process, where threads cannot fail a test: they end it. */
#define fake_must(condition)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* fake_objects.c; with the lock */
void fake_do(struct fake *fake, struct message *message, struct answer *answer);
void fake_say_error(struct answer *answer, unsigned status, const char *code);
void fake_objects_done(struct fake *fake);

/* Where the objects are: fake_memory.c, or fake_directory.c; with the lock. */
struct fake_kept {
    struct cairn_buffer bytes;
    int64_t modified_ms;
};
bool fake_keep_get(struct fake *fake, const char *key, struct fake_kept *ret);
bool fake_keep_put(struct fake *fake, const char *key, const void *data, size_t n);
void fake_keep_drop(struct fake *fake, const char *key);
/* By key, until fn returns false. */
typedef bool (*fake_each_fn)(void *context, const char *key, uint64_t size, int64_t modified_ms);
void fake_keep_each(struct fake *fake, fake_each_fn fn, void *context);
void fake_keep_done(struct fake *fake);
bool fake_keep_is_closed(const struct fake *fake); /* nobody may do anything */

#endif
