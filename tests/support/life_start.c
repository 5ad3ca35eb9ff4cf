/* SPDX-License-Identifier: Apache-2.0 */
/* How a job of life_model.h starts: from which snapshot, in which claim mode, as which job. */
#include "tests/support/life_model.h"

#include "cairn/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A start that was decided on. */
struct start {
    struct model_source source; /* name "": the job's own checkpoint source.id; 0: empty */
    size_t saved;               /* index of the source; SIZE_MAX: it is none of them */
    cairn_claim_mode mode;
    bool switches; /* another job starts, from this one's checkpoint */
    bool abandons; /* the pending job is not needed any more */
    struct life_plan plans[LIFE_OPS];
};

/* ------------------------------------------------------------------------------------------ *
 * Deciding
 * ------------------------------------------------------------------------------------------ */

/* A complete checkpoint of the job: the newest, or now and then an older one that is retained. */
static uint64_t choose_checkpoint(struct model *m)
{
    cairn_snapshot *snapshot;
    for (uint64_t id = m->newest; id > 1 && model_pick(m, 4) == 0; id--) {
        if (cairn_snapshot_open(m->place.jobs, m->job_name, id - 1, &snapshot, NULL) < 0)
            continue;
        bool is_checkpoint = cairn_snapshot_record(snapshot)->kind == CAIRN_RECORD_CHECKPOINT;
        cairn_snapshot_close(snapshot);
        if (is_checkpoint)
            return id - 1;
    }
    return m->newest;
}

static void choose_own(struct model *m, struct start *s)
{
    s->source.id = choose_checkpoint(m);
    s->source.snapshot = *m->snapshots[s->source.id];
}

static void choose_switch(struct model *m, struct start *s)
{
    s->switches = true;
    s->mode = (cairn_claim_mode)model_pick(m, 3);
    s->source.store = m->place.jobs;
    s->source.is_job = true;
    s->source.id = s->mode == CAIRN_CLAIM ? m->newest : choose_checkpoint(m);
    s->source.snapshot = *m->snapshots[s->source.id];
    (void)snprintf(s->source.name, sizeof s->source.name, "%s", m->job_name);
}

static void choose_source(struct model *m, struct start *s)
{
    bool has_own = m->newest > 0, has_pending_job = m->pending.name[0] != '\0' && m->pending.is_job;
    uint64_t chance = model_pick(m, 8);
    *s = (struct start){.saved = SIZE_MAX};
    s->abandons = has_pending_job;
    if (m->saved_count > 0 && (chance < 3 || (!has_own && !has_pending_job))) {
        s->saved = (size_t)model_pick(m, m->saved_count);
        s->source = m->saved[s->saved];
        s->mode = (cairn_claim_mode)model_pick(m, 3);
    } else if (has_own && chance == 3) {
        choose_switch(m, s);
    } else if (has_own) {
        choose_own(m, s);
    } else if (has_pending_job) {
        s->source = m->pending;
        s->mode = (cairn_claim_mode)model_pick(m, 2) * 2; /* it need not be the newest */
        s->abandons = false;
    }
}

static void choose_plans(struct model *m, struct start *s)
{
    for (unsigned op = 0; op < LIFE_OPS; op++) {
        const struct life_oracle_op *stored = &s->source.snapshot.oracle.ops[op];
        struct life_plan *plan = &s->plans[op];
        *plan = (struct life_plan){stored->parallelism, stored->version, stored->expires, 0};
        if (plan->parallelism == 0 || model_pick(m, 2) == 0)
            plan->parallelism = 1 + (uint32_t)model_pick(m, LIFE_TASKS_MAX);
        if (model_pick(m, 2) == 0)
            plan->version = (uint8_t)model_pick(m, LIFE_VERSIONS);
        if (model_pick(m, 3) == 0)
            plan->expires = !plan->expires;
        if (model_pick(m, 3) == 0)
            plan->skips = (uint8_t)(1 + model_pick(m, 3));
    }
}

static const char *choose_backend(struct model *m)
{
    if (m->only_heap || m->only_rocksdb)
        return m->only_heap ? "heap" : "rocksdb";
    return model_pick(m, 2) ? "heap" : "rocksdb";
}

/* ------------------------------------------------------------------------------------------ *
 * Opening
 * ------------------------------------------------------------------------------------------ */

static int64_t clock_ms(void *context)
{
    const struct model *m = context;
    return __atomic_load_n(&m->life.oracle.now_ms, __ATOMIC_RELAXED);
}

static void print_log(void *context, const cairn_log_line *line)
{
    model_say(context, "  %s: %s", line->component, line->message);
}

static int open_job(struct model *m, const struct start *s, cairn_error **reterr)
{
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    char uri[600];
    options.store = m->place.jobs;
    options.local_dir = m->place.local;
    options.num_retained = 1 + (uint32_t)model_pick(m, 3);
    options.inline_threshold_bytes = model_pick(m, 2) ? 1 : 0;
    options.pack_below_bytes = model_pick(m, 3) == 0 ? 1 : 0;
    options.state_memory_bytes = 8 << 20;
    options.state_backend = m->backend;
    options.now_ms = clock_ms;
    options.now_context = m;
    options.log = print_log;
    options.log_context = m;
    options.claim_mode = s->mode;
    if (s->source.name[0] == '\0' || s->source.is_job)
        options.restore_checkpoint_id = s->source.id == m->newest ? 0 : s->source.id;
    if (s->source.name[0] != '\0' && m->place.on_disk && model_pick(m, 2)) {
        life_place_uri(&m->place, s->source.store, s->source.name, uri);
        options.restore_uri = uri;
    } else if (s->source.name[0] != '\0') {
        options.restore_store = s->source.store;
        options.restore_name = s->source.name;
    }
    return cairn_job_open(m->job_name, &options, &m->job, reterr);
}

