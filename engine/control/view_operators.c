/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators with the states that the service has registered, as JSON: the form of `cairn inspect
 * --json`, for `cairn check --operators`. Stored states that nobody registered are left out: what a
 * service does not open fits any snapshot.
 *
 * Tasks register in their own threads, and change their lists under job->lock; so they are copied
 * under it (a few small allocations), and written afterwards. A state that only some subtasks have
 * registered so far counts.
 *
 * A coordinator knows of the operators that only workers have who they are, but not their states.
 */
#include "engine/control/view.h"

#include "engine/cluster/leader.h"
#include "engine/states/keyed.h"
#include "engine/states/operator_state.h"
#include "engine/types.h"

#include <string.h>

/* The words of the tool, which reads them back; engine/types.h has those of messages. */
static const char *kind_word(cairn_state_kind kind)
{
    switch (kind) {
    case CAIRN_KIND_OPERATOR_LIST:
        return "operator-list";
    case CAIRN_KIND_OPERATOR_UNION:
        return "operator-union";
    case CAIRN_KIND_BROADCAST:
        return "broadcast";
    case CAIRN_KIND_VALUE:
    case CAIRN_KIND_LIST:
    case CAIRN_KIND_MAP:
    case CAIRN_KIND_REDUCING:
    case CAIRN_KIND_AGGREGATING:
        break;
    }
    return crn_kind_name(kind);
}

/* ------------------------------------------------------------------------------------------ *
 * Copying
 * ------------------------------------------------------------------------------------------ */

static int add_state(struct crn_operator *op, const cairn_state_info *info)
{
    for (size_t i = 0; i < op->state_count; i++)
        if (strcmp(op->states[i].name, info->name) == 0)
            return 0;
    cairn_state_info *added = crn_operator_add_state(op);
    return added == NULL ? CAIRN_ENOMEM : crn_state_copy(added, info);
}

static int add_states_locked(struct crn_operator *op, const struct cairn_task *task)
{
    for (const struct crn_keyed *keyed = task->keyed; keyed != NULL; keyed = keyed->next)
        CRN_TRY(add_state(op, &keyed->info));
    for (size_t i = 0; i < task->operators->count; i++)
        if (task->operators->states[i]->task != NULL) /* else it is only restored */
            CRN_TRY(add_state(op, &task->operators->states[i]->info));
    return 0;
}

static int add_task_locked(struct crn_record *record, const struct cairn_task *task)
{
    const cairn_operator_info info = {
        .uid = task->uid,
        .name = task->options.name,
        .parallelism = task->options.parallelism,
        .max_parallelism = task->max_parallelism,
        .key_type = task->options.key_type,
        .namespace_type = task->options.namespace_type,
    };
    struct crn_operator *op = crn_record_merge_operator(record, &info);
    return op == NULL ? CAIRN_ENOMEM : add_states_locked(op, task);
}

static int add_worker(struct crn_record *record, const struct crn_worker_view *worker)
{
    for (size_t i = 0; i < worker->subtask_count; i++) {
        const struct crn_joined_subtask *subtask = &worker->subtasks[i];
        const cairn_operator_info info = {
            .uid = subtask->uid,
            .name = subtask->name,
            .parallelism = subtask->parallelism,
            .max_parallelism = subtask->max_parallelism,
            .key_type = (cairn_type)subtask->key_type,
            .namespace_type = (cairn_type)subtask->namespace_type,
        };
        if (crn_record_merge_operator(record, &info) == NULL)
            return CAIRN_ENOMEM;
    }
    return 0;
}

static int copy_remote_operators(struct cairn_job *job, struct crn_record *record)
{
    int r = 0;
    for (size_t i = 0; r == 0; i++) {
        struct crn_worker_view worker;
        crn_mutex_lock(&job->lock);
        const bool is_there = i < crn_leader_worker_count(job);
        if (is_there)
            crn_leader_hold_locked(job, i, &worker);
        crn_mutex_unlock(&job->lock);
        if (!is_there)
            break;
        r = add_worker(record, &worker);
        crn_leader_let_go(&worker);
    }
    return r;
}

static int copy_operators(struct cairn_job *job, struct crn_record *record)
{
    int r = 0;
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < job->task_count && r == 0; i++)
        if (atomic_load(&job->tasks[i]->open)) /* else it is being opened */
            r = add_task_locked(record, job->tasks[i]);
    crn_mutex_unlock(&job->lock);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * Writing
 * ------------------------------------------------------------------------------------------ */

static void put_schema(cairn_type type, const cairn_schema_info *schema, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_u64(out, "tag", schema->tag);
    crn_json_text(out, "name", schema->name);
    if (type == CAIRN_CUSTOM)
        crn_json_u64(out, "version", schema->version);
    if (type == CAIRN_AVRO) {
        CRN_AUTO_FREE char *text = crn_str_dup_n(schema->bytes, schema->size);
        out->failed |= text == NULL;
        crn_json_text(out, "text", text);
    } else {
        crn_json_hex(out, "hex", schema->bytes, schema->size);
    }
    crn_json_end(out, '}');
}

static void put_state(const cairn_state_info *state, struct crn_json_out *out)
{
    const bool has_map_key = state->kind == CAIRN_KIND_MAP || state->kind == CAIRN_KIND_BROADCAST;
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "name", state->name);
    crn_json_text(out, "kind", kind_word(state->kind));
    crn_json_text(out, "value_type", crn_type_name(state->value_type));
    crn_json_text(out, "map_key_type", has_map_key ? crn_type_name(state->map_key_type) : NULL);
    crn_json_u64(out, "ttl_ms", state->ttl_ms);
    if (state->schema_count > 0) {
        crn_json_begin(out, "schemas", '[');
        for (size_t i = 0; i < state->schema_count; i++)
            put_schema(state->value_type, &state->schemas[i], out);
        crn_json_end(out, ']');
    }
    crn_json_end(out, '}');
}

static void put_operator(const struct crn_operator *op, bool knows_states, struct crn_json_out *out)
{
    crn_json_begin(out, NULL, '{');
    crn_json_text(out, "uid", op->info.uid);
    crn_json_text(out, "name", op->info.name);
    crn_json_u64(out, "parallelism", op->info.parallelism);
    crn_json_u64(out, "max_parallelism", op->info.max_parallelism);
    crn_json_text(out, "key_type", crn_type_name(op->info.key_type));
    crn_json_text(out, "namespace_type", crn_type_name(op->info.namespace_type));
    if (knows_states) {
        crn_json_begin(out, "states", '[');
        for (size_t i = 0; i < op->state_count; i++)
            put_state(&op->states[i], out);
        crn_json_end(out, ']');
    } else {
        crn_json_null(out, "states");
    }
    crn_json_end(out, '}');
}

int crn_view_operators(struct cairn_job *job, struct crn_json_out *out, cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_record_new();
    if (record == NULL || copy_operators(job, record) < 0)
        return crn_err_nomem(reterr);
    const size_t here = record->operator_count;
    if (copy_remote_operators(job, record) < 0)
        return crn_err_nomem(reterr);
    crn_json_begin(out, NULL, '{');
    crn_json_begin(out, "operators", '[');
    for (size_t i = 0; i < record->operator_count; i++)
        put_operator(&record->operators[i], i < here, out);
    crn_json_end(out, ']');
    crn_json_end(out, '}');
    return 0;
}
