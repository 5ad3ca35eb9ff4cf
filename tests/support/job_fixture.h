/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_JOB_FIXTURE_H
#define CRN_TESTS_JOB_FIXTURE_H

#include "backends/storage/fault.h"
#include "engine/job/job.h"
#include "tests/support/tap.h"

/* A place, a store and a small job, for tests of the running engine. Helpers fail the test that
 * runs on any error that they do not return. */

/* 0 or a positive outcome; an error fails the test with its text. Write the call with `reterr`. */
#define ck_ok(call)                                                                                \
    __extension__({                                                                                \
        cairn_error *ck_error_ = NULL;                                                             \
        cairn_error **const reterr = &ck_error_;                                                   \
        int ck_r_ = (call);                                                                        \
        if (ck_r_ < 0)                                                                             \
            ck_abort_msg("%s: %s: %s", #call, cairn_error_name(ck_r_),                             \
                         cairn_error_message(ck_error_));                                          \
        ck_r_;                                                                                     \
    })

/* The call fails with this code, and its text has this part. */
#define ck_fails(call, code, part)                                                                 \
    do {                                                                                           \
        cairn_error *ck_error_ = NULL;                                                             \
        cairn_error **const reterr = &ck_error_;                                                   \
        int ck_r_ = (call);                                                                        \
        if (ck_r_ != (code) || strstr(cairn_error_message(ck_error_), part) == NULL)               \
            ck_abort_msg("%s: %s: '%s', not %s: '%s'", #call, cairn_error_name(ck_r_),             \
                         cairn_error_message(ck_error_), cairn_error_name(code), part);            \
        cairn_error_free(ck_error_);                                                               \
    } while (0)

struct fixture {
    char root[200];      /* removed by fixture_done() */
    char local_dir[240]; /* in root */
    char store_dir[240]; /* in root; of the store on disk */
    bool on_disk;        /* RocksDB and a directory; else the fake backend and memory */
    cairn_store *store;  /* a fault store around the real one */
    struct crn_state_backend backend; /* RocksDB's or the fake one; tests may change its parts */
    cairn_job_options options; /* for the next open: store and local_dir are set */
};
void fixture_init(struct fixture *f, bool on_disk);
void fixture_done(struct fixture *f);
int fixture_open_job(const struct fixture *f, const char *name, cairn_job **ret_job,
                     cairn_error **reterr);
/* A directory of its own in root; must be freed. */
char *fixture_dir(const struct fixture *f, const char *name);

/* The faults are gone from now on, and calls of `ops` are counted. */
void fixture_disarm(const struct fixture *f, unsigned ops);
void fixture_arm(const struct fixture *f, struct crn_fault_plan plan);

/* Another memory store with the same objects: what a crash at this moment would leave. */
cairn_store *store_clone(cairn_store *store);
size_t store_count(cairn_store *store, const char *prefix);
bool store_has(cairn_store *store, const char *key);
void store_put_text(cairn_store *store, const char *key, const char *text);
/* The object with bit 3 of its byte in the middle turned over. */
void store_damage(cairn_store *store, const char *key);
void store_remove(cairn_store *store, const char *key);
/* What can happen to a manifest. */
enum store_harm {
    HARM_FLIP,  /* as store_damage() does */
    HARM_CUT,   /* to no bytes */
    HARM_NEWER, /* the version is one from the future, and the checksum is right */
    HARM_REMOVE,
    HARMS
};
void store_harm(cairn_store *store, const char *key, enum store_harm harm);
/* A key that a retained checkpoint references; relative to the store. must be freed */
char *store_live_object(cairn_store *store, const char *job, bool shared);
/* Every object of the job is referenced, every referenced one is there (P5, P6). */
void store_check_tidy(cairn_store *store, const char *job);

/* ------------------------------------------------------------------------------------------ *
 * The subject: a job with three subtasks
 * ------------------------------------------------------------------------------------------ */

#define SUBJECT_TASKS 3
#define SUBJECT_WORDS 2 /* subtasks of operator "words"; the last task is "tally" */

struct subject {
    cairn_job *job;
    cairn_task *tasks[SUBJECT_TASKS];
    cairn_value *count[SUBJECT_WORDS]; /* "words": int64 by int64 key */
    cairn_list *events[SUBJECT_WORDS]; /* "words": int64s by int64 key */
    cairn_map *names;                  /* "tally": int64 by string, under key 0 */
    cairn_operator_list *offset;       /* "tally": one element */
    cairn_broadcast *rules;            /* "tally": int64 by int64 */
    int stop_after_ms;  /* a checkpoint clears the faults so long after one fired; 0: never */
    bool fault_cleared; /* out: that was done */
    cairn_store *store;
};
/* Open the job with its tasks and states, and start it. On failure nothing is left open. */
int subject_open(const struct fixture *f, const char *name, struct subject *ret,
                 cairn_error **reterr);
void subject_close(struct subject *s);
/* A checkpoint with all tasks polling; the tasks have got its events when it returns. */
int subject_checkpoint(struct subject *s, bool full, cairn_checkpoint_info *ret,
                       cairn_error **reterr);
/* Which subtask of "words" has this key. */
unsigned subject_of_key(int64_t key);

/* Threads that poll tasks until they are told to stop. A task belongs to one of them meanwhile. */
struct pump {
    cairn_task *const *tasks;
    size_t count;
    atomic_bool stop;
    pthread_t thread;
    /* Written by the thread. */
    uint64_t barriers, completed, aborted, last_completed;
    int code; /* what made poll fail; 0: nothing did */
    cairn_store *store;
    int clear_after_ms; /* clear faults of the store so long after one fired; 0: never */
    bool cleared;
};
void pump_start(struct pump *pump, cairn_task *const *tasks, size_t count);
void pump_stop(struct pump *pump);

#endif
