/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_MANIFEST_CLUSTER_H
#define CRN_MANIFEST_CLUSTER_H

#include "manifest/manifest.h"

/*
 * What the processes of a job tell one another: posts of the coordinator, mails of the workers. In
 * memory, and their bytes (cluster.proto in a manifest's frame). Pure, like the rest of this layer;
 * and every byte is untrusted.
 *
 * Keys are below the job's prefix:
 *   cluster/e<epoch>/post-<number>
 *   cluster/e<epoch>/mail-<worker, 32 hex digits>-<number>
 * Numbers begin with 1 and have no gaps, so that the next one can be asked for by its name. Nothing
 * is ever overwritten; a number that is taken is taken for good.
 */

#define CRN_LIMIT_WORKERS 32768u
#define CRN_LIMIT_JOINED (1u << 20) /* subtasks of one worker */
#define CRN_LIMIT_POST (64u << 20)  /* bytes of one, in its frame */
#define CRN_LIMIT_MAIL CRN_LIMIT_MANIFEST

enum crn_post_kind {
    CRN_POST_PLAN = 1,    /* always number 1: what the job starts from; workers may join */
    CRN_POST_START = 2,   /* always number 2, or none: who belongs to it; nobody joins any more */
    CRN_POST_TRIGGER = 3, /* take the barrier */
    CRN_POST_COMPLETE = 4,
    CRN_POST_ABORTED = 5,
    CRN_POST_SAVEPOINT = 6,   /* it is complete */
    CRN_POST_STOPPED = 7,     /* the same, and the job has stopped with it */
    CRN_POST_INDEPENDENT = 8, /* of what it was started from */
    CRN_POST_ENDED = 9,       /* the job is over: the last post */
    CRN_POST_REPLACED = 10 /* another writer has taken the job over: the last post, by that one */
};

struct crn_plan {
    uint64_t restored_id;
    uint8_t restored_uuid[16];
    char *source_location; /* NULL: the job's own log */
    bool is_stop;
    uint32_t checkpoint_mode;
    bool unaligned;
    uint64_t aligned_timeout_ms;
};

struct crn_member {
    uint8_t worker[16];
    uint32_t index;
};

struct crn_trigger {
    uint64_t id;
    bool is_full;
    int64_t trigger_time_ms;
    uint64_t floor_id;
    bool is_savepoint;
    char *target;    /* savepoints; NULL: the job's own store */
    char *directory; /* savepoints */
    uint32_t format;
    bool stop, drain;
};

/* Only what its kind has is set. Texts and arrays are malloc'ed. */
struct crn_post {
    enum crn_post_kind kind;
    uint64_t epoch, number;
    uint8_t uuid[16];
    struct crn_plan plan;
    struct crn_member *members;
    size_t member_count;
    struct crn_trigger trigger;
    uint64_t id, subsumed_id;
    int code;
    char *text; /* NULL is written as "", and read back as "" */
};

enum crn_mail_kind {
    CRN_MAIL_JOIN = 1, /* always number 1 */
    CRN_MAIL_ALIVE = 2,
    CRN_MAIL_ACK = 3,
    CRN_MAIL_DECLINE = 4,
    CRN_MAIL_LEAVE = 5 /* the last one */
};

struct crn_joined_subtask {
    char *uid, *name;
    uint32_t subtask, parallelism, max_parallelism;
    uint32_t key_type, namespace_type;
};

struct crn_mail {
    enum crn_mail_kind kind;
    uint64_t epoch, number;
    uint8_t worker[16];
    uint64_t seen;
    char *name, *host; /* JOIN, from here */
    uint64_t pid;
    struct crn_joined_subtask *subtasks;
    size_t subtask_count;
    uint64_t id; /* ACK, DECLINE */
    struct crn_record
        *record; /* ACK: operators with the worker's subtasks, see crn_mail_encode() */
    int code;    /* DECLINE, LEAVE */
    char *text;  /* DECLINE, LEAVE */
};

void crn_post_done(struct crn_post *post);
void crn_mail_done(struct crn_mail *mail);
#define CRN_AUTO_POST CRN_CLEANUP(crn_post_done)
#define CRN_AUTO_MAIL CRN_CLEANUP(crn_mail_done)

/* Replace what is in `out`. Free texts (host, name of a worker, text) are made clean and cut; a
 * negative code that is not of the table in cairn.h, of a store that is not Cairn's, is written as
 * CAIRN_EIO. 0, CAIRN_EINVAL (it breaks a rule, or is too large), CAIRN_ENOMEM.
 *
 * The record of an ACK is no record of a log: it has kind CHECKPOINT or SAVEPOINT, the checkpoint's
 * id and the epoch, and operators of which only some subtasks are there. It meets all rules but
 * that every subtask is there (crn_record_validate_part()). */
int crn_post_encode(const struct crn_post *post, struct cairn_buffer *out, cairn_error **reterr);
int crn_mail_encode(const struct crn_mail *mail, struct cairn_buffer *out, cairn_error **reterr);
/* `object` is the key below the job's prefix: epoch, number and worker in it must be those of the
 * content. CAIRN_ECORRUPT, CAIRN_EVERSION, CAIRN_ENOMEM. *ret is only filled on success. */
int crn_post_decode(const char *object, const void *data, size_t size, struct crn_post *ret,
                    cairn_error **reterr);
int crn_mail_decode(const char *object, const void *data, size_t size, struct crn_mail *ret,
                    cairn_error **reterr);

/* Buffers of CRN_KEY_MAX bytes. crn_key_parse() knows both as CRN_KEY_POST and CRN_KEY_MAIL. */
void crn_key_post(char out[CRN_KEY_MAX], uint64_t epoch, uint64_t number);
void crn_key_mail(char out[CRN_KEY_MAX], uint64_t epoch, const uint8_t worker[16], uint64_t number);
/* What the keys of all mails of an epoch begin with. */
void crn_key_mails(char out[CRN_KEY_MAX], uint64_t epoch);

#endif
