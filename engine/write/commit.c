/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From a savepoint in the making to one in a store. Operator by operator: decide what becomes of
 * its state, then produce the files of its subtasks, several at a time; at last the manifest, after
 * which the savepoint exists (P1). Whatever fails before takes away what was put. A scratch
 * database is gone when its operator is through.
 *
 * The calling thread waits for the pool's and tells the caller how far it is; the caller's answer
 * is heard within a moment, and ends every unit of work that runs.
 *
 * Lock: commit->lock, a leaf. @crash objects without a manifest are left, in a directory of which
 * nobody takes notice.
 */

#include "backends/state/keys.h"
#include "backends/storage/storage.h"
#include "base/text.h"
#include "engine/options.h"
#include "engine/savepoint/directory.h"
#include "engine/stores.h"
#include "engine/write/write.h"
#include <string.h>

#define THREADS 4u
#define TELL_INTERVAL_US 50000u
#define EPOCH 1u

/* ------------------------------------------------------------------------------------------ *
 * Units of work
 * ------------------------------------------------------------------------------------------ */

int crn_commit_tell(struct crn_commit *commit, cairn_error **reterr)
{
    uint64_t done = atomic_load(&commit->done_bytes);
    if (done > commit->total_bytes) /* what is written anew may take more than it did */
        done = commit->total_bytes;
    return crn_writer_tell(commit->writer, done, commit->total_bytes, reterr);
}

static void fail(struct crn_commit *commit, int code, cairn_error **error)
{
    crn_mutex_lock(&commit->lock);
    if (commit->code == 0) {
        commit->code = code;
        commit->error = CRN_TAKE(*error);
    }
    crn_mutex_unlock(&commit->lock);
    atomic_store(&commit->cancelled, true);
    cairn_error_free(CRN_TAKE(*error));
}

static void produce_main(void *arg)
{
    struct crn_produce *produce = arg;
    struct crn_commit *commit = produce->commit;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = atomic_load(&commit->cancelled) ? 0 : crn_produce_subtask(produce, &error);
    if (r < 0)
        fail(commit, r, &error);
    crn_mutex_lock(&commit->lock);
    commit->running--;
    crn_cond_signal(&commit->ended);
    crn_mutex_unlock(&commit->lock);
}

static void wait_for_units(struct crn_commit *commit)
{
    crn_mutex_lock(&commit->lock);
    while (commit->running > 0) {
        (void)crn_cond_wait_until(&commit->ended, &commit->lock, crn_now_us() + TELL_INTERVAL_US);
        crn_mutex_unlock(&commit->lock);
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = atomic_load(&commit->cancelled) ? 0 : crn_commit_tell(commit, &error);
        if (r < 0)
            fail(commit, r, &error);
        crn_mutex_lock(&commit->lock);
    }
    crn_mutex_unlock(&commit->lock);
}

static int run_units(struct crn_commit *commit, struct crn_pool *pool, struct crn_produce *units,
                     size_t count, cairn_error **reterr)
{
    for (size_t i = 0; i < count && !atomic_load(&commit->cancelled); i++) {
        crn_mutex_lock(&commit->lock);
        commit->running++;
        crn_mutex_unlock(&commit->lock);
        if (crn_pool_submit(pool, 0, produce_main, &units[i]) == 0)
            continue;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        crn_mutex_lock(&commit->lock);
        commit->running--;
        crn_mutex_unlock(&commit->lock);
        fail(commit, crn_err_nomem(&error), &error);
    }
    wait_for_units(commit);
    return commit->code < 0 ? crn_err_move(reterr, &commit->error, commit->code) : 0;
}

/* ------------------------------------------------------------------------------------------ *
 * One operator
 * ------------------------------------------------------------------------------------------ */

static const char *file_kind(const struct crn_commit *commit)
{
    return commit->format == CAIRN_CANONICAL ? CRN_FILE_KIND_CANONICAL
                                             : crn_rocksdb_backend.file_kind;
}

static int describe_subtasks(const struct crn_commit *commit, struct crn_operator *described,
                             cairn_error **reterr)
{
    for (uint32_t i = 0; i < described->info.parallelism; i++) {
        struct crn_subtask *subtask = crn_operator_add_subtask(described);
        if (subtask == NULL || crn_record_set_text(&subtask->info.backend, file_kind(commit)) < 0)
            return crn_err_nomem(reterr);
        subtask->info.index = i;
        crn_key_group_range(i, described->info.parallelism, described->info.max_parallelism,
                            &subtask->info.key_group_first, &subtask->info.key_group_last);
    }
    return 0;
}

