/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A savepoint in the making: what it consists of, in memory; its entries are in scratch databases
 * on disk (scratch.c), so memory does not grow with the state.
 *
 * Opening reads nothing but the base's manifest. An operator's files are brought in when an entry
 * of it is put or removed, or when it is committed in another form than it has; of one that nobody
 * touches the files are copied from store to store.
 *
 * One thread at a time; no locks. @crash the scratch directory is left; nothing else was made.
 */

#include "cairn/writer.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/options.h"
#include "engine/write/write.h"
#include <errno.h>
#include <string.h>

#define MEMORY_DEFAULT ((uint64_t)64 << 20)
#define MEMORY_MIN ((uint64_t)8 << 20)
#define MEMTABLE_MIN ((uint64_t)1 << 20)

/* ------------------------------------------------------------------------------------------ *
 * Parts
 * ------------------------------------------------------------------------------------------ */

void crn_writer_state_done(struct crn_writer_state *state)
{
    crn_state_done(&state->info);
    free(state->scratch_name);
    *state = (struct crn_writer_state){0};
}

void crn_writer_operator_free(struct crn_writer_operator *op)
{
    if (op == NULL)
        return;
    crn_scratch_drop(op);
    for (size_t i = 0; i < op->state_count; i++)
        crn_writer_state_done(&op->states[i]);
    free(op->states);
    for (uint32_t i = 0; op->parts != NULL && i < op->parallelism; i++)
        crn_operator_states_free(op->parts[i]);
    free(op->parts);
    free(op->uid);
    free(op->name);
    free(op);
}

struct crn_writer_operator *crn_writer_new_operator(cairn_writer *writer, const char *uid,
                                                    const char *name)
{
    if (writer->operator_count == writer->operator_capacity) {
        size_t capacity = writer->operator_capacity > 0 ? 2 * writer->operator_capacity : 8;
        struct crn_writer_operator **grown =
            reallocarray(writer->operators, capacity, sizeof(struct crn_writer_operator *));
        if (grown == NULL)
            return NULL;
        writer->operators = grown;
        writer->operator_capacity = capacity;
    }
    struct crn_writer_operator *op = calloc(1, sizeof *op);
    if (op == NULL)
        return NULL;
    op->uid = strdup(uid);
    op->name = strdup(name);
    op->ordinal = writer->next_ordinal++;
    if (op->uid == NULL || op->name == NULL) {
        crn_writer_operator_free(op);
        return NULL;
    }
    writer->operators[writer->operator_count++] = op;
    return op;
}

int crn_writer_append_state(struct crn_writer_operator *op, const cairn_state_info *info,
                            cairn_error **reterr)
{
    if (op->state_count == op->state_capacity) {
        size_t capacity = op->state_capacity > 0 ? 2 * op->state_capacity : 8;
        struct crn_writer_state *grown = reallocarray(op->states, capacity, sizeof *grown);
        if (grown == NULL)
            return crn_err_nomem(reterr);
        op->states = grown;
        op->state_capacity = capacity;
    }
    struct crn_writer_state state = {0};
    if (crn_state_copy(&state.info, info) < 0 ||
        (state.scratch_name = strdup(info->name)) == NULL) {
        crn_writer_state_done(&state);
        return crn_err_nomem(reterr);
    }
    op->states[op->state_count++] = state;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Finding
 * ------------------------------------------------------------------------------------------ */

int crn_writer_check(const cairn_writer *writer, cairn_error **reterr)
{
    if (writer == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "writer is NULL");
    if (writer->is_committed)
        return crn_err_fail(reterr, CAIRN_ECLOSED, NULL,
                            "the writer was committed: it can only be closed");
    return 0;
}

int crn_writer_find(cairn_writer *writer, const char *uid, struct crn_writer_operator **ret,
                    cairn_error **reterr)
{
    if (uid == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the operator's uid is NULL");
    for (size_t i = 0; i < writer->operator_count; i++) {
        if (strcmp(writer->operators[i]->uid, uid) == 0) {
            *ret = writer->operators[i];
            return 0;
        }
    }
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, uid,
                        "there is no operator '%s' in what is to be written", uid);
}

int crn_writer_find_state(struct crn_writer_operator *op, const char *name,
                          struct crn_writer_state **ret, cairn_error **reterr)
{
    if (name == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the state's name is NULL");
    for (size_t i = 0; i < op->state_count; i++) {
        if (strcmp(op->states[i].info.name, name) == 0) {
            *ret = &op->states[i];
            return 0;
        }
    }
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, name, "operator '%s' has no state '%s'", op->uid,
                        name);
}

int crn_writer_tell(const cairn_writer *writer, uint64_t done_bytes, uint64_t total_bytes,
                    cairn_error **reterr)
{
    if (writer->progress == NULL ||
        writer->progress(writer->progress_context, done_bytes, total_bytes) == 0)
        return 0;
    return crn_err_fail(reterr, CAIRN_ECANCELED, NULL, "canceled by the caller");
}

/* ------------------------------------------------------------------------------------------ *
 * Open and close
 * ------------------------------------------------------------------------------------------ */

static int check_backends(const struct crn_operator *op, cairn_error **reterr)
{
    for (size_t i = 0; i < op->subtask_count; i++) {
        const char *backend = op->subtasks[i].info.backend;
        if (strcmp(backend, CRN_FILE_KIND_CANONICAL) != 0 &&
            strcmp(backend, crn_rocksdb_backend.file_kind) != 0)
            return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, op->info.uid,
                                "operator '%s' was stored by the state backend '%s', which this "
                                "library does not have",
                                op->info.uid, backend);
    }
    return 0;
}

