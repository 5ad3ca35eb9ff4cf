/* SPDX-License-Identifier: Apache-2.0 */
/* What a running job of life_model.h goes through, and how it ends. Starting is life_start.c. */
#include "tests/support/life_model.h"

#include "cairn/inspect.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE 200000 /* rounds of polling before something is taken to hang */

uint64_t model_pick(struct model *m, uint64_t n)
{
    m->random = life_random(m->random);
    return m->random % n;
}

void model_say(const struct model *m, const char *format, ...)
{
    va_list args;
    if (!m->trace)
        return;
    printf("# ");
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

static void note_barrier(void *context, const struct life_task *task, uint64_t id)
{
    struct model *m = context;
    ck_assert_uint_lt(id, MODEL_IDS_MAX);
    struct model_snapshot *s = m->snapshots[id];
    if (s == NULL)
        s = m->snapshots[id] = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    s->noted++;
    s->is_native = strcmp(m->backend, "rocksdb") == 0;
    life_oracle_note(&s->oracle, &m->life.oracle, task->op, task->subtask, id);
}

void model_init(struct model *m, uint64_t seed)
{
    static const char *const transfers[] = {"auto", "copy", "link"};
    memset(m, 0, sizeof *m);
    m->seed = m->random = seed;
    m->trace = getenv("CAIRN_TRACE") != NULL;
    ck_ok(life_init(&m->life, reterr));
    m->life.at_barrier = note_barrier;
    m->life.context = m;
    m->life.oracle.now_ms = 1000000;
    bool on_disk = model_pick(m, 3) != 0;
    m->only_heap = model_pick(m, 6) == 0;
    m->only_rocksdb = !m->only_heap && model_pick(m, 3) == 0;
    life_place_init(&m->place, on_disk, transfers[model_pick(m, 3)]);
    (void)snprintf(m->job_name, sizeof m->job_name, "job 0");
}

static unsigned task_count(const struct model *m)
{
    return m->life.oracle.ops[0].parallelism + m->life.oracle.ops[1].parallelism;
}

/* ------------------------------------------------------------------------------------------ *
 * While it runs
 * ------------------------------------------------------------------------------------------ */

void model_steps(struct model *m, uint64_t count, bool with_rules)
{
    for (uint64_t i = 0; i < count; i++) {
        m->random = life_random(m->random);
        ck_ok(life_step(&m->life, m->random, with_rules, reterr));
    }
}

static void take_event(struct model *m, const cairn_event *event)
{
    ck_assert_msg(event->type != CAIRN_EVENT_ABORTED, "snapshot %" PRIu64 " was aborted",
                  event->checkpoint_id);
    if (event->type == CAIRN_EVENT_COMPLETED && event->checkpoint_id > m->newest)
        m->newest = event->checkpoint_id;
    m->independent += event->type == CAIRN_EVENT_INDEPENDENT;
}

static void poll_all(struct model *m, uint64_t wait_ms)
{
    for (unsigned op = 0; op < LIFE_OPS; op++)
        for (unsigned i = 0; i < m->life.oracle.ops[op].parallelism; i++) {
            cairn_event event;
            ck_ok(cairn_task_wait(m->life.tasks[op][i].task, wait_ms, &event, reterr));
            take_event(m, &event);
        }
}

/* Writers go on between their barriers and the end. */
static void work_a_little(struct model *m)
{
    poll_all(m, model_pick(m, 8) == 0);
    model_steps(m, model_pick(m, 20), false);
}

/* The source may go now: sometimes it does. */
static void let_source_go(struct model *m)
{
    for (int i = 0; i < PATIENCE && m->independent < task_count(m); i++)
        poll_all(m, 1);
    ck_assert_uint_eq(m->independent, task_count(m));
    if (m->pending.is_job) {
        model_say(m, "the source '%s' goes", m->pending.name);
        life_place_remove(m->pending.store, m->pending.name);
    }
    m->pending.name[0] = '\0';
    if (model_pick(m, 2) == 0)
        model_dispose(m);
}

void model_checkpoint(struct model *m, bool to_the_end)
{
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    cairn_checkpoint_info before = CAIRN_CHECKPOINT_INFO_INIT;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    uint64_t rounds = to_the_end ? PATIENCE : model_pick(m, 12);
    options.full = model_pick(m, 4) == 0;
    (void)cairn_job_last_checkpoint(m->job, &before);
    ck_ok(cairn_job_trigger(m->job, &options, reterr));
    for (uint64_t i = 0; i < rounds && info.id <= before.id; i++) {
        work_a_little(m);
        (void)cairn_job_last_checkpoint(m->job, &info);
    }
    if (!to_the_end)
        return;
    ck_assert_uint_gt(info.id, before.id);
    while (m->newest < info.id)
        poll_all(m, 1);
    if (before.id == 0 && m->pending.name[0] != '\0') {
        ck_assert_int_eq(info.is_full, 1);
        let_source_go(m);
    }
    life_place_check_tidy(m->place.jobs, m->job_name);
    model_say(m, "checkpoint %" PRIu64 "%s", info.id, info.is_full ? ", full" : "");
}

/* ------------------------------------------------------------------------------------------ *
 * Savepoints
 * ------------------------------------------------------------------------------------------ */

static void keep_savepoint(struct model *m, const cairn_savepoint_info *info)
{
    struct model_source *s = &m->saved[m->saved_count++];
    ck_assert_ptr_nonnull(m->snapshots[info->id]);
    *s = (struct model_source){
        .store = m->target, .id = info->id, .snapshot = *m->snapshots[info->id]};
    ck_assert_uint_eq(s->snapshot.noted, task_count(m));
    s->snapshot.is_native &= info->format == CAIRN_NATIVE;
    (void)snprintf(s->name, sizeof s->name, "savepoint-%s-%" PRIu64, m->job_name, info->id);
    ck_assert_ptr_nonnull(strstr(info->location, s->name));
    model_say(m, "has %s", s->name);
}

void model_savepoint(struct model *m, bool to_the_end)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    uint64_t rounds = to_the_end ? PATIENCE : model_pick(m, 16);
    while (m->saved_count == MODEL_SAVED_MAX)
        model_dispose(m);
    options.target_store = m->target = model_pick(m, 2) ? m->place.jobs : m->place.saves;
    options.format = model_pick(m, 2) ? CAIRN_CANONICAL : CAIRN_NATIVE;
    options.link_previous = model_pick(m, 2) == 0;
    model_say(m, "savepoint, format %d, link_previous %d, %s", (int)options.format,
              options.link_previous, to_the_end ? "to the end" : "and away");
    ck_ok(cairn_savepoint_begin(m->job, &options, &m->handle, reterr));
    for (uint64_t i = 0; i < rounds && info.phase < CAIRN_SAVEPOINT_COMPLETE; i++) {
        work_a_little(m);
        ck_ok(cairn_savepoint_status(m->handle, &info, reterr));
    }
    if (!to_the_end)
        return;
    ck_ok(cairn_savepoint_wait(m->handle, 0, &info, reterr));
    ck_assert_int_eq((int)info.phase, CAIRN_SAVEPOINT_COMPLETE);
    cairn_savepoint_close(m->handle);
    m->handle = NULL;
    keep_savepoint(m, &info);
    ck_assert_int_eq(life_place_has_snapshot(m->target, m->saved[m->saved_count - 1].name), 1);
}

