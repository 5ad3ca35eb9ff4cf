/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two-phase sinks: prepare at the barrier, commit when the checkpoint is complete.
 *
 * A transaction is *active* (being written to), *prepared* (an element of the operator list, with
 * the id that it waits for) or gone. The list is the only memory of what is prepared, and it is in
 * every checkpoint that is taken after the preparing: so a checkpoint holds exactly the
 * transactions whose output belongs to its state (P2).
 *
 * Which id? A transaction prepared in the barrier of n is in checkpoint n. One that is prepared
 * between two barriers (sealed, or because the input ended) is in every later checkpoint: it waits
 * for the id after the last barrier's. Checkpoints that this task's last barrier or an earlier one
 * belongs to may still complete, and must not make it visible. Ids in the list ascend, since a
 * task's barriers do; what a restore put there is committed before the task starts.
 *
 * Crash, by moment: before the checkpoint is complete, the restored state does not know the
 * transaction; the service writes its output again, to another one, and the sweep removes the old.
 * Between that and the commit, or between the commit and the next checkpoint, which no longer has
 * it: the restore commits it, perhaps for the second time; that is why commit has to be repeatable.
 *
 * All in the task's thread; no locks. Proved by tests/test_two_phase*.c.
 */
#include "engine/sinks/two_phase.h"

#include "engine/job/job.h"
#include "engine/states/keyed.h"
#include "engine/states/operator_state.h"

#include <string.h>

/* An element of the list; docs/format.md, "Prepared transactions". */
#define PREPARED_VERSION 1u
#define PREPARED_HEADER 9u /* version, id */

struct cairn_two_phase {
    struct crn_participant participant;
    struct cairn_task *task;
    char *name;
    cairn_two_phase_functions functions;
    void (*free_context)(void *context);
    struct crn_operator_state *prepared;
    bool has_active;
    struct cairn_buffer active; /* its description */
    uint64_t last_barrier;      /* 0: none in this run */
    bool is_swept;
};

struct prepared {
    uint64_t checkpoint_id;
    const uint8_t *description;
    size_t size;
};

/* What a call of the service's gave, as a result of ours. Its error, if it made one, is consumed.
 */
static int call_result(const cairn_two_phase *sink, const char *call, int r, cairn_error **error,
                       cairn_error **reterr)
{
    if (r == 0) {
        cairn_error_free(CRN_TAKE(*error));
        return 0;
    }
    if (*error == NULL && r < 0)
        (void)crn_err_fail(error, r, NULL, "%s gave %s (%d)", call, cairn_error_name(r), r);
    if (r > 0) {
        cairn_error_free(CRN_TAKE(*error));
        r = crn_err_fail(error, CAIRN_EINVAL, NULL, "%s gave %d, which is no result", call, r);
    }
    crn_err_prefix(error, "sink '%s'", sink->name);
    return crn_err_move(reterr, error, r);
}

static int parse(const cairn_two_phase *sink, size_t i, struct prepared *ret, cairn_error **reterr)
{
    const struct crn_operator_item *item = &sink->prepared->items[i];
    struct crn_reader reader = {.data = item->bytes, .size = item->value_size};
    uint8_t version = 0;
    if (!crn_read_u8(&reader, &version) || version == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "sink '%s': element %zu of its state is no prepared transaction",
                            sink->name, i);
    if (version > PREPARED_VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, NULL,
                            "sink '%s': element %zu of its state has version %u; this library "
                            "knows %u",
                            sink->name, i, version, PREPARED_VERSION);
    if (!crn_read_be64(&reader, &ret->checkpoint_id) || crn_reader_left(&reader) == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "sink '%s': element %zu of its state is cut off", sink->name, i);
    ret->size = crn_reader_left(&reader);
    ret->description = reader.data + reader.position;
    return 0;
}

