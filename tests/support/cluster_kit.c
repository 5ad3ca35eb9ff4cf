/* SPDX-License-Identifier: Apache-2.0 */
/* Several roles of a job in one process; see cluster_kit.h. */
#include "tests/support/cluster_kit.h"

#include "base/file.h"
#include "tests/support/odd_store.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_US 8000000u

/* ------------------------------------------------------------------------------------------ *
 * Opening
 * ------------------------------------------------------------------------------------------ */

static void init_member(struct crew *crew, uint32_t i)
{
    struct crew_member *m = &crew->members[i];
    char name[32];
    (void)snprintf(name, sizeof name, "member-%u", i);
    CRN_AUTO_FREE char *local_dir = fixture_dir(&crew->f, name);
    *m = (struct crew_member){.crew = crew, .index = i == 0 ? 0 : i - 1, .f = crew->f};
    ck_ok(crn_fault_store_open(odd_store_open(crew->f.store), &m->f.store, reterr));
    (void)snprintf(m->local_dir, sizeof m->local_dir, "%s", local_dir);
    (void)snprintf(m->name, sizeof m->name, "%s", name);
    m->f.options.worker_name = m->name; /* by default they are told apart by their process */
    m->f.options.store = m->f.store;
    m->f.options.local_dir = m->local_dir;
    m->f.options.role = i == 0 ? CAIRN_COORDINATOR : CAIRN_WORKER;
    m->f.options.poll_interval_ms = 3;
    m->f.options.heartbeat_ms = 30;
    m->f.options.worker_timeout_ms = 3000;
    m->f.options.join_timeout_ms = 5000;
}

void crew_init(struct crew *crew, uint32_t workers)
{
    memset(crew, 0, sizeof *crew);
    ck_assert_uint_le(workers, CREW_WORKERS_MAX);
    crew->workers = workers;
    fixture_init(&crew->f, false);
    CRN_AUTO_FREE char *savepoints = fixture_dir(&crew->f, "savepoints");
    (void)snprintf(crew->savepoints, sizeof crew->savepoints, "%s", savepoints);
    for (uint32_t i = 0; i <= CREW_WORKERS_MAX; i++)
        init_member(crew, i);
}

void crew_use(struct crew *crew, const struct crn_state_backend *backend)
{
    for (uint32_t i = 0; i <= CREW_WORKERS_MAX; i++)
        crew->members[i].f.backend = *backend;
}

void crew_done(struct crew *crew)
{
    crew_close(crew);
    for (uint32_t i = 0; i <= CREW_WORKERS_MAX; i++)
        cairn_store_close(crew->members[i].f.store);
    fixture_done(&crew->f);
}

static int open_task(struct crew_member *m, cairn_error **reterr)
{
    const struct crew *crew = m->crew;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    const bool is_tally = m == &crew->members[0];
    options.key_type = CAIRN_INT64;
    options.parallelism = is_tally ? 1 : crew->workers;
    options.subtask = m->index;
    options.max_parallelism = 128;
    options.before_barrier = is_tally ? NULL : crew->before_barrier;
    options.context = crew->context;
    CRN_TRY(cairn_task_open(m->job, is_tally ? "tally" : "words", &options, &m->task, reterr));
    return cairn_value_state(m->task, "count", CAIRN_INT64, NULL, &m->count, reterr);
}

static int open_member(struct crew_member *m, cairn_error **reterr)
{
    m->f.options.worker_count = m == &m->crew->members[0] ? m->crew->workers : 0;
    CRN_TRY(fixture_open_job(&m->f, "job", &m->job, reterr));
    return m == &m->crew->members[0] && !m->crew->has_tally ? 0 : open_task(m, reterr);
}

static int note(struct crew_member *m, int r, cairn_error *error)
{
    m->code = r;
    (void)snprintf(m->message, sizeof m->message, "%s", cairn_error_message(error));
    cairn_error_free(error);
    return r;
}

int crew_open(struct crew *crew, uint32_t member)
{
    cairn_error *error = NULL;
    int r = open_member(&crew->members[member], &error);
    return note(&crew->members[member], r, error);
}

static void *start_member(void *arg)
{
    struct crew_member *m = arg;
    cairn_error *error = NULL;
    int r = m->job == NULL ? open_member(m, &error) : 0;
    if (r == 0)
        r = cairn_job_start(m->job, &error);
    if (note(m, r, error) < 0) /* the others need not wait for it */
        crew_close_member(m->crew, (uint32_t)(m - m->crew->members));
    return NULL;
}