/* The job has ended, and with it the savepoint in flight: whole, or never there. */
static void settle_savepoint(struct model *m)
{
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    char name[100];
    if (m->handle == NULL)
        return;
    ck_ok(cairn_savepoint_status(m->handle, &info, reterr));
    cairn_savepoint_close(m->handle);
    m->handle = NULL;
    ck_assert_int_ge((int)info.phase, CAIRN_SAVEPOINT_COMPLETE);
    (void)snprintf(name, sizeof name, "savepoint-%s-%" PRIu64, m->job_name, info.id);
    if (info.phase == CAIRN_SAVEPOINT_COMPLETE) {
        ck_assert_int_eq(life_place_has_snapshot(m->target, name), 1);
        keep_savepoint(m, &info);
    } else if (info.id != 0) {
        ck_assert_msg(life_place_is_gone(&m->place, m->target, name), "something is left of '%s'",
                      name);
    }
}

void model_forget(struct model *m, size_t i)
{
    m->saved[i] = m->saved[--m->saved_count];
}

void model_dispose(struct model *m)
{
    if (m->saved_count == 0)
        return;
    size_t i = (size_t)model_pick(m, m->saved_count);
    struct model_source *s = &m->saved[i];
    if (s->store == m->pending.store && strcmp(s->name, m->pending.name) == 0)
        return;
    model_say(m, "dispose of %s", s->name);
    ck_ok(cairn_dispose(s->store, s->name, NULL, NULL, reterr));
    ck_assert(life_place_is_gone(&m->place, s->store, s->name));
    ck_assert_int_eq(cairn_dispose(s->store, s->name, NULL, NULL, NULL), CAIRN_ENOTFOUND);
    model_forget(m, i);
}

