/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_VERIFY_H
#define CRN_ENGINE_VERIFY_H

#include "engine/inspect/survey.h"

/* What there is to look at when a job is verified: verify_plan.c makes it, verify.c looks. */

/* What an object, or a slice of one, should be. Without holes that are not zero: compared as bytes.
 */
struct crn_expectation {
    const char *object; /* equal names are one pointer */
    uint64_t size, object_offset, object_size;
    uint8_t xxh3[16];
    uint32_t crc32c;
    uint32_t has_xxh3, has_crc32c;
    uint32_t reserved;
};

struct crn_verify_target {
    struct crn_expectation expected;
    const char *name;         /* of the local file, for messages */
    uint64_t checkpoint_id;   /* who stored it */
    uint32_t last_checkpoint; /* that was seen to need it */
};

/* A checkpoint needs a target; both by their index. */
struct crn_verify_need {
    uint32_t target, checkpoint;
};

/* An inlined file that is not what its own manifest says. */
struct crn_verify_inlined {
    uint64_t id;
    cairn_error *error;
};

struct crn_verify_plan {
    cairn_store *store;
    const char *job;
    uint64_t wanted_id; /* 0: all */
    bool full;
    struct crn_survey survey; /* what is there, and the log */
    struct crn_names names;
    struct crn_verify_target *targets;
    size_t target_count, target_capacity;
    uint32_t *slots; /* targets by their expectation: index + 1; 0: free */
    size_t slot_count;
    uint64_t seed;
    struct crn_verify_need *needs; /* by target, then by checkpoint */
    size_t need_count, need_capacity;
    uint64_t *checkpoints; /* ids, ascending */
    size_t checkpoint_count, checkpoint_capacity;
    struct crn_verify_inlined *inlined;
    size_t inlined_count, inlined_capacity;
    uint64_t object_count;  /* distinct ones */
    uint64_t target_bytes;  /* of all targets together */
    uint64_t settled_bytes; /* of what the listing has shown to be there already */
};
void crn_verify_plan_done(struct crn_verify_plan *plan);
/* Lists the job's objects, reads its log, a manifest at a time, and keeps of the files what is to
 * be looked at. Without `full`, what the listing shows with the right size is settled. As
 * crn_joblog_visit_judged() else. */
int crn_verify_plan_make(struct crn_verify_plan *plan, cairn_error **reterr);
/* The checkpoints that need a target, ascending, into room for all of them; how many. */
size_t crn_verify_plan_ids(const struct crn_verify_plan *plan,
                           const struct crn_verify_target *target, uint64_t *ret_ids);

#endif
