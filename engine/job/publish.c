/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's dealings with the log: build the record of a checkpoint from its parts, commit it,
 * commit that an id was aborted. What a commit makes unnecessary goes in subsume.c.
 *
 * A savepoint commits a pointer here, once it stands in its own directory (engine/savepoint/run.c).
 *
 * Order of a completed checkpoint (P1, P5): objects durable (flush) -> record created -> log_start
 * moved with it -> manifests below log_start removed -> objects that only those referenced removed.
 * A crash between any two leaves at most unreferenced objects, which the next open collects.
 * Removals that fail stay in job->garbage and are tried again after the next completed checkpoint.
 *
 * All of it runs in the driver thread; job->lock is held for moments, where it is about what
 * attempts in flight build on.
 */
#include "engine/savepoint/savepoint.h"

#include "engine/states/keyed.h"

#include <assert.h>
#include <string.h>

static uint64_t start_without_checkpoint(const struct crn_joblog *log, uint64_t id)
{
    size_t checkpoints = 0, unreadable = 0;
    uint64_t stop_id = 0;
    for (size_t i = 0; i < log->count; i++) {
        const struct crn_record *record = log->entries[i].record;
        unreadable += record == NULL;
        checkpoints += record != NULL && record->info.kind == CAIRN_RECORD_CHECKPOINT;
        if (record != NULL && record->info.is_stop)
            stop_id = record->info.id;
    }
    return crn_log_next_start_without(checkpoints, unreadable, stop_id, log->log_start, id);
}

/* Where this incarnation was started from, if not from its own log. */
static int describe_source(const struct cairn_job *job, cairn_record_info *info)
{
    if (!job->source.is_foreign || job->restored == NULL)
        return 0;
    info->source_id = job->restored->info.id;
    info->source_mode = job->source.mode;
    memcpy(info->source_uuid, job->restored->info.uuid, sizeof info->source_uuid);
    CRN_TRY(crn_record_set_text(&info->source_location, job->source.location));
    return crn_record_set_text(&info->source_job, job->restored->job);
}

int crn_publish_new_head(struct cairn_job *job, uint64_t id, cairn_record_kind kind,
                         struct crn_record **ret, cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *record = crn_record_new();
    if (record == NULL)
        return crn_err_nomem(reterr);
    cairn_record_info *info = &record->info;
    info->id = id;
    info->kind = kind;
    info->epoch = job->epoch;
    info->log_start = id;
    info->restored_id = job->restored_id;
    record->ids_ahead = job->options.max_concurrent + 1; /* and a savepoint */
    info->pid = (uint64_t)getpid();
    info->commit_time_ms = job->options.now_ms(job->options.now_context);
    info->trigger_time_ms = info->commit_time_ms;
    crn_random_bytes(info->uuid, sizeof info->uuid);
    record->job = crn_str_dup_n(job->name, strlen(job->name));
    if (record->job == NULL || crn_record_set_text(&info->host, job->host) < 0 ||
        crn_record_set_text(&info->library_version, CAIRN_VERSION_STRING) < 0 ||
        describe_source(job, info) < 0)
        return crn_err_nomem(reterr);
    *ret = CRN_TAKE(record);
    return 0;
}

int crn_publish_new_record(struct cairn_job *job, uint64_t id, cairn_record_kind kind,
                           struct crn_record **ret, cairn_error **reterr)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    struct crn_joblog *log = &job->joblog;
    CRN_TRY(crn_publish_new_head(job, id, kind, &record, reterr));
    /* Room for the new head now: what is committed must not fail afterwards. */
    struct crn_joblog_entry *entries =
        realloc(log->entries, (log->count + 1) * sizeof *log->entries);
    if (entries == NULL)
        return crn_err_nomem(reterr);
    log->entries = entries;
    record->info.log_start = start_without_checkpoint(log, id);
    if (record->info.log_start < id) {
        record->has_previous_hash = true;
        record->previous_hash = log->head_hash;
    }
    const struct crn_record *head = log->count > 0 ? log->entries[log->count - 1].record : NULL;
    if (crn_log_extend_history(record, head) < 0)
        return crn_err_nomem(reterr);
    crn_record_finish(record); /* a host's name need not be clean text */
    *ret = CRN_TAKE(record);
    return 0;
}

