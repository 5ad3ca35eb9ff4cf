/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_LIFE_PLACE_H
#define CRN_TESTS_LIFE_PLACE_H

#include "tests/support/job_fixture.h"

/* Where a life takes place: a store for jobs and one for savepoints, both directories or both in
 * memory, and what a person may do there with their own hands. Failures end the test. */
struct life_place {
    char root[160];
    bool on_disk;
    cairn_store *jobs, *saves;
    char jobs_path[200], saves_path[200], local[200];
};
/* transfer: of the stores on disk, such as "copy". */
void life_place_init(struct life_place *place, bool on_disk, const char *transfer);
void life_place_done(struct life_place *place);

/* For restore_uri; only on disk. */
void life_place_uri(const struct life_place *place, const cairn_store *store, const char *name,
                    char out[600]);
size_t life_place_count(cairn_store *store, const char *name); /* objects in the directory */
void life_place_remove(cairn_store *store, const char *name);  /* rm -r */
/* mv, or cp -r and rm -r. */
void life_place_move(const struct life_place *place, cairn_store *store, const char *name,
                     const char *to, bool by_copy);
/* Nothing of it is there, not even the directory. */
bool life_place_is_gone(const struct life_place *place, cairn_store *store, const char *name);
/* It was claimed by a job that has started, and goes in the background: of a job's directory all
 * but the mark. */
void life_place_expect_release(const struct life_place *place, cairn_store *store, const char *name,
                               bool is_job);
/* 1: a whole snapshot, every byte of which verifies; 0: none. */
int life_place_has_snapshot(cairn_store *store, const char *name);
/* gc, and then: every byte verifies, nothing is dead, missing, unresolved or not Cairn's. */
void life_place_check_tidy(cairn_store *store, const char *job);

#endif
