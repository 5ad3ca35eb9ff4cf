/* SPDX-License-Identifier: Apache-2.0 */
/* A service whose output can be counted. */
#include "tests/support/emitter.h"

#include "base/file.h"
#include "engine/sinks/output_name.h"

#include <stdio.h>
#include <string.h>

void emitter_init(struct fixture *f)
{
    fixture_init(f, false);
    cairn_store_close(f->store);
    ck_ok(cairn_store_open(f->store_dir, &f->store, reterr));
    f->options.store = f->store;
    f->backend = crn_heap_backend;
    f->options.inline_threshold_bytes = 0;
}

/* What is left to be written is as of the barrier. */
static int store_ranges(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    const struct emitter_task *t = context;
    (void)task, (void)checkpoint_id;
    int r = cairn_operator_list_clear(t->left, NULL);
    for (size_t i = 0; r == 0 && i < t->count; i++)
        r = cairn_operator_list_add(t->left, &t->ranges[i], sizeof t->ranges[i], NULL);
    return r;
}

static void load_ranges(struct emitter_task *t, bool is_new, uint32_t subtask, uint32_t parallelism)
{
    const int64_t length = EMITTER_NUMBERS / EMITTER_RANGES;
    t->count = cairn_operator_list_size(t->left);
    ck_assert_uint_le(t->count, EMITTER_RANGES);
    for (size_t i = 0; i < t->count; i++) {
        const void *data;
        size_t size;
        ck_assert_int_eq(cairn_operator_list_at(t->left, i, &data, &size), 0);
        ck_assert_uint_eq(size, sizeof t->ranges[i]);
        memcpy(&t->ranges[i], data, size);
    }
    for (int64_t i = subtask; is_new && i < EMITTER_RANGES; i += parallelism)
        t->ranges[t->count++] = (struct emitter_range){i * length, (i + 1) * length};
}

static int open_task(struct emitter *e, uint32_t subtask, const cairn_file_sink_options *options,
                     cairn_error **reterr)
{
    struct emitter_task *t = &e->tasks[subtask];
    cairn_task_options o = CAIRN_TASK_OPTIONS_INIT;
    o.parallelism = e->parallelism;
    o.subtask = subtask;
    o.before_barrier = store_ranges;
    o.context = t;
    CRN_TRY(cairn_task_open(e->job, "out", &o, &t->task, reterr));
    CRN_TRY(cairn_operator_list_state(t->task, "left", CAIRN_SPLIT, CAIRN_BYTES, &t->left, reterr));
    load_ranges(t, cairn_job_restored(e->job, NULL) == 0, subtask, e->parallelism);
    return cairn_file_sink_open(t->task, "files", options, &t->sink, reterr);
}

int emitter_prepare(const struct fixture *f, struct emitter *e, uint32_t parallelism,
                    const cairn_file_sink_options *options, cairn_error **reterr)
{
    *e = (struct emitter){.parallelism = parallelism};
    CRN_TRY(fixture_open_job(f, "emitter", &e->job, reterr));
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < parallelism; i++)
        r = open_task(e, i, options, reterr);
    if (r < 0)
        emitter_close(e);
    return r;
}

int emitter_open(const struct fixture *f, struct emitter *e, uint32_t parallelism,
                 const cairn_file_sink_options *options, cairn_error **reterr)
{
    CRN_TRY(emitter_prepare(f, e, parallelism, options, reterr));
    return cairn_job_start(e->job, reterr);
}

void emitter_close(struct emitter *e)
{
    cairn_job_close(e->job);
    for (uint32_t i = 0; i < e->parallelism; i++)
        cairn_task_close(e->tasks[i].task);
    *e = (struct emitter){0};
}

static bool write_one(struct emitter_task *t)
{
    char line[24];
    for (size_t i = 0; i < t->count; i++) {
        struct emitter_range *range = &t->ranges[i];
        if (range->next == range->end)
            continue;
        int n = snprintf(line, sizeof line, "%lld\n", (long long)range->next++);
        ck_ok(cairn_file_sink_write(t->sink, line, (size_t)n, reterr));
        return true;
    }
    return false;
}