static int describe(const struct crn_commit *commit, const struct crn_writer_operator *op,
                    struct crn_operator **ret, cairn_error **reterr)
{
    struct crn_operator *described = crn_record_add_operator(commit->record);
    if (described == NULL || crn_record_set_text(&described->info.uid, op->uid) < 0 ||
        crn_record_set_text(&described->info.name, op->name) < 0)
        return crn_err_nomem(reterr);
    described->info.parallelism = op->parallelism;
    described->info.max_parallelism = op->target_max_parallelism;
    described->info.key_type = op->key_type;
    described->info.namespace_type = op->namespace_type;
    for (size_t i = 0; i < op->state_count; i++) {
        cairn_state_info *state = crn_operator_add_state(described);
        if (state == NULL || crn_state_copy(state, &op->states[i].info) < 0)
            return crn_err_nomem(reterr);
    }
    *ret = described;
    return describe_subtasks(commit, described, reterr);
}

static bool has_keyed_states(const struct crn_writer_operator *op)
{
    for (size_t i = 0; i < op->state_count; i++) {
        if (crn_kind_is_keyed(op->states[i].info.kind))
            return true;
    }
    return false;
}

static bool has_other_names(const struct crn_writer_operator *op)
{
    for (size_t i = 0; i < op->state_count; i++) {
        if (strcmp(op->states[i].info.name, op->states[i].scratch_name) != 0)
            return true;
    }
    return false;
}

/* Are the base's keyed files what is wanted, as they are? */
static bool can_copy_keyed(const struct crn_commit *commit, const struct crn_writer_operator *op)
{
    if (op->base == NULL || op->keyed_changed || op->max_parallelism != op->target_max_parallelism)
        return false;
    for (size_t i = 0; i < op->base->subtask_count; i++) {
        if (strcmp(op->base->subtasks[i].info.backend, file_kind(commit)) != 0)
            return false;
    }
    return true;
}

/* What the subtasks' units of an operator have in common. */
static int plan(struct crn_commit *commit, struct crn_writer_operator *op,
                struct crn_produce *common, cairn_error **reterr)
{
    bool is_rekeyed = op->max_parallelism != op->target_max_parallelism;
    bool is_canonical = commit->format == CAIRN_CANONICAL;
    common->copy_keyed = can_copy_keyed(commit, op);
    common->copy_lists = op->base != NULL && !op->lists_changed;
    if (!common->copy_lists)
        CRN_TRY(crn_scratch_load_lists(commit->writer, op, reterr));
    if (common->copy_keyed || !has_keyed_states(op) || (op->db == NULL && op->base == NULL))
        return 0;
    CRN_TRY(crn_scratch_open(commit->writer, op, reterr));
    if (is_rekeyed || (is_canonical && has_other_names(op)))
        CRN_TRY(crn_scratch_rebuild(commit, op, reterr));
    common->capture_directly =
        !is_canonical && op->parallelism == 1 && !op->has_removed && !has_other_names(op);
    return common->capture_directly ? 0 : op->db->ops->snapshot(op->db, &common->snapshot, reterr);
}

static int produce_subtasks(struct crn_pool *pool, const struct crn_produce *common,
                            struct crn_operator *described, cairn_error **reterr)
{
    struct crn_commit *commit = common->commit;
    size_t count = described->subtask_count;
    struct crn_produce *units = calloc(count, sizeof *units);
    int r = units == NULL ? crn_err_nomem(reterr) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        units[i] = *common;
        units[i].described = described;
        units[i].subtask = &described->subtasks[i];
        r = crn_str_printf(&units[i].directory, reterr, "%s/out-%llu-%zu", commit->writer->scratch,
                           (unsigned long long)common->op->ordinal, i);
    }
    if (r == 0)
        r = run_units(commit, pool, units, count, reterr);
    for (size_t i = 0; units != NULL && i < count; i++)
        free(units[i].directory);
    free(units);
    return r;
}