void model_move(struct model *m)
{
    char to[100];
    if (m->saved_count == 0)
        return;
    struct model_source *s = &m->saved[model_pick(m, m->saved_count)];
    if (s->store == m->pending.store && strcmp(s->name, m->pending.name) == 0)
        return;
    (void)snprintf(to, sizeof to, "moved %u", m->moves++);
    model_say(m, "move %s to %s", s->name, to);
    life_place_move(&m->place, s->store, s->name, to, model_pick(m, 2) == 0);
    (void)snprintf(s->name, sizeof s->name, "%s", to);
    ck_assert_int_eq(life_place_has_snapshot(s->store, s->name), 1);
}

/* ------------------------------------------------------------------------------------------ *
 * Other things that happen
 * ------------------------------------------------------------------------------------------ */

void model_migrate(struct model *m)
{
    static const char *const states[] = {NULL, "record", "rows"};
    unsigned op = (unsigned)model_pick(m, LIFE_OPS);
    unsigned subtask = (unsigned)model_pick(m, m->life.oracle.ops[op].parallelism);
    const char *state = states[model_pick(m, 3)];
    model_say(m, "migrate %u/%u %s", op, subtask, state != NULL ? state : "all");
    ck_ok(life_migrate(&m->life, op, subtask, state, reterr));
}

void model_wait(struct model *m)
{
    m->life.oracle.now_ms += (int64_t)model_pick(m, LIFE_TTL_MS);
}

void model_stop(struct model *m)
{
    cairn_snapshot *snapshot;
    unsigned tasks = task_count(m);
    cairn_job_close(m->job);
    m->job = NULL;
    settle_savepoint(m);
    life_close(&m->life);
    /* A checkpoint may have completed without anybody having been told. */
    int r = cairn_snapshot_open(m->place.jobs, m->job_name, 0, &snapshot, NULL);
    ck_assert_int_eq(r, m->newest == 0 && r != 0 ? CAIRN_ENOTFOUND : 0);
    if (r < 0)
        return;
    uint64_t id = cairn_snapshot_record(snapshot)->id;
    cairn_snapshot_close(snapshot);
    ck_assert_uint_ge(id, m->newest);
    ck_assert_ptr_nonnull(m->snapshots[id]);
    if (id > m->newest)
        ck_assert_uint_eq(m->snapshots[id]->noted, tasks);
    m->newest = id;
}

void model_done(struct model *m)
{
    life_done(&m->life);
    life_place_done(&m->place);
    for (size_t i = 0; i < MODEL_IDS_MAX; i++)
        free(m->snapshots[i]);
}