unsigned emitter_write(struct emitter *e, unsigned count)
{
    unsigned written = 0;
    for (bool more = true; more && written < count;) {
        more = false;
        for (uint32_t i = 0; i < e->parallelism && written < count; i++)
            if (write_one(&e->tasks[i])) {
                written++;
                more = true;
            }
    }
    return written;
}

static void wait_for_completed(cairn_task *task, uint64_t id)
{
    const struct crn_task_runtime *runtime = task->runtime;
    for (bool is_there = false; !is_there; crn_sleep_us(50)) {
        crn_mutex_lock(&task->job->lock);
        for (size_t i = 0; i < runtime->mailbox_count; i++)
            is_there |= runtime->mailbox[i].type == CAIRN_EVENT_COMPLETED &&
                        runtime->mailbox[i].checkpoint_id == id;
        crn_mutex_unlock(&task->job->lock);
    }
}

void emitter_checkpoint(struct emitter *e)
{
    cairn_event event = {0};
    ck_ok(cairn_job_trigger(e->job, NULL, reterr));
    for (uint32_t i = 0; i < e->parallelism; i++)
        do
            ck_ok(cairn_task_wait(e->tasks[i].task, 1000, &event, reterr));
        while (event.type != CAIRN_EVENT_BARRIER);
    for (uint32_t i = 0; i < e->parallelism; i++)
        wait_for_completed(e->tasks[i].task, event.checkpoint_id);
}

int emitter_poll(struct emitter *e, cairn_error **reterr)
{
    for (uint32_t i = 0; i < e->parallelism; i++) {
        cairn_event event = {.type = CAIRN_EVENT_BARRIER};
        while (event.type != CAIRN_EVENT_NONE)
            CRN_TRY(cairn_task_poll(e->tasks[i].task, &event, reterr));
    }
    return 0;
}

void emitter_run(struct emitter *e, unsigned per_checkpoint)
{
    unsigned written;
    do {
        written = emitter_write(e, per_checkpoint);
        emitter_checkpoint(e);
        ck_ok(emitter_poll(e, reterr));
    } while (written > 0);
}

static void count_lines(const char *path, struct emitter_output *output)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    ck_ok(crn_file_read_all(path, 1 << 20, &data, &size, reterr));
    ck_assert_msg(size > 0, "'%s' is empty", path);
    output->largest = size > output->largest ? size : output->largest;
    for (char *at = (char *)data; *at != 0;) {
        char *end;
        unsigned long number = strtoul(at, &end, 10);
        ck_assert_msg(end > at && *end == '\n' && number < EMITTER_NUMBERS, "'%s' has '%s'", path,
                      at);
        output->seen[number]++;
        at = end + 1;
    }
}

struct emitter_output emitter_look(const char *directory)
{
    struct emitter_output output = {0};
    char **names = NULL;
    size_t count = 0;
    ck_ok(crn_file_list_dir(directory, &names, &count, reterr));
    for (size_t i = 0; i < count; i++) {
        CRN_AUTO_FREE char *path = NULL;
        if (strncmp(names[i], CRN_OUTPUT_HIDDEN, strlen(CRN_OUTPUT_HIDDEN)) == 0) {
            output.hidden++;
            continue;
        }
        output.files++;
        ck_ok(crn_str_printf(&path, reterr, "%s/%s", directory, names[i]));
        count_lines(path, &output);
    }
    crn_file_free_names(names, count);
    return output;
}

bool emitter_is_whole(const struct emitter_output *output)
{
    bool whole = true;
    for (unsigned i = 0; i < EMITTER_NUMBERS; i++) {
        ck_assert_msg(output->seen[i] <= 1, "%u is there %u times", i, output->seen[i]);
        whole &= output->seen[i] == 1;
    }
    return whole;
}
