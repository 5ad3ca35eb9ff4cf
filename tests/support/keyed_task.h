/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_KEYED_TASK_H
#define CRN_TESTS_KEYED_TASK_H

#include "engine/states/keyed.h"
#include <check.h>

/* A task without a job around it: for tests of keyed and operator state alone. Fails the running
 * Check test on any error. */

enum { TEST_BACKEND_FAKE, TEST_BACKEND_ROCKSDB, TEST_BACKEND_HEAP, TEST_BACKENDS };

struct test_task {
    struct cairn_task task;
    int backend;
    int64_t clock_ms; /* what the task and its database take for the time */
    cairn_memory *memory;
    char root[64]; /* temporary directory; databases in <root>/<n> */
    unsigned generation;
};

/* A fresh task with an empty database; all key groups of max_parallelism 128 belong to it. */
struct test_task *test_task_new(int backend);
/* The same with options; before any state is registered. */
void test_task_set_subtask(struct test_task *t, uint32_t subtask, uint32_t parallelism,
                           uint32_t max_parallelism);
/* Takes a checkpoint, closes the database, and opens what was captured in a directory of its own,
 * with no state registered and no key set. Handles of the old one are gone. */
void test_task_restart(struct test_task *t);
void test_task_free(struct test_task *t);

/* Asserts for calls that must succeed (the value is their result), or fail with a code and with
 * words in the message. The calls pass ERR as their last argument, or have none. */
extern cairn_error *test_error;
#define ERR (&test_error)
int64_t test_must(int64_t r, const char *call, int line);
void test_must_fail(int64_t r, int code, const char *words, const char *call, int line);
#define MUST(call) test_must((call), #call, __LINE__)
#define MUST_FAIL(code, words, call) test_must_fail((call), code, words, #call, __LINE__)

#endif
