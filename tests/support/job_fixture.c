/* SPDX-License-Identifier: Apache-2.0 */
/* Places, stores and a small job, for tests of the running engine. */
#include "tests/support/job_fixture.h"

#include "backends/storage/storage.h"
#include "base/file.h"
#include "engine/inspect/survey.h"
#include "tests/support/fake_state.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ *
 * A place and a store
 * ------------------------------------------------------------------------------------------ */

/* Memory is faster than a disk, and nothing here needs to outlive the machine. */
static const char *base_dir(bool on_disk)
{
    const char *base = getenv("TMPDIR");
    if (base != NULL)
        return base;
    return !on_disk && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

void fixture_init(struct fixture *f, bool on_disk)
{
    cairn_store *inner = NULL;
    *f = (struct fixture){.on_disk = on_disk, .options = CAIRN_JOB_OPTIONS_INIT};
    (void)snprintf(f->root, sizeof f->root, "%s/cairn-job-XXXXXX", base_dir(on_disk));
    ck_assert_ptr_nonnull(mkdtemp(f->root));
    (void)snprintf(f->local_dir, sizeof f->local_dir, "%s/local", f->root);
    (void)snprintf(f->store_dir, sizeof f->store_dir, "%s/store", f->root);
    if (on_disk)
        ck_ok(crn_posix_store_open(f->store_dir, CRN_TRANSFER_AUTO, true, &inner, reterr));
    else
        ck_ok(crn_memory_store_open(&inner, reterr));
    ck_ok(crn_fault_store_open(inner, &f->store, reterr));
    f->backend = on_disk ? crn_rocksdb_backend : crn_fake_backend;
    f->options.store = f->store;
    f->options.local_dir = f->local_dir;
    f->options.transfer_threads = 2;
    f->options.state_memory_bytes = 8 << 20;
    f->options.inline_threshold_bytes = 1; /* all files become objects: more can go wrong */
}

void fixture_done(struct fixture *f)
{
    cairn_store_close(f->store);
    ck_ok(crn_file_remove_tree(f->root, reterr));
}

int fixture_open_job(const struct fixture *f, const char *name, cairn_job **ret_job,
                     cairn_error **reterr)
{
    const struct crn_job_seams seams = {&f->backend};
    return crn_job_open(name, &f->options, &seams, ret_job, reterr);
}

char *fixture_dir(const struct fixture *f, const char *name)
{
    char *path = NULL;
    ck_ok(crn_str_printf(&path, reterr, "%s/%s", f->root, name));
    return path;
}

void fixture_disarm(const struct fixture *f, unsigned ops)
{
    fixture_arm(f, (struct crn_fault_plan){.ops = ops, .mode = CRN_FAULT_NEVER});
}

void fixture_arm(const struct fixture *f, struct crn_fault_plan plan)
{
    crn_fault_store_arm(f->store, &plan);
}

struct cloning {
    cairn_store *from, *to;
};

static int clone_object(void *context, const char *key, const cairn_object_stat *stat)
{
    struct cloning *cloning = context;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_bytes_source source;
    cairn_put_how how;
    (void)stat;
    int r = crn_store_get_bytes(cloning->from, key, SIZE_MAX, &bytes, NULL);
    if (r == CAIRN_ENOTFOUND)
        return 0; /* the job has just removed it */
    ck_assert_int_eq(r, 0);
    crn_bytes_source_init(&source, bytes.data, bytes.size);
    return cloning->to->ops->put(cloning->to, key, &source.source, &how, NULL);
}

cairn_store *store_clone(cairn_store *store)
{
    struct cloning cloning = {.from = crn_fault_store_inner(store)};
    cairn_store *fault = NULL;
    ck_ok(crn_memory_store_open(&cloning.to, reterr));
    ck_ok(cloning.from->ops->list(cloning.from, "", clone_object, &cloning, reterr));
    ck_ok(crn_fault_store_open(cloning.to, &fault, reterr));
    return fault;
}

static int count_object(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)key, (void)stat;
    ++*(size_t *)context;
    return 0;
}

size_t store_count(cairn_store *store, const char *prefix)
{
    size_t count = 0;
    ck_ok(store->ops->list(store, prefix, count_object, &count, reterr));
    return count;
}

bool store_has(cairn_store *store, const char *key)
{
    cairn_object_stat stat;
    int r = store->ops->stat(store, key, &stat, NULL);
    ck_assert(r == 0 || r == CAIRN_ENOTFOUND);
    return r == 0;
}