static void become_another_job(struct model *m)
{
    for (size_t i = 0; i < MODEL_IDS_MAX; i++) {
        free(m->snapshots[i]);
        m->snapshots[i] = NULL;
    }
    m->newest = 0;
    (void)snprintf(m->job_name, sizeof m->job_name, "job %u", ++m->job_number);
}

/* The source has become a checkpoint of the job. */
static void note_import(struct model *m, const struct start *s, uint64_t id)
{
    ck_assert_uint_gt(id, m->newest);
    ck_assert_ptr_null(m->snapshots[id]);
    m->snapshots[id] = malloc(sizeof *m->snapshots[id]);
    ck_assert_ptr_nonnull(m->snapshots[id]);
    *m->snapshots[id] = s->source.snapshot;
    m->newest = id;
}

static void remove_source(struct model *m, const struct start *s)
{
    if (s->source.is_job) {
        life_place_remove(s->source.store, s->source.name);
        return;
    }
    ck_ok(cairn_dispose(s->source.store, s->source.name, NULL, NULL, reterr));
    model_forget(m, s->saved);
}

/* What the claim mode says about the source, right after the job was opened. */
static void check_source(struct model *m, const struct start *s)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    int restored = cairn_job_restored(m->job, &info);
    m->pending.name[0] = '\0';
    ck_assert_int_eq(restored, s->source.id != 0);
    if (s->source.name[0] == '\0') {
        ck_assert_uint_eq(info.id, s->source.id);
    } else if (s->mode == CAIRN_NO_CLAIM) {
        ck_assert_uint_eq(info.id, s->source.id);
        m->pending = s->source;
    } else {
        note_import(m, s, info.id);
        if (s->mode == CAIRN_CLAIM) {
            ck_assert_int_eq(life_place_has_snapshot(s->source.store, s->source.name), 1);
            m->claimed = s->source;
            if (s->saved != SIZE_MAX)
                model_forget(m, s->saved);
        } else if (s->source.is_job || model_pick(m, 2)) {
            remove_source(m, s);
        }
    }
}

/* Native files of another backend: no task opens, and nothing is lost by having tried. */
static void expect_refusal(struct model *m, struct start *s)
{
    cairn_error *error = NULL;
    model_say(m, "  heap cannot");
    int r = life_open(&m->life, m->job, s->plans, &error);
    ck_assert_msg(r == CAIRN_EUNSUPPORTED, "%s: %s", cairn_error_name(r),
                  cairn_error_message(error));
    cairn_error_free(error);
    cairn_job_close(m->job);
    life_close(&m->life);
    m->backend = "rocksdb";
    if (s->source.name[0] != '\0' && s->mode == CAIRN_CLAIM) { /* the same again goes on from it */
        cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
        ck_ok(open_job(m, s, reterr));
        ck_assert_int_eq(cairn_job_restored(m->job, &info), 1);
        ck_assert_uint_eq(info.id, m->newest);
        return;
    }
    if (s->source.name[0] != '\0' && s->mode == CAIRN_LEGACY) { /* it is the job's own now */
        s->source.name[0] = '\0';
        s->source.id = m->newest;
        s->mode = CAIRN_NO_CLAIM;
    }
    ck_ok(open_job(m, s, reterr));
    check_source(m, s);
}

void model_start(struct model *m)
{
    struct start s;
    struct model_source before = m->pending;
    choose_source(m, &s);
    choose_plans(m, &s);
    m->backend = choose_backend(m);
    model_say(m, "start of %s from '%s' %" PRIu64 ", mode %d, %u and %u tasks, %s%s",
              s.switches ? "another" : m->job_name, s.source.name, s.source.id, (int)s.mode,
              s.plans[0].parallelism, s.plans[1].parallelism, m->backend,
              m->place.on_disk ? "" : ", memory");
    if (s.switches)
        become_another_job(m);
    ck_ok(open_job(m, &s, reterr));
    check_source(m, &s);
    if (strcmp(m->backend, "heap") == 0 && s.source.snapshot.is_native)
        expect_refusal(m, &s);
    if (s.abandons)
        life_place_remove(before.store, before.name);
    int64_t now_ms = m->life.oracle.now_ms;
    m->life.oracle = s.source.snapshot.oracle;
    m->life.oracle.now_ms = now_ms;
    m->independent = 0;
    ck_ok(life_open(&m->life, m->job, s.plans, reterr));
    const char *wrong = life_check(&m->life);
    ck_assert_msg(wrong == NULL, "after the start from '%s' %" PRIu64 ": %s", s.source.name,
                  s.source.id, wrong);
    ck_ok(cairn_job_start(m->job, reterr));
    if (m->claimed.name[0] != '\0')
        life_place_expect_release(&m->place, m->claimed.store, m->claimed.name, m->claimed.is_job);
    m->claimed.name[0] = '\0';
    for (size_t i = 0; i < m->saved_count; i++)
        ck_assert_int_eq(life_place_has_snapshot(m->saved[i].store, m->saved[i].name), 1);
}