static int take_over(cairn_writer *writer, const struct crn_operator *base, cairn_error **reterr)
{
    const cairn_operator_info *info = &base->info;
    CRN_TRY(check_backends(base, reterr));
    struct crn_writer_operator *op =
        crn_writer_new_operator(writer, info->uid, info->name != NULL ? info->name : "");
    if (op == NULL)
        return crn_err_nomem(reterr);
    op->base = base;
    op->parallelism = info->parallelism;
    op->max_parallelism = op->target_max_parallelism = info->max_parallelism;
    op->key_type = info->key_type;
    op->namespace_type = info->namespace_type;
    for (size_t i = 0; i < base->state_count; i++)
        CRN_TRY(crn_writer_append_state(op, &base->states[i], reterr));
    return 0;
}

static int make_scratch(cairn_writer *writer, const char *parent, cairn_error **reterr)
{
    if (parent == NULL)
        parent = getenv("TMPDIR");
    if (parent == NULL || *parent == 0)
        parent = "/tmp";
    CRN_AUTO_FREE char *absolute = NULL;
    CRN_AUTO_FREE char *path = NULL;
    CRN_TRY(crn_file_make_absolute(parent, &absolute, reterr));
    CRN_TRY(crn_str_printf(&path, reterr, "%s/cairn-writer-XXXXXX", absolute));
    if (mkdtemp(path) == NULL)
        return crn_err_os(reterr, errno, parent, "scratch directory in '%s'", parent);
    writer->scratch = CRN_TAKE(path);
    return 0;
}

static int choose_job(cairn_writer *writer, const char *job, cairn_error **reterr)
{
    if (job == NULL)
        job = writer->base != NULL ? writer->base->record->job : "job";
    if (!crn_text_is_job_name(job))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a job's name is 1 to 128 bytes of UTF-8 without '/' and control "
                            "characters, and does not begin with '.'");
    writer->job = strdup(job);
    return writer->job == NULL ? crn_err_nomem(reterr) : 0;
}

static int choose_memory(cairn_writer *writer, uint64_t bytes, cairn_error **reterr)
{
    if (bytes == 0)
        bytes = MEMORY_DEFAULT;
    if (bytes < MEMORY_MIN)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "memory_bytes is below 8 MiB");
    writer->memtable_bytes = bytes / 8 > MEMTABLE_MIN ? bytes / 8 : MEMTABLE_MIN;
    return cairn_memory_new(bytes, &writer->memory, reterr);
}

static void cleanup_writer(cairn_writer **writer)
{
    cairn_writer_close(*writer);
}

int cairn_writer_open(cairn_snapshot *base, const cairn_writer_options *options,
                      cairn_writer **ret_writer, cairn_error **reterr)
{
    CRN_CLEANUP(cleanup_writer) struct cairn_writer *writer = NULL;
    cairn_writer_options known;
    if (ret_writer == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "ret_writer is NULL");
    CRN_TRY(crn_options_in(&known, sizeof known, options, "cairn_writer_options", reterr));
    writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return crn_err_nomem(reterr);
    writer->base = base;
    writer->progress = known.progress;
    writer->progress_context = known.progress_context;
    CRN_TRY(choose_job(writer, known.job, reterr));
    CRN_TRY(choose_memory(writer, known.memory_bytes, reterr));
    for (size_t i = 0; base != NULL && i < base->record->operator_count; i++)
        CRN_TRY(take_over(writer, &base->record->operators[i], reterr));
    CRN_TRY(make_scratch(writer, known.scratch_dir, reterr));
    *ret_writer = CRN_TAKE(writer);
    return 0;
}

void cairn_writer_close(cairn_writer *writer)
{
    if (writer == NULL)
        return;
    for (size_t i = 0; i < writer->operator_count; i++)
        crn_writer_operator_free(writer->operators[i]);
    free(writer->operators);
    if (writer->scratch != NULL)
        (void)crn_file_remove_tree(writer->scratch, NULL); /* nobody is left to be told */
    free(writer->scratch);
    free(writer->job);
    cairn_memory_release(writer->memory);
    crn_buf_done(&writer->key);
    crn_buf_done(&writer->value);
    crn_buf_done(&writer->tagged);
    free(writer);
}