void crn_publish_append_head(struct cairn_job *job, struct crn_record *record,
                             const struct crn_hash128 *hash)
{
    struct crn_joblog *log = &job->joblog;
    log->entries[log->count++] = (struct crn_joblog_entry){.id = record->info.id, .record = record};
    log->head_id = record->info.id;
    log->head_hash = *hash;
    log->log_start = record->info.log_start;
    log->epoch = record->info.epoch;
    log->ids_ahead = record->ids_ahead;
}

void crn_publish_info(const cairn_record_info *record, cairn_checkpoint_info *ret)
{
    *ret = (cairn_checkpoint_info){
        .struct_size = sizeof *ret,
        .id = record->id,
        .epoch = record->epoch,
        .trigger_time_ms = record->trigger_time_ms,
        .duration_us = record->duration_us,
        .barrier_max_us = record->barrier_max_us,
        .full_bytes = record->full_bytes,
        .new_bytes = record->new_bytes,
        .file_count = record->file_count,
        .new_file_count = record->new_file_count,
        .is_full = record->is_full,
        .requests = record->requests,
        .sent_bytes = record->sent_bytes,
    };
}

/* Index of a state in the operator, added if it is new; the subtasks of one operator must agree. */
static int merge_state(struct crn_operator *op, const cairn_state_info *state, uint32_t *ret_index,
                       cairn_error **reterr)
{
    for (size_t i = 0; i < op->state_count; i++) {
        cairn_state_info *known = &op->states[i];
        if (strcmp(known->name, state->name) != 0)
            continue;
        int r = known->kind != state->kind || known->value_type != state->value_type ||
                        known->map_key_type != state->map_key_type ||
                        (known->ttl_ms == 0) != (state->ttl_ms == 0)
                    ? CAIRN_EMISMATCH
                    : crn_schemas_merge(known, state);
        if (r == CAIRN_ENOMEM)
            return crn_err_nomem(reterr);
        if (r < 0)
            return crn_err_fail(reterr, CAIRN_EMISMATCH, NULL,
                                "state '%s' of operator '%s' was registered differently by two "
                                "subtasks",
                                state->name, op->info.uid);
        *ret_index = (uint32_t)i;
        return 0;
    }
    *ret_index = (uint32_t)op->state_count;
    cairn_state_info *added = crn_operator_add_state(op);
    if (added == NULL || crn_state_copy(added, state) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

/* Move the subtasks of `from` into the record; their files' state indexes follow the merged states.
 */
static int merge_subtasks(struct crn_record *record, const cairn_operator_info *info,
                          struct crn_operator *from, cairn_error **reterr)
{
    struct crn_operator *op = crn_record_merge_operator(record, info);
    CRN_AUTO_FREE uint32_t *index = calloc(from->state_count + 1, sizeof *index);
    if (op == NULL || index == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < from->state_count; i++)
        CRN_TRY(merge_state(op, &from->states[i], &index[i], reterr));
    for (size_t s = 0; s < from->subtask_count; s++) {
        struct crn_subtask *to = crn_operator_add_subtask(op);
        if (to == NULL)
            return crn_err_nomem(reterr);
        *to = from->subtasks[s];
        memset(&from->subtasks[s], 0, sizeof from->subtasks[s]);
        for (size_t f = 0; f < to->file_count; f++)
            if (to->files[f].info.role == CAIRN_FILE_TABLE)
                to->files[f].state = index[to->files[f].state];
    }
    return 0;
}

static int merge_part(struct crn_record *record, struct crn_part *part, cairn_error **reterr)
{
    const struct cairn_task *task = part->task;
    const cairn_operator_info info = {
        .uid = task->uid,
        .name = task->options.name,
        .parallelism = task->options.parallelism,
        .max_parallelism = task->max_parallelism,
        .key_type = task->options.key_type,
        .namespace_type = task->options.namespace_type,
    };
    return merge_subtasks(record, &info, part->described, reterr);
}

/* What a worker sent: it has been validated, and is not needed any more. */
static int merge_remote(struct crn_record *record, struct crn_record *from, cairn_error **reterr)
{
    for (size_t i = 0; i < from->operator_count; i++)
        CRN_TRY(merge_subtasks(record, &from->operators[i].info, &from->operators[i], reterr));
    return 0;
}

static bool was_skipped(const struct cairn_job *job, uint64_t id)
{
    for (size_t i = 0; i < job->skipped_count; i++)
        if (job->skipped[i] == id)
            return true;
    return false;
}

/* Could one fall back to it? */
static bool is_worth_retaining(const struct cairn_job *job, const struct crn_joblog_entry *entry)
{
    return entry->record != NULL && entry->record->info.kind == CAIRN_RECORD_CHECKPOINT &&
           !was_skipped(job, entry->id);
}

static uint64_t retained_start(const struct cairn_job *job, uint64_t new_id, cairn_error **reterr)
{
    const struct crn_joblog *log = &job->joblog;
    CRN_AUTO_FREE uint64_t *ids = calloc(log->count + 1, sizeof *ids);
    size_t count = 0;
    if (ids == NULL) {
        (void)crn_err_nomem(reterr);
        return 0;
    }
    for (size_t i = 0; i < log->count; i++)
        if (is_worth_retaining(job, &log->entries[i]))
            ids[count++] = log->entries[i].id;
    return crn_log_next_start(ids, count, log->log_start, new_id, job->options.num_retained);
}

int crn_publish_merge_parts(struct crn_record *record, struct crn_attempt *attempt,
                            cairn_error **reterr)
{
    for (size_t i = 0; i < attempt->part_count; i++)
        CRN_TRY(merge_part(record, &attempt->parts[i], reterr));
    for (size_t i = 0; i < attempt->remote_count; i++)
        CRN_TRY(merge_remote(record, attempt->remotes[i].record, reterr));
    return 0;
}

/* The log is not to begin above what attempts in flight build on: see subsume.c. From now on until
 * the commit is settled, nobody new may build on less than that either. */
static int choose_start(struct crn_attempt *attempt, uint64_t *ret, cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    uint64_t start = retained_start(job, attempt->id, reterr);
    if (start == 0)
        return CAIRN_ENOMEM;
    crn_mutex_lock(&job->lock);
    uint64_t base = crn_flight_lowest_base_locked(job, attempt);
    if (base != 0 && base < start)
        start = base;
    job->committing_start = start;
    crn_flight_refresh_locked(job);
    crn_mutex_unlock(&job->lock);
    *ret = start;
    return 0;
}

static void commit_is_settled(struct cairn_job *job)
{
    crn_mutex_lock(&job->lock);
    job->committing_start = 0;
    crn_flight_refresh_locked(job);
    crn_mutex_unlock(&job->lock);
}

/* Its parts may build on different ones, if a checkpoint was confirmed between their captures. */
uint64_t crn_publish_newest_base(const struct crn_attempt *attempt)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < attempt->part_count; i++)
        if (attempt->parts[i].base_id > newest)
            newest = attempt->parts[i].base_id;
    for (size_t i = 0; i < attempt->remote_count; i++)
        if (attempt->remotes[i].record->info.base_id > newest)
            newest = attempt->remotes[i].record->info.base_id;
    return newest;
}

