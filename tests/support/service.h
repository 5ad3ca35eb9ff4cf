/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_SERVICE_H
#define CRN_TESTS_SERVICE_H

#include "cairn/writer.h"
#include "tests/support/entries.h"
#include <stdbool.h>

/* A whole service on the public API, on disk, with one of every kind of state: to take snapshots of
 * it, and to start other versions of it from them. It knows by itself what must be there, so a
 * restored one is asked through its own getters. Helpers fail the test that runs on any error that
 * they do not return.
 *
 * Operator "orders" has string keys: "total" (value), "lines" (list), "items" (map), "sum"
 * (reducing), "mean" (aggregating), "profile" (struct), "address" (Avro), "session" (value with
 * expiry). Operator "tallies" has int64 keys: "seen" (value), and the operator states "offsets"
 * (split), "peers" (union) and "rules" (broadcast). */

enum snapshot_kind { SNAPSHOT_CANONICAL, SNAPSHOT_NATIVE, SNAPSHOT_CHECKPOINT, SNAPSHOT_KINDS };
enum { SERVICE_BACKENDS = 2 };
extern const char *const service_backends[SERVICE_BACKENDS]; /* "rocksdb", "heap" */

#define SERVICE_KEYS 60 /* that the first version writes */
#define SERVICE_TASKS_MAX 16u
#define SERVICE_PATH_MAX 600

/* A directory for one test: store, savepoints and local directories are in it. */
struct ground {
    char root[200];
    int64_t clock_ms; /* what every job takes for the time */
    unsigned services;
};
void ground_init(struct ground *ground);
void ground_done(struct ground *ground); /* removes it */
void ground_path(const struct ground *ground, const char *name, char out[SERVICE_PATH_MAX]);

/* What the version of the service is that is started, and from what. Zeros: the first version. */
struct service_options {
    const char *job;          /* NULL: one of its own */
    const char *backend;      /* NULL: "rocksdb" */
    uint32_t parallelism;     /* of both operators; 0: 2 */
    uint32_t max_parallelism; /* of both operators; 0: the stored or Cairn's */
    const char *orders_uid;   /* NULL: "orders" */
    bool tallies_first;       /* in the order of opening */
    bool without_tallies;
    bool with_audit;   /* an operator that the first version does not have */
    bool without_sum;  /* a state that it does not register any more */
    bool with_note;    /* a state that the first version does not have */
    bool new_schemas;  /* a field removed, one added, both reordered */
    bool other_expiry; /* "total" expires, "session" does not */
    bool allow_non_restored_state;
    uint32_t inline_threshold_bytes; /* 0: nothing is inlined in manifests */
    const char *restore_uri;
    cairn_claim_mode claim_mode;
};

struct service_task {
    cairn_task *task;
    uint32_t subtask;
    cairn_value *total, *profile, *address, *session, *note, *seen;
    cairn_list *lines;
    cairn_map *items;
    cairn_reducing *sum;
    cairn_aggregating *mean;
    cairn_operator_list *offsets, *peers;
    cairn_broadcast *rules;
};

struct service {
    struct ground *ground;
    struct service_options options;
    char name[64]; /* of its job */
    cairn_job *job;
    struct service_task orders[SERVICE_TASKS_MAX], tallies[SERVICE_TASKS_MAX];
    cairn_task *audit;
    bool is_independent; /* CAIRN_EVENT_INDEPENDENT came */
};
/* Open and start. On failure nothing is left open. */
int service_open(struct ground *ground, const struct service_options *options, struct service *ret,
                 cairn_error **reterr);
void service_close(struct service *service);
/* Write keys first..end-1, and once more what the operator states have. */
void service_write(struct service *service, int first, int end);
/* All of keys 0..end-1 is there and nothing of the next ones, in every state that is registered;
 * those from `first_new` on were written under the new schemas. */
void service_check(struct service *service, int first_new, int end);
/* What "total" has under a key; -1: nothing. */
int64_t service_total(struct service *service, int key);
/* "session" is there under a key. */
bool service_has_session(struct service *service, int key);
/* Write SERVICE_KEYS..SERVICE_KEYS+4, take a checkpoint, close, and check all of it in the next
 * incarnation of the job. */
void service_go_on(struct service *service, int first_new);
/* Take a snapshot, polling all tasks. `uri`: where it is, for restore_uri. */
void service_snapshot(struct service *service, enum snapshot_kind kind, char uri[SERVICE_PATH_MAX]);
/* A checkpoint, and what is told of it. */
cairn_checkpoint_info service_checkpoint(struct service *service);

/* The first version runs, takes a checkpoint half way, and then this; keys 0..SERVICE_KEYS-1. */
void ground_snapshot(struct ground *ground, enum snapshot_kind kind, const char *backend,
                     char uri[SERVICE_PATH_MAX]);

/* The same on the i-th backend, and options of a service that starts from it. */
struct service_options ground_take(struct ground *ground, enum snapshot_kind kind, int backend,
                                   char uri[SERVICE_PATH_MAX]);

/* What is at a URI. */
struct stored_snapshot {
    cairn_store *store;
    char *name;
    cairn_snapshot *snapshot;
};
void stored_snapshot_open(const char *uri, struct stored_snapshot *ret);
void stored_snapshot_close(struct stored_snapshot *stored);
/* Its entries as crn_test_entries() writes them. To be freed. */
char *stored_entries(const char *uri);
/* Every byte of it is right. */
void stored_verify(const char *uri);

#endif