int crew_start(struct crew *crew)
{
    int r = 0;
    for (uint32_t i = 0; i <= crew->workers; i++)
        ck_ok(crn_thread_start(&crew->members[i].thread, "member", start_member, &crew->members[i],
                               reterr));
    for (uint32_t i = 0; i <= crew->workers; i++) {
        ck_assert_int_eq(pthread_join(crew->members[i].thread, NULL), 0);
        if (r == 0)
            r = crew->members[i].code;
    }
    return r;
}

void crew_must_start(struct crew *crew)
{
    if (crew_start(crew) == 0)
        return;
    for (uint32_t i = 0; i <= crew->workers; i++)
        if (crew->members[i].code < 0)
            ck_abort_msg("member %u cannot start: %s: %s", i,
                         cairn_error_name(crew->members[i].code), crew->members[i].message);
}

void crew_close_member(struct crew *crew, uint32_t member)
{
    struct crew_member *m = &crew->members[member];
    cairn_job_close(m->job);
    cairn_task_close(m->task);
    m->job = NULL;
    m->task = NULL;
}

void crew_close(struct crew *crew)
{
    for (uint32_t i = 0; i <= CREW_WORKERS_MAX; i++)
        crew_close_member(crew, i);
}

cairn_job *crew_job(struct crew *crew)
{
    return crew->members[0].job;
}

/* ------------------------------------------------------------------------------------------ *
 * State
 * ------------------------------------------------------------------------------------------ */

uint32_t crew_owner(const struct crew *crew, int64_t key)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    int subtask = cairn_subtask_of_key(bytes, sizeof bytes, crew->workers, 128);
    ck_assert_int_ge(subtask, 0);
    return 1 + (uint32_t)subtask;
}

void crew_write(struct crew *crew, unsigned seed)
{
    for (int64_t key = 0; key < CREW_KEYS; key++) {
        struct crew_member *m = &crew->members[crew_owner(crew, key)];
        if ((unsigned)key % 3 == seed % 3)
            continue;
        crew->counts[key]++;
        ck_assert_int_eq(cairn_task_set_key_int64(m->task, key), 0);
        ck_ok(cairn_value_put_int64(m->count, crew->counts[key], reterr));
    }
}

void crew_check(struct crew *crew)
{
    for (int64_t key = 0; key < CREW_KEYS; key++) {
        struct crew_member *m = &crew->members[crew_owner(crew, key)];
        int64_t n = 0;
        ck_assert_int_eq(cairn_task_set_key_int64(m->task, key), 0);
        ck_ok(cairn_value_get_int64(m->count, &n, reterr));
        ck_assert_msg(n == crew->counts[key], "key %d has %d, not %d", (int)key, (int)n,
                      (int)crew->counts[key]);
    }
}

/* ------------------------------------------------------------------------------------------ *
 * Running
 * ------------------------------------------------------------------------------------------ */

void crew_pump(struct crew *crew, struct pump *pump)
{
    static cairn_task *tasks[1 + CREW_WORKERS_MAX];
    size_t n = 0;
    for (uint32_t i = 0; i <= crew->workers; i++)
        if (crew->members[i].task != NULL)
            tasks[n++] = crew->members[i].task;
    *pump = (struct pump){0};
    pump_start(pump, tasks, n);
}

int crew_checkpoint(struct crew *crew, bool full, cairn_checkpoint_info *ret, cairn_error **reterr)
{
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    struct pump pump;
    options.full = full;
    crew_pump(crew, &pump);
    int r = cairn_job_checkpoint(crew_job(crew), &options, ret, reterr);
    pump_stop(&pump);
    return r;
}

int crew_savepoint(struct crew *crew, cairn_savepoint_format format, bool stop,
                   cairn_savepoint_info *ret, cairn_error **reterr)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    struct pump pump;
    options.target_uri = crew->savepoints;
    options.format = format;
    options.stop = stop;
    crew_pump(crew, &pump);
    int r = cairn_savepoint(crew_job(crew), &options, ret, reterr);
    pump_stop(&pump);
    return r;
}

int64_t crew_await_event(struct crew *crew, uint32_t member, cairn_event_type type)
{
    for (uint64_t end_us = crn_now_us() + PATIENCE_US; crn_now_us() < end_us;) {
        cairn_event event;
        int r = cairn_task_wait(crew->members[member].task, 50, &event, NULL);
        if (r < 0)
            return r;
        if (event.type == type)
            return (int64_t)event.checkpoint_id;
    }
    return 0;
}

int crew_await_error(struct crew *crew, uint32_t member)
{
    struct crew_member *m = &crew->members[member];
    for (uint64_t end_us = crn_now_us() + PATIENCE_US; crn_now_us() < end_us;) {
        cairn_event event;
        cairn_error *error = NULL;
        int r = cairn_task_wait(m->task, 50, &event, &error);
        if (r < 0)
            return note(m, r, error);
    }
    return 0;
}