static int add_prepared(cairn_two_phase *sink, uint64_t checkpoint_id, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (crn_buf_reserve(&bytes, PREPARED_HEADER + sink->active.size) < 0 ||
        crn_buf_append_u8(&bytes, PREPARED_VERSION) < 0 ||
        crn_buf_append_be64(&bytes, checkpoint_id) < 0 ||
        crn_buf_append(&bytes, sink->active.data, sink->active.size) < 0 ||
        crn_operator_state_insert(sink->prepared, sink->prepared->count, NULL, 0, bytes.data,
                                  bytes.size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int prepare(cairn_two_phase *sink, uint64_t checkpoint_id, cairn_error **reterr)
{
    const cairn_two_phase_functions *f = &sink->functions;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (!sink->has_active)
        return 0;
    int r = f->prepare(f->context, sink->active.data, sink->active.size, &error);
    CRN_TRY(call_result(sink, "prepare", r, &error, reterr));
    CRN_TRY(add_prepared(sink, checkpoint_id, reterr));
    sink->has_active = false;
    return 0;
}

/* A failure has nobody to be told; what it leaves is the next run's to sweep. */
static void abort_one(const cairn_two_phase *sink, const void *description, size_t size)
{
    const cairn_two_phase_functions *f = &sink->functions;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (f->abort != NULL)
        (void)f->abort(f->context, description, size, &error);
}

void crn_two_phase_drop(cairn_two_phase *sink)
{
    if (sink->has_active)
        abort_one(sink, sink->active.data, sink->active.size);
    sink->has_active = false;
}

/* Every transaction that waits for `checkpoint_id` or an earlier one, in order. */
static int commit_up_to(cairn_two_phase *sink, uint64_t checkpoint_id, cairn_error **reterr)
{
    const cairn_two_phase_functions *f = &sink->functions;
    while (sink->prepared->count > 0) {
        struct prepared next;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        CRN_TRY(parse(sink, 0, &next, reterr));
        if (next.checkpoint_id > checkpoint_id)
            return 0;
        int r = f->commit(f->context, next.description, next.size, &error);
        CRN_TRY(call_result(sink, "commit", r, &error, reterr));
        crn_operator_state_remove(sink->prepared, 0);
    }
    return 0;
}

static void free_sink(struct crn_participant *p); /* what tells a sink from other participants */

static bool has_sink(const struct cairn_task *task, const char *name)
{
    const struct crn_participant *p = task->participants;
    while (p != NULL &&
           (p->free != free_sink || strcmp(((const cairn_two_phase *)p)->name, name) != 0))
        p = p->next;
    return p != NULL;
}

/* What is prepared in a subtask that did not open this sink is in its state yet. */
static bool is_open_everywhere(const cairn_two_phase *sink)
{
    const struct cairn_job *job = sink->task->job;
    bool is_open = true;
    crn_mutex_lock(&sink->task->job->lock);
    for (size_t i = 0; i < job->task_count && is_open; i++)
        is_open =
            strcmp(job->tasks[i]->uid, sink->task->uid) != 0 || has_sink(job->tasks[i], sink->name);
    crn_mutex_unlock(&sink->task->job->lock);
    return is_open;
}

static int sweep(cairn_two_phase *sink, cairn_error **reterr)
{
    const cairn_two_phase_functions *f = &sink->functions;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (sink->is_swept || f->sweep == NULL || sink->task->options.subtask != 0 ||
        !is_open_everywhere(sink))
        return 0;
    CRN_TRY(call_result(sink, "sweep", f->sweep(f->context, &error), &error, reterr));
    sink->is_swept = true;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * As a participant
 * ------------------------------------------------------------------------------------------ */

static int take_part_in_barrier(struct crn_participant *p, uint64_t checkpoint_id,
                                cairn_error **reterr)
{
    cairn_two_phase *sink = (cairn_two_phase *)p;
    CRN_TRY(prepare(sink, checkpoint_id, reterr));
    sink->last_barrier = checkpoint_id;
    return 0;
}

static int see_event(struct crn_participant *p, const cairn_event *event, cairn_error **reterr)
{
    cairn_two_phase *sink = (cairn_two_phase *)p;
    if (event->type != CAIRN_EVENT_COMPLETED && event->type != CAIRN_EVENT_STOPPED)
        return 0;
    CRN_TRY(commit_up_to(sink, event->checkpoint_id, reterr));
    return sweep(sink, reterr);
}

static int finish(struct crn_participant *p, cairn_error **reterr)
{
    cairn_two_phase *sink = (cairn_two_phase *)p;
    return prepare(sink, sink->last_barrier + 1, reterr);
}

/* What no checkpoint can hold: the active one, and those sealed since the last barrier. */
static void close_sink(struct crn_participant *p)
{
    cairn_two_phase *sink = (cairn_two_phase *)p;
    for (size_t i = 0; !sink->task->finished && i < sink->prepared->count; i++) {
        struct prepared item;
        if (parse(sink, i, &item, NULL) == 0 && item.checkpoint_id > sink->last_barrier)
            abort_one(sink, item.description, item.size);
    }
    crn_two_phase_drop(sink);
}

static void free_sink(struct crn_participant *p)
{
    cairn_two_phase *sink = (cairn_two_phase *)p;
    if (sink->free_context != NULL)
        sink->free_context(sink->functions.context);
    crn_buf_done(&sink->active);
    free(sink->name);
    free(sink);
}

/* ------------------------------------------------------------------------------------------ *
 * Opening and writing
 * ------------------------------------------------------------------------------------------ */

static int check_open(const struct cairn_task *task, const char *name,
                      const cairn_two_phase_functions *functions, cairn_error **reterr)
{
    if (functions == NULL || functions->begin == NULL || functions->prepare == NULL ||
        functions->commit == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a two-phase sink needs the functions begin, prepare and commit");
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return crn_task_not_ready(task, CAIRN_ECLOSED, reterr);
    if (!(atomic_load(&task->runtime->pending) & CRN_PENDING_NOT_STARTED))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "job '%s' has started: open sink '%s' before cairn_job_start()",
                            task->job->name, name != NULL ? name : "");
    return 0;
}

/* Whatever the restored snapshot holds as prepared belongs to it. All of it is looked at before any
 * of it is committed. */
static int commit_restored(cairn_two_phase *sink, cairn_error **reterr)
{
    for (size_t i = 0; i < sink->prepared->count; i++) {
        struct prepared item;
        CRN_TRY(parse(sink, i, &item, reterr));
    }
    return commit_up_to(sink, UINT64_MAX, reterr);
}

int crn_two_phase_open(struct cairn_task *task, const char *name,
                       const cairn_two_phase_functions *functions,
                       void (*free_context)(void *context), cairn_two_phase **ret_sink,
                       cairn_error **reterr)
{
    CRN_TRY(check_open(task, name, functions, reterr));
    cairn_two_phase *sink = calloc(1, sizeof *sink);
    char *copy = name != NULL ? crn_str_dup_n(name, strlen(name)) : NULL;
    cairn_operator_list *list = NULL;
    if (sink == NULL || (name != NULL && copy == NULL)) {
        free(sink);
        free(copy);
        return crn_err_nomem(reterr);
    }
    *sink = (cairn_two_phase){.task = task, .name = copy, .functions = *functions};
    sink->participant.barrier = take_part_in_barrier;
    sink->participant.event = see_event;
    sink->participant.finish = finish;
    sink->participant.close = close_sink;
    sink->participant.free = free_sink;
    int r = cairn_operator_list_state(task, name, CAIRN_SPLIT, CAIRN_BYTES, &list, reterr);
    if (r == 0) {
        sink->prepared = crn_operator_state_of(list);
        r = commit_restored(sink, reterr);
        /* What is left goes into every checkpoint, as any state that nobody registered. */
        if (r < 0) {
            sink->prepared->task = NULL;
            crn_task_prefix_error(task, reterr);
        }
    }
    if (r < 0) {
        free_sink(&sink->participant);
        return r;
    }
    sink->free_context = free_context;
    crn_participant_add(task, &sink->participant);
    *ret_sink = sink;
    return 0;
}

void *crn_two_phase_context(struct crn_participant *p, void (*free_context)(void *context))
{
    const cairn_two_phase *sink = (const cairn_two_phase *)p;
    return p->free == free_sink && sink->free_context == free_context ? sink->functions.context
                                                                      : NULL;
}

int cairn_two_phase_open(cairn_task *task, const char *name,
                         const cairn_two_phase_functions *functions, cairn_two_phase **ret_sink,
                         cairn_error **reterr)
{
    CRN_TRY(crn_registration_check(task, ret_sink, reterr));
    return crn_two_phase_open(task, name, functions, NULL, ret_sink, reterr);
}

int crn_two_phase_check_writable(const cairn_two_phase *sink, cairn_error **reterr)
{
    const struct cairn_task *task = sink->task;
    if (!atomic_load_explicit(&task->open, memory_order_acquire))
        return crn_task_not_ready(task, CAIRN_ECLOSED, reterr);
    if (atomic_load_explicit(&task->runtime->pending, memory_order_relaxed) &
        CRN_PENDING_NOT_STARTED)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "sink '%s': nothing can be written before cairn_job_start()",
                            sink->name);
    if (task->finished)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "sink '%s': nothing can be written after cairn_task_finish()",
                            sink->name);
    return 0;
}

int cairn_two_phase_current(cairn_two_phase *sink, const void **ret_description, size_t *ret_size,
                            cairn_error **reterr)
{
    if (sink == NULL || ret_description == NULL || ret_size == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "sink, ret_description or ret_size is NULL");
    CRN_TRY(crn_two_phase_check_writable(sink, reterr));
    if (!sink->has_active) {
        const cairn_two_phase_functions *f = &sink->functions;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        crn_buf_clear(&sink->active);
        int r = f->begin(f->context, &sink->active, &error);
        CRN_TRY(call_result(sink, "begin", r, &error, reterr));
        if (sink->active.size == 0 || sink->active.size > CRN_VALUE_SIZE_MAX - PREPARED_HEADER)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "sink '%s': begin gave a description of %zu bytes, not 1 to %zu",
                                sink->name, sink->active.size,
                                (size_t)CRN_VALUE_SIZE_MAX - PREPARED_HEADER);
        sink->has_active = true;
    }
    *ret_description = sink->active.data;
    *ret_size = sink->active.size;
    return 0;
}

int crn_two_phase_seal(cairn_two_phase *sink, cairn_error **reterr)
{
    return prepare(sink, sink->last_barrier + 1, reterr);
}