void crn_publish_note_cost(const struct crn_attempt *attempt, cairn_record_info *info)
{
    info->requests = atomic_load(&attempt->meter.requests);
    info->sent_bytes = atomic_load(&attempt->meter.sent_bytes);
    crn_mutex_lock(&attempt->job->lock); /* of one that failed, some may be on their way */
    for (size_t i = 0; i < attempt->remote_count; i++) {
        const struct crn_record *remote = attempt->remotes[i].record;
        info->requests += remote != NULL ? remote->info.requests : 0;
        info->sent_bytes += remote != NULL ? remote->info.sent_bytes : 0;
    }
    crn_mutex_unlock(&attempt->job->lock);
}

static int build_checkpoint(struct crn_attempt *attempt, cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    CRN_TRY(crn_publish_new_record(job, attempt->id, CAIRN_RECORD_CHECKPOINT, &record, reterr));
    record->info.trigger_time_ms = attempt->trigger_time_ms;
    record->info.duration_us = crn_now_us() - attempt->started_us;
    CRN_TRY(choose_start(attempt, &record->info.log_start, reterr));
    if (record->info.log_start == record->info.id)
        record->has_previous_hash = false;
    CRN_TRY(crn_publish_merge_parts(record, attempt, reterr));
    record->info.base_id = crn_publish_newest_base(attempt);
    record->info.is_full = record->info.base_id == 0; /* asked for, or nothing to share */
    crn_publish_note_cost(attempt, &record->info);
    crn_record_finish(record);
    CRN_TRY(crn_record_validate(record, reterr));
    attempt->record = CRN_TAKE(record);
    return 0;
}

