/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CLUSTER_LEADER_INTERNAL_H
#define CRN_ENGINE_CLUSTER_LEADER_INTERNAL_H

#include "engine/cluster/board.h"
#include "engine/cluster/leader.h"
#include "engine/cluster/pace.h"

/* What leader.c (members and posts) and leader_mail.c (mails) share. */

struct crn_remote_worker {
    atomic_uint refs; /* the leader, and who looks at what is constant: the next six */
    uint8_t uuid[16];
    char *name, *host;
    uint64_t pid;
    struct crn_joined_subtask *subtasks;
    size_t subtask_count;
    uint32_t index;
    uint64_t next_mail; /* its number; the leader's thread only */
    uint64_t seen;      /* newest post that it has read */
    uint64_t heard_us;
    bool is_lost;
    bool is_told; /* the log has a line about it */
};

struct crn_outgoing {
    struct crn_outgoing *next;
    struct crn_post post;
};

struct crn_leader {
    struct cairn_job *job;
    struct crn_board board;
    pthread_t thread;
    bool has_thread;
    /* Guarded by job->lock. */
    struct crn_cond wake;               /* the thread */
    struct crn_cond changed;            /* who gathers, or closes: members, outbox */
    struct crn_remote_worker **workers; /* by arrival; from START on by index, and none is added */
    size_t worker_count;
    bool gathering, started, stopping, replaced;
    cairn_error *error; /* why nothing can be posted any more; set with replaced */
    cairn_error *loss;  /* of a worker, with which the job ended; until the log has it */
    struct crn_outgoing *outbox;
    bool is_posting;
    /* The thread's own. */
    uint64_t next_post;
    uint64_t removed_posts; /* below it all are gone, but for PLAN and START */
    struct crn_pace pace;
    uint64_t listed_us; /* when the last listing that succeeded began */
    uint64_t blind_us;  /* when the last round ended, if it failed; 0: it did not */
};

/* leader_mail.c: one round: list, read, remember, remove. Leader's thread, without the lock. */
void crn_leader_read_mails(struct crn_leader *leader);
/* leader.c: a worker is gone: the job ends. Lock held. */
void crn_leader_lose_locked(struct crn_leader *leader, struct crn_remote_worker *worker,
                            const char *why);

/* leader_post.c. Whoever has our next number has taken the job over: nothing is posted any more.
 * Takes the error. */
void crn_leader_note_replaced(struct crn_leader *leader, cairn_error **error);
/* A post of this kind, to be completed, then to be queued with the lock held. */
int crn_outgoing_new(enum crn_post_kind kind, const char *text, struct crn_outgoing **ret,
                     cairn_error **reterr);
void crn_outgoing_free(struct crn_outgoing *outgoing);
void crn_leader_post_locked(struct crn_leader *leader, struct crn_outgoing *outgoing);
/* Post what waits, in order, as far as the store lets it. Gives when to try again; UINT64_MAX:
 * nothing is left. */
uint64_t crn_leader_empty_outbox(struct crn_leader *leader, uint32_t *tries);
void crn_remote_worker_unref(struct crn_remote_worker *worker); /* NULL is fine */

#endif
