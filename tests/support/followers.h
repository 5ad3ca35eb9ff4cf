/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_FOLLOWERS_H
#define CRN_TESTS_FOLLOWERS_H

#include "tests/support/job_fixture.h"

/* A thread for each task of the subject, which polls it until that fails, or it is told to leave,
 * and notes what came: what a service sees of how its job ends. */
#define FOLLOWED_MAX 64

struct follower {
    cairn_task *task;
    pthread_t thread;
    atomic_bool leave;
    atomic_uint count;
    cairn_event events[FOLLOWED_MAX];
    int code; /* why poll failed; 0: it was told to leave */
    char message[512];
};
struct followers {
    struct follower each[SUBJECT_TASKS];
};
void followers_start(struct followers *followers, const struct subject *s);
/* Until polling has ended by itself. */
void followers_wait(struct followers *followers);
/* They leave their tasks when nothing is due. */
void followers_leave(struct followers *followers);
/* "drain 5, stopping 5, stopped 5"; of barriers only those that were taken. To be freed. */
char *follower_story(const struct follower *follower);

#endif
