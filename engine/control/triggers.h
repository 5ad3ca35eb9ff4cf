/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_CONTROL_TRIGGERS_H
#define CRN_ENGINE_CONTROL_TRIGGERS_H

#include "base/thread.h"
#include "engine/control/json_out.h"
#include "engine/control/order.h"
#include "engine/status/status.h"

/*
 * The orders that a job was given through its control endpoint, and what came of them.
 *
 * Each has a thread of its own while it is under way, since what it asks of the job blocks: opening
 * a target, waiting for the outcome. The latest CRN_TRIGGERS_KEPT are remembered. Numbers are from
 * 1 on, and ids for clients are "<epoch>-<number>".
 *
 * Lock: triggers->lock (CRN_RANK_CONTROL). Nothing of the job is called under it but
 * cairn_savepoint_status().
 */

#define CRN_TRIGGERS_KEPT 64u
#define CRN_TRIGGERS_OPEN_MAX 16u

struct crn_trigger;
struct crn_triggers {
    struct cairn_job *job;          /* constant */
    void (*changed)(void *context); /* one has ended; any thread, no lock held. Constant */
    void *context;
    struct crn_mutex lock;
    /* Guarded by lock. */
    struct crn_trigger *table[CRN_TRIGGERS_KEPT]; /* by number, modulo the size */
    uint64_t count;                               /* given so far: the newest one's number */
    uint32_t open_count;                          /* not over */
    uint64_t ending; /* number of a stop or cancel with savepoint that is not over; 0: none */
    bool is_closed;
};
void crn_triggers_init(struct crn_triggers *triggers, struct cairn_job *job,
                       void (*changed)(void *context), void *context);
void crn_triggers_done(struct crn_triggers *triggers); /* all are over, and reaped */

/* Carry it out in the background. The order's parts are taken over in any case.
 * CAIRN_EBUSY: too many are open (*ret_is_full), or the job is being stopped; CAIRN_EFENCED,
 * CAIRN_ECANCELED, CAIRN_EFAILED, CAIRN_ECLOSED as the job says. */
int crn_triggers_submit(struct crn_triggers *triggers, struct crn_order *order,
                        uint64_t *ret_number, bool *ret_is_full, cairn_error **reterr);
/* Joins the threads of those that have ended. The endpoint's thread only, as the one above. */
void crn_triggers_reap(struct crn_triggers *triggers);
void crn_triggers_refuse(struct crn_triggers *triggers); /* take none any more. Any thread */
bool crn_triggers_are_over(struct crn_triggers *triggers);

/* For a client that wants to know. 1: it is over; 0: not yet; CAIRN_ENOTFOUND. */
int crn_triggers_is_over(struct crn_triggers *triggers, uint64_t number);
/* Is there one that has ended, about which a client has asked lately, and not been told? */
bool crn_triggers_has_untold(struct crn_triggers *triggers, uint64_t now_us);
/* Does a checkpoint wait or run, so that a look at the job tells more? */
bool crn_triggers_wants_status(struct crn_triggers *triggers);

/* One, or all of them, newest first. status NULL: nothing is known of the job.
 * @return 0 or CAIRN_ENOTFOUND. */
int crn_triggers_write(struct crn_triggers *triggers, uint64_t number,
                       const struct crn_job_status *status, struct crn_json_out *out);
void crn_triggers_write_all(struct crn_triggers *triggers, const struct crn_job_status *status,
                            struct crn_json_out *out);

/* "<epoch>-<number>", and back. CAIRN_EINVAL: it is not of this form. */
#define CRN_TRIGGER_ID_SIZE 44u
void crn_trigger_id(const struct crn_triggers *triggers, uint64_t number,
                    char ret[CRN_TRIGGER_ID_SIZE]);
int crn_trigger_id_parse(const char *text, uint64_t *ret_epoch, uint64_t *ret_number);

#endif