static void put_bytes(cairn_store *store, const char *key, const void *data, size_t size)
{
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, data, size);
    ck_ok(store->ops->put(store, key, &source.source, &how, reterr));
}

void store_put_text(cairn_store *store, const char *key, const char *text)
{
    put_bytes(store, key, text, strlen(text));
}

void store_remove(cairn_store *store, const char *key)
{
    ck_ok(store->ops->remove(store, &key, 1, reterr));
}

void store_damage(cairn_store *store, const char *key)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_ok(crn_store_get_bytes(store, key, SIZE_MAX, &bytes, reterr));
    ck_assert_uint_gt(bytes.size, 0);
    bytes.data[bytes.size / 2] ^= 8;
    store_remove(store, key);
    put_bytes(store, key, bytes.data, bytes.size);
}

static void make_newer(cairn_store *store, const char *key)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    ck_ok(crn_store_get_bytes(store, key, SIZE_MAX, &bytes, reterr));
    ck_assert_uint_gt(bytes.size, 48);
    bytes.data[8] = 99;
    uint64_t sum = crn_hash64_of(bytes.data, bytes.size - 8);
    for (size_t i = 0; i < 8; i++)
        bytes.data[bytes.size - 8 + i] = (uint8_t)(sum >> (8 * i));
    store_remove(store, key);
    put_bytes(store, key, bytes.data, bytes.size);
}

void store_harm(cairn_store *store, const char *key, enum store_harm harm)
{
    switch (harm) {
    case HARM_FLIP:
        store_damage(store, key);
        return;
    case HARM_NEWER:
        make_newer(store, key);
        return;
    case HARM_CUT:
        store_remove(store, key);
        store_put_text(store, key, "");
        return;
    case HARM_REMOVE:
    case HARMS:
        store_remove(store, key);
        return;
    }
}

char *store_live_object(cairn_store *store, const char *job, bool shared)
{
    CRN_AUTO_SURVEY struct crn_survey survey = {0};
    char *key = NULL;
    ck_ok(crn_survey_list(store, job, &survey, reterr));
    ck_ok(crn_survey_read_log(store, job, &survey, reterr));
    for (size_t i = 0; i < survey.count && key == NULL; i++)
        if (survey.objects[i].is_live && crn_key_parse(survey.objects[i].key).shared == shared)
            ck_ok(crn_joblog_key(job, survey.objects[i].key, &key, reterr));
    ck_assert_ptr_nonnull(key);
    return key;
}

void store_check_tidy(cairn_store *store, const char *job)
{
    CRN_AUTO_SURVEY struct crn_survey survey = {0};
    ck_ok(crn_survey_list(store, job, &survey, reterr));
    ck_ok(crn_survey_read_log(store, job, &survey, reterr));
    for (size_t i = 0; i < survey.count; i++) {
        cairn_object_status status = crn_survey_status(&survey, &survey.objects[i]);
        ck_assert_msg(status == CAIRN_OBJECT_LIVE || status == CAIRN_OBJECT_MANIFEST,
                      "'%s' is an orphan (P6)", survey.objects[i].key);
    }
    ck_assert_msg(survey.missing.count == 0, "'%s' is referenced but gone (P5)",
                  survey.missing.count > 0 ? survey.missing.items[0] : "");
}

/* ------------------------------------------------------------------------------------------ *
 * Polling
 * ------------------------------------------------------------------------------------------ */

static void note_event(struct pump *pump, const cairn_event *event)
{
    pump->barriers += event->type == CAIRN_EVENT_BARRIER;
    pump->aborted += event->type == CAIRN_EVENT_ABORTED;
    if (event->type == CAIRN_EVENT_COMPLETED) {
        pump->completed++;
        pump->last_completed = event->checkpoint_id;
    }
}

static void clear_faults_in_time(struct pump *pump, uint64_t *fired_us)
{
    if (pump->clear_after_ms == 0 || !crn_fault_store_fired(pump->store))
        return;
    if (*fired_us == 0)
        *fired_us = crn_now_us();
    else if (crn_now_us() - *fired_us >= (uint64_t)pump->clear_after_ms * 1000) {
        crn_fault_store_arm(pump->store, &(struct crn_fault_plan){.mode = CRN_FAULT_NEVER});
        pump->cleared = true;
    }
}

