/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SURVEY_H
#define CRN_ENGINE_SURVEY_H

#include "engine/inspect/names.h"
#include "engine/log/joblog.h"

/* Everything that stands below a job's prefix, and what the log says of it: what usage and garbage
 * collection count and judge. */

struct crn_survey_object {
    const char *key; /* relative to the job's prefix */
    uint64_t size;
    bool is_live; /* a retained checkpoint references it */
};

/* Of a hundred thousand objects their names and sizes are in memory, and one manifest at a time. */
struct crn_survey {
    struct crn_names names; /* of the objects, by their number */
    struct crn_survey_object *objects;
    size_t count, capacity;
    struct crn_joblog log;    /* without what its records hold */
    struct crn_names missing; /* what retained checkpoints reference and was not listed */
    bool is_partial; /* some records cannot be read: what nobody references may be needed */
    bool lost_head;  /* the newest records are gone: so may be what is above the head */
};
void crn_survey_done(struct crn_survey *survey);
#define CRN_AUTO_SURVEY CRN_CLEANUP(crn_survey_done)

/* First list, then read the log, always in this order: if the id of an object that was listed is
 * resolved in the log that is read afterwards, and no retained checkpoint references the object,
 * none ever will (P5). crn_survey_read_log() may be
 * called again and replaces the log. It fails unless the whole log is readable, and when objects of
 * Cairn's are there without any log: what is live is not known then. CAIRN_ENOTFOUND: nothing of a
 * job is there at all.
 *
 * For who only counts, crn_survey_read_log_as_it_is() takes what can be read: it succeeds with the
 * error that the other one would have failed with in *ret_damage (NULL: none), and nothing is dead
 * then. */
int crn_survey_list(cairn_store *store, const char *job, struct crn_survey *survey,
                    cairn_error **reterr);
int crn_survey_read_log(cairn_store *store, const char *job, struct crn_survey *survey,
                        cairn_error **reterr);
int crn_survey_read_log_as_it_is(cairn_store *store, const char *job, struct crn_survey *survey,
                                 cairn_error **ret_damage, cairn_error **reterr);
cairn_object_status crn_survey_status(const struct crn_survey *survey,
                                      const struct crn_survey_object *object);
bool crn_survey_has(const struct crn_survey *survey, const char *key);

#endif