/* Everything is durable that the log's record will speak of. CRN_EVENT_COMMIT_OK: commit it. */
static enum crn_event_kind prepare_commit(struct crn_attempt *attempt, cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    if (attempt->savepoint != NULL)
        return crn_savepoint_write_manifest(attempt, reterr);
    if (attempt->record != NULL)
        return CRN_EVENT_COMMIT_OK;
    int r = job->store->ops->flush(job->store, reterr);
    if (r < 0)
        return cairn_error_class_of(r) == CAIRN_CLASS_RETRY ? CRN_EVENT_COMMIT_UNKNOWN
                                                            : CRN_EVENT_COMMIT_FAILED;
    return build_checkpoint(attempt, reterr) < 0 ? CRN_EVENT_COMMIT_FAILED : CRN_EVENT_COMMIT_OK;
}

/* In a worker's own part of a record not every subtask is there. */
static const struct crn_subtask *find_subtask(const struct crn_record *record,
                                              const struct cairn_task *task)
{
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        const uint32_t wanted = task->options.subtask;
        if (strcmp(op->info.uid, task->uid) != 0)
            continue;
        if (wanted < op->subtask_count && op->subtasks[wanted].info.index == wanted)
            return &op->subtasks[wanted];
        for (size_t s = 0; s < op->subtask_count; s++)
            if (op->subtasks[s].info.index == wanted)
                return &op->subtasks[s];
    }
    return NULL;
}

/* What is captured from now on builds on this record. */
void crn_publish_adopt_bases(struct crn_attempt *attempt, const struct crn_record *record)
{
    struct cairn_job *job = attempt->job;
    crn_mutex_lock(&job->lock);
    job->base_id = record->info.id;
    for (size_t i = 0; i < attempt->part_count; i++) {
        struct cairn_task *task = attempt->parts[i].task;
        task->runtime->base = find_subtask(record, task);
    }
    crn_mutex_unlock(&job->lock);
}

/* The id is taken by `found`. If that ends our epoch, say so; else it is the log's new head. */
static enum crn_event_kind judge_taken(struct cairn_job *job, const struct crn_record *mine,
                                       struct crn_record *found, cairn_error **reterr)
{
    enum crn_collision verdict = crn_log_judge_collision(mine, found);
    if (reterr != NULL)
        cairn_error_free(CRN_TAKE(*reterr)); /* that there is one: who it is says more */
    if (verdict != CRN_COLLISION_ABORTED && verdict != CRN_COLLISION_MINE) {
        free(job->successor);
        job->successor = crn_job_describe_writer(&found->info);
        (void)crn_err_fail(reterr, CAIRN_EFENCED, NULL, "job '%s' was taken over at id %llu by %s",
                           job->name, (unsigned long long)found->info.id,
                           job->successor != NULL ? job->successor : "another process");
        crn_record_free(found);
        return CRN_EVENT_COMMIT_FENCED;
    }
    uint64_t id = found->info.id;
    crn_record_free(found);
    struct crn_record *again = NULL;
    struct crn_hash128 hash;
    if (crn_joblog_read_record(job->store, job->name, id, &again, &hash, NULL, reterr) < 0)
        return CRN_EVENT_COMMIT_UNKNOWN; /* try again: the collision repeats */
    (void)crn_err_fail(reterr, CAIRN_EABORTED, NULL, "%s", again->info.reason);
    crn_publish_append_head(job, again, &hash);
    return CRN_EVENT_COMMIT_TAKEN;
}