static void *pump_main(void *arg)
{
    struct pump *pump = arg;
    uint64_t fired_us = 0;
    while (!atomic_load(&pump->stop)) {
        for (size_t i = 0; i < pump->count && pump->code == 0; i++) {
            cairn_event event;
            pump->code = cairn_task_poll(pump->tasks[i], &event, NULL);
            if (pump->code == 0)
                note_event(pump, &event);
        }
        clear_faults_in_time(pump, &fired_us);
        crn_sleep_us(200);
    }
    return NULL;
}

void pump_start(struct pump *pump, cairn_task *const *tasks, size_t count)
{
    pump->tasks = tasks;
    pump->count = count;
    atomic_init(&pump->stop, false);
    ck_ok(crn_thread_start(&pump->thread, "test-pump", pump_main, pump, reterr));
}

void pump_stop(struct pump *pump)
{
    atomic_store(&pump->stop, true);
    ck_assert_int_eq(pthread_join(pump->thread, NULL), 0);
}

/* ------------------------------------------------------------------------------------------ *
 * The subject
 * ------------------------------------------------------------------------------------------ */

unsigned subject_of_key(int64_t key)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    int subtask = cairn_subtask_of_key(bytes, sizeof bytes, SUBJECT_WORDS, 128);
    ck_assert_int_ge(subtask, 0);
    return (unsigned)subtask;
}

static int open_words(struct subject *s, uint32_t subtask, cairn_error **reterr)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = SUBJECT_WORDS;
    options.subtask = subtask;
    options.key_type = CAIRN_INT64;
    CRN_TRY(cairn_task_open(s->job, "words", &options, &s->tasks[subtask], reterr));
    CRN_TRY(cairn_value_state(s->tasks[subtask], "count", CAIRN_INT64, NULL, &s->count[subtask],
                              reterr));
    return cairn_list_state(s->tasks[subtask], "events", CAIRN_INT64, NULL, &s->events[subtask],
                            reterr);
}

static int open_tally(struct subject *s, cairn_error **reterr)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.key_type = CAIRN_INT64;
    cairn_task **task = &s->tasks[SUBJECT_WORDS];
    CRN_TRY(cairn_task_open(s->job, "tally", &options, task, reterr));
    CRN_TRY(cairn_map_state(*task, "names", CAIRN_STRING, CAIRN_INT64, NULL, &s->names, reterr));
    CRN_TRY(
        cairn_operator_list_state(*task, "offset", CAIRN_SPLIT, CAIRN_INT64, &s->offset, reterr));
    return cairn_broadcast_state(*task, "rules", CAIRN_INT64, CAIRN_INT64, &s->rules, reterr);
}

int subject_open(const struct fixture *f, const char *name, struct subject *ret,
                 cairn_error **reterr)
{
    *ret = (struct subject){.store = f->store};
    CRN_TRY(fixture_open_job(f, name, &ret->job, reterr));
    int r = 0;
    for (uint32_t i = 0; i < SUBJECT_WORDS && r == 0; i++)
        r = open_words(ret, i, reterr);
    if (r == 0)
        r = open_tally(ret, reterr);
    if (r == 0)
        r = cairn_job_start(ret->job, reterr);
    if (r < 0)
        subject_close(ret);
    return r;
}

void subject_close(struct subject *s)
{
    cairn_job_close(s->job);
    for (unsigned i = 0; i < SUBJECT_TASKS; i++)
        cairn_task_close(s->tasks[i]);
    *s = (struct subject){0};
}

static void drain_events(struct subject *s)
{
    for (unsigned i = 0; i < SUBJECT_TASKS; i++) {
        cairn_event event = {0};
        do {
            if (cairn_task_poll(s->tasks[i], &event, NULL) < 0)
                break; /* fenced: the caller has been told */
        } while (event.type != CAIRN_EVENT_NONE);
    }
}

int subject_checkpoint(struct subject *s, bool full, cairn_checkpoint_info *ret,
                       cairn_error **reterr)
{
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    struct pump pump = {.store = s->store, .clear_after_ms = s->stop_after_ms};
    options.full = full;
    pump_start(&pump, &s->tasks[1], SUBJECT_TASKS - 1);
    int r = cairn_task_checkpoint(s->tasks[0], &options, ret, reterr);
    pump_stop(&pump);
    s->fault_cleared = pump.cleared;
    drain_events(s);
    return r;
}
