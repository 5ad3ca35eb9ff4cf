/* SPDX-License-Identifier: Apache-2.0 */
/* What a service's threads see of a job. */
#include "tests/support/followers.h"

#include <stdio.h>

static void *follow(void *arg)
{
    struct follower *f = arg;
    for (;;) {
        const bool leave = atomic_load(&f->leave);
        cairn_error *error = NULL;
        cairn_event event;
        f->code = cairn_task_poll(f->task, &event, &error);
        if (f->code < 0) {
            (void)snprintf(f->message, sizeof f->message, "%s", cairn_error_message(error));
            cairn_error_free(error);
            return NULL;
        }
        const unsigned count = atomic_load(&f->count);
        if (event.type == CAIRN_EVENT_NONE) {
            if (leave)
                return NULL;
            crn_sleep_us(100);
        } else if (count < FOLLOWED_MAX) {
            f->events[count] = event;
            atomic_store(&f->count, count + 1);
        }
    }
}

void followers_start(struct followers *followers, const struct subject *s)
{
    *followers = (struct followers){0};
    for (size_t i = 0; i < SUBJECT_TASKS; i++) {
        struct follower *f = &followers->each[i];
        f->task = s->tasks[i];
        atomic_init(&f->leave, false);
        atomic_init(&f->count, 0);
        ck_ok(crn_thread_start(&f->thread, "follower", follow, f, reterr));
    }
}

void followers_wait(struct followers *followers)
{
    for (size_t i = 0; i < SUBJECT_TASKS; i++)
        ck_assert_int_eq(pthread_join(followers->each[i].thread, NULL), 0);
}

void followers_leave(struct followers *followers)
{
    for (size_t i = 0; i < SUBJECT_TASKS; i++)
        atomic_store(&followers->each[i].leave, true);
    followers_wait(followers);
}

char *follower_story(const struct follower *follower)
{
    static const char *const names[] = {
        [CAIRN_EVENT_BARRIER] = "barrier",         [CAIRN_EVENT_COMPLETED] = "completed",
        [CAIRN_EVENT_ABORTED] = "aborted",         [CAIRN_EVENT_SAVEPOINT] = "savepoint",
        [CAIRN_EVENT_INDEPENDENT] = "independent", [CAIRN_EVENT_DRAIN] = "drain",
        [CAIRN_EVENT_STOPPING] = "stopping",       [CAIRN_EVENT_STOPPED] = "stopped",
    };
    struct cairn_buffer text = {0};
    for (unsigned i = 0; i < atomic_load(&follower->count); i++) {
        const cairn_event *event = &follower->events[i];
        ck_assert_int_eq(crn_buf_printf(&text, "%s%s %llu", i > 0 ? ", " : "", names[event->type],
                                        (unsigned long long)event->checkpoint_id),
                         0);
    }
    char *story = crn_buf_take_text(&text);
    ck_assert_ptr_nonnull(story);
    return story;
}