static enum crn_event_kind try_commit(struct crn_attempt *attempt, cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    struct crn_record *found = NULL;
    struct crn_hash128 hash;
    if (attempt->commit_started_us == 0)
        attempt->commit_started_us = crn_now_us();
    enum crn_event_kind prepared = prepare_commit(attempt, reterr);
    if (prepared != CRN_EVENT_COMMIT_OK)
        return prepared;
    int r = crn_joblog_commit(job->store, attempt->record, &hash, &found, reterr);
    if (r == CAIRN_EEXIST) {
        enum crn_event_kind taken = judge_taken(job, attempt->record, found, reterr);
        /* Somebody else's record has the id: that is known. */
        attempt->in_doubt &= taken == CRN_EVENT_COMMIT_UNKNOWN;
        return taken;
    }
    /* Once a try may have been applied, the failure of a later one says nothing about the id. */
    attempt->in_doubt |=
        r == CAIRN_EUNKNOWN || r == CAIRN_EUNAVAIL || r == CAIRN_EIO || r == CAIRN_EFENCED;
    if (r == CAIRN_EFENCED)
        return CRN_EVENT_COMMIT_FENCED;
    if (r < 0)
        return attempt->in_doubt || cairn_error_class_of(r) == CAIRN_CLASS_RETRY
                   ? CRN_EVENT_COMMIT_UNKNOWN
                   : CRN_EVENT_COMMIT_FAILED;
    struct crn_record *record = CRN_TAKE(attempt->record);
    crn_publish_append_head(job, record, &hash);
    if (attempt->savepoint == NULL)
        crn_publish_adopt_bases(attempt, record);
    return CRN_EVENT_COMMIT_OK;
}

enum crn_event_kind crn_publish_commit(struct crn_attempt *attempt, cairn_error **reterr)
{
    CRN_AUTO_METER struct crn_meter *before = crn_meter_enter(&attempt->meter);
    enum crn_event_kind result = try_commit(attempt, reterr);
    if (result != CRN_EVENT_COMMIT_UNKNOWN)
        commit_is_settled(attempt->job);
    return result;
}

enum crn_event_kind crn_publish_abort(struct crn_attempt *attempt, const char *reason,
                                      cairn_error **reterr)
{
    struct cairn_job *job = attempt->job;
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    struct crn_record *found = NULL;
    struct crn_hash128 hash;
    int r = crn_publish_new_record(job, attempt->id, CAIRN_RECORD_ABORTED, &record, reterr);
    if (r == 0) {
        record->info.trigger_time_ms = attempt->trigger_time_ms;
        record->info.duration_us = crn_now_us() - attempt->started_us;
        crn_publish_note_cost(attempt, &record->info);
        r = crn_record_set_text(&record->info.reason, reason);
    }
    if (r == 0)
        crn_record_finish(record);
    if (r == 0)
        r = crn_joblog_commit(job->store, record, &hash, &found, reterr);
    if (r == 0)
        crn_publish_append_head(job, CRN_TAKE(record), &hash);
    if (r == CAIRN_EEXIST) {
        enum crn_event_kind taken = judge_taken(job, record, found, reterr);
        return taken == CRN_EVENT_COMMIT_TAKEN    ? CRN_EVENT_ABORT_OK
               : taken == CRN_EVENT_COMMIT_FENCED ? taken
                                                  : CRN_EVENT_ABORT_FAILED;
    }
    if (r == CAIRN_EFENCED)
        return CRN_EVENT_COMMIT_FENCED;
    return r < 0 ? CRN_EVENT_ABORT_FAILED : CRN_EVENT_ABORT_OK;
}