static int commit_operator(struct crn_commit *commit, struct crn_pool *pool,
                           struct crn_writer_operator *op, cairn_error **reterr)
{
    struct crn_produce common = {.commit = commit, .op = op};
    struct crn_operator *described = NULL;
    CRN_TRY(crn_commit_tell(commit, reterr));
    int r = plan(commit, op, &common, reterr);
    if (r == 0)
        r = describe(commit, op, &described, reterr);
    if (r == 0)
        r = produce_subtasks(pool, &common, described, reterr);
    if (common.snapshot != NULL)
        op->db->ops->release_snapshot(common.snapshot);
    crn_scratch_drop(op);
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * The record
 * ------------------------------------------------------------------------------------------ */

static int new_record(struct crn_commit *commit, cairn_error **reterr)
{
    char host[256] = "";
    struct crn_record *record = crn_record_new();
    if (record == NULL)
        return crn_err_nomem(reterr);
    commit->record = record;
    cairn_record_info *info = &record->info;
    info->id = info->log_start = commit->id;
    info->kind = CAIRN_RECORD_SAVEPOINT;
    info->format = commit->format;
    info->epoch = EPOCH;
    info->trigger_time_ms = crn_wall_ms();
    info->pid = (uint64_t)getpid();
    crn_random_bytes(info->uuid, sizeof info->uuid);
    if (gethostname(host, sizeof host - 1) < 0)
        host[0] = '\0'; /* only for people */
    record->job = strdup(commit->writer->job);
    if (record->job == NULL || crn_record_set_text(&info->host, host) < 0 ||
        crn_record_set_text(&info->library_version, CAIRN_VERSION_STRING) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static void sum_bytes(struct crn_commit *commit)
{
    const cairn_writer *writer = commit->writer;
    for (size_t i = 0; i < writer->operator_count; i++) {
        const struct crn_writer_operator *op = writer->operators[i];
        commit->total_bytes += op->put_bytes;
        for (size_t s = 0; op->base != NULL && s < op->base->subtask_count; s++)
            commit->total_bytes += op->base->subtasks[s].info.full_bytes;
    }
}

static int produce_all(struct crn_commit *commit, cairn_error **reterr)
{
    cairn_writer *writer = commit->writer;
    uint64_t started_us = crn_now_us();
    struct crn_pool *pool;
    CRN_TRY(new_record(commit, reterr));
    sum_bytes(commit);
    CRN_TRY(crn_pool_new(THREADS, "cairn-writer", &pool, reterr));
    int r = 0;
    for (size_t i = 0; r == 0 && i < writer->operator_count; i++)
        r = commit_operator(commit, pool, writer->operators[i], reterr);
    crn_pool_free(pool);
    CRN_TRY(r);
    cairn_record_info *info = &commit->record->info;
    info->commit_time_ms = crn_wall_ms();
    info->duration_us = crn_now_us() - started_us;
    crn_record_finish(commit->record);
    CRN_TRY(crn_record_validate(commit->record, reterr));
    commit->total_bytes = atomic_load(&commit->done_bytes);
    return crn_commit_tell(commit, reterr); /* the last chance to say no */
}

/* ------------------------------------------------------------------------------------------ *
 * The public call
 * ------------------------------------------------------------------------------------------ */

static int check_options(const cairn_writer *writer, cairn_commit_options *o, char **ret_name,
                         cairn_error **reterr)
{
    if (o->format != CAIRN_CANONICAL && o->format != CAIRN_NATIVE)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "there is no format %d", (int)o->format);
    if (o->id == 0)
        o->id = writer->base != NULL ? writer->base->record->info.id : 1;
    if (o->name == NULL)
        return crn_savepoint_name(writer->job, o->id, ret_name, reterr);
    if (!crn_text_is_job_name(o->name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a savepoint's directory has a name of 1 to 128 bytes of UTF-8 "
                            "without '/' and control characters, that does not begin with '.'");
    *ret_name = strdup(o->name);
    return *ret_name == NULL ? crn_err_nomem(reterr) : 0;
}

/* The caller gets the error that was first. A manifest is only touched if it can be ours: somebody
 * else may have made a savepoint of this name meanwhile. */
static void withdraw(struct crn_commit *commit, int code)
{
    if (code == CAIRN_EUNKNOWN)
        (void)crn_savepoint_withdraw(commit->store, commit->name, commit->id, commit->keys,
                                     commit->key_count, NULL);
    else
        crn_output_remove(commit);
}

static void commit_done(struct crn_commit *commit)
{
    for (size_t i = 0; i < commit->key_count; i++)
        free(commit->keys[i]);
    free(commit->keys);
    crn_record_free(commit->record);
    cairn_error_free(commit->error);
    crn_cond_done(&commit->ended);
    crn_mutex_done(&commit->lock);
}

int cairn_writer_commit(cairn_writer *writer, cairn_store *store,
                        const cairn_commit_options *options, char **ret_name, cairn_error **reterr)
{
    cairn_commit_options o;
    CRN_AUTO_FREE char *name = NULL;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_store_check(store, reterr));
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_commit_options", reterr));
    CRN_TRY(check_options(writer, &o, &name, reterr));
    CRN_TRY(crn_store_check_is_root(store, reterr));
    CRN_TRY(crn_savepoint_check_absent(store, name, reterr));
    writer->is_committed = true;
    struct crn_commit commit = {
        .writer = writer, .store = store, .name = name, .id = o.id, .format = o.format};
    commit.next_object = crn_random_u64() >> 32; /* another writer of this name has other objects */
    crn_mutex_init(&commit.lock, CRN_RANK_LEAF);
    crn_cond_init(&commit.ended);
    int r = produce_all(&commit, reterr);
    if (r == 0)
        r = crn_savepoint_publish(store, name, commit.record, reterr);
    if (r < 0)
        withdraw(&commit, r);
    commit_done(&commit);
    if (r == 0 && ret_name != NULL)
        *ret_name = CRN_TAKE(name);
    return r;
}
