/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in memory: a tree of arrays, each element owning its strings. Arrays grow by doubling and
 * keep their capacity beside them, so that a million files are added in linear time. Freeing works
 * on half-built records.
 */
#include "base/text.h"
#include "manifest/internal.h"
#include <stdint.h>
#include <string.h>

static void free_text(const char **field)
{
    free((void *)(uintptr_t)*field);
    *field = NULL;
}

static void free_bytes(const uint8_t **field)
{
    free((void *)(uintptr_t)*field);
    *field = NULL;
}

void crn_file_done(struct crn_file *file)
{
    free_text(&file->info.name);
    free_text(&file->info.object);
    free_text(&file->info.state);
    free_bytes(&file->info.smallest);
    free_bytes(&file->info.largest);
    free(file->inlined);
    *file = (struct crn_file){0};
}

void crn_subtask_done(struct crn_subtask *subtask)
{
    for (size_t i = 0; i < subtask->file_count; i++)
        crn_file_done(&subtask->files[i]);
    free(subtask->files);
    free_text(&subtask->info.backend);
    *subtask = (struct crn_subtask){0};
}

/* The array belongs to the state, which shows it as constant to the public. */
static cairn_schema_info *schemas_of(cairn_state_info *state)
{
    return (cairn_schema_info *)(uintptr_t)state->schemas;
}

static void schema_done(cairn_schema_info *schema)
{
    free_text(&schema->name);
    free_bytes(&schema->bytes);
}

void crn_state_done(cairn_state_info *state)
{
    for (size_t i = 0; i < state->schema_count; i++)
        schema_done(&schemas_of(state)[i]);
    free(schemas_of(state));
    free_text(&state->name);
    *state = (cairn_state_info){0};
}

static void operator_done(struct crn_operator *op)
{
    for (size_t i = 0; i < op->state_count; i++)
        crn_state_done(&op->states[i]);
    free(op->states);
    for (size_t i = 0; i < op->subtask_count; i++)
        crn_subtask_done(&op->subtasks[i]);
    free(op->subtasks);
    free_text(&op->info.uid);
    free_text(&op->info.name);
}

static void record_info_done(cairn_record_info *info)
{
    free_text(&info->reason);
    free_text(&info->host);
    free_text(&info->library_version);
    free_text(&info->location);
    free_text(&info->source_location);
    free_text(&info->source_job);
}

struct crn_record *crn_record_new(void)
{
    return calloc(1, sizeof(struct crn_record));
}

void crn_record_drop_operators(struct crn_record *record)
{
    for (size_t i = 0; i < record->operator_count; i++)
        operator_done(&record->operators[i]);
    free(record->operators);
    record->operators = NULL;
    record->operator_count = record->operator_capacity = 0;
}

void crn_record_free(struct crn_record *record)
{
    if (record == NULL)
        return;
    crn_record_drop_operators(record);
    for (size_t i = 0; i < record->history_count; i++)
        record_info_done(&record->history[i].info);
    free(record->history);
    record_info_done(&record->info);
    free(record->job);
    free(record);
}

/* Room for one more element, which is zeroed and counted. */
static void *grow(void **array, size_t *count, size_t *capacity, size_t element_size)
{
    if (*count >= *capacity) {
        if (*count > SIZE_MAX / 2 / element_size)
            return NULL;
        const size_t wanted = *count < 4 ? 4 : *count * 2;
        void *larger = realloc(*array, wanted * element_size);
        if (larger == NULL)
            return NULL;
        *array = larger;
        *capacity = wanted;
    }
    void *element = (char *)*array + *count * element_size;
    memset(element, 0, element_size);
    (*count)++;
    return element;
}

struct crn_operator *crn_record_add_operator(struct crn_record *record)
{
    void *array = record->operators;
    struct crn_operator *added = grow(&array, &record->operator_count, &record->operator_capacity,
                                      sizeof(struct crn_operator));
    record->operators = array;
    return added;
}

struct crn_operator *crn_record_merge_operator(struct crn_record *record,
                                               const cairn_operator_info *info)
{
    for (size_t i = 0; i < record->operator_count; i++)
        if (strcmp(record->operators[i].info.uid, info->uid) == 0)
            return &record->operators[i];
    struct crn_operator *op = crn_record_add_operator(record);
    if (op == NULL || crn_record_set_text(&op->info.uid, info->uid) < 0 ||
        crn_record_set_text(&op->info.name, info->name) < 0)
        return NULL;
    op->info.parallelism = info->parallelism;
    op->info.max_parallelism = info->max_parallelism;
    op->info.key_type = info->key_type;
    op->info.namespace_type = info->namespace_type;
    return op;
}

struct crn_subtask *crn_operator_add_subtask(struct crn_operator *op)
{
    void *array = op->subtasks;
    struct crn_subtask *added =
        grow(&array, &op->subtask_count, &op->subtask_capacity, sizeof(struct crn_subtask));
    op->subtasks = array;
    return added;
}

cairn_state_info *crn_operator_add_state(struct crn_operator *op)
{
    void *array = op->states;
    cairn_state_info *added =
        grow(&array, &op->state_count, &op->state_capacity, sizeof(cairn_state_info));
    op->states = array;
    return added;
}

struct crn_file *crn_subtask_add_file(struct crn_subtask *subtask)
{
    void *array = subtask->files;
    struct crn_file *added =
        grow(&array, &subtask->file_count, &subtask->file_capacity, sizeof(struct crn_file));
    subtask->files = array;
    return added;
}

struct crn_history *crn_record_add_history(struct crn_record *record)
{
    void *array = record->history;
    struct crn_history *added =
        grow(&array, &record->history_count, &record->history_capacity, sizeof(struct crn_history));
    record->history = array;
    return added;
}

int crn_record_set_text(const char **field, const char *text)
{
    char *copy = NULL;
    if (text != NULL) {
        copy = strdup(text);
        if (copy == NULL)
            return CAIRN_ENOMEM;
    }
    free_text(field);
    *field = copy;
    return 0;
}

int crn_record_set_bytes(const uint8_t **field, size_t *field_size, const void *data, size_t size)
{
    uint8_t *copy = NULL;
    if (size > 0) {
        copy = malloc(size);
        if (copy == NULL)
            return CAIRN_ENOMEM;
        memcpy(copy, data, size);
    }
    free_bytes(field);
    *field = copy;
    *field_size = size;
    return 0;
}

/* Fills the owned parts of `to`, whose pointers are NULL and whose plain fields are set. */
static int copy_file_parts(struct crn_file *to, const struct crn_file *from)
{
    CRN_TRY(crn_record_set_text(&to->info.name, from->info.name));
    CRN_TRY(crn_record_set_text(&to->info.object, from->info.object));
    CRN_TRY(crn_record_set_text(&to->info.state, from->info.state));
    CRN_TRY(crn_record_set_bytes(&to->info.smallest, &to->info.smallest_size, from->info.smallest,
                                 from->info.smallest_size));
    CRN_TRY(crn_record_set_bytes(&to->info.largest, &to->info.largest_size, from->info.largest,
                                 from->info.largest_size));
    if (from->inlined == NULL)
        return 0;
    to->inlined = malloc(from->info.size > 0 ? from->info.size : 1);
    if (to->inlined == NULL)
        return CAIRN_ENOMEM;
    memcpy(to->inlined, from->inlined, from->info.size);
    return 0;
}

int crn_file_copy(struct crn_file *to, const struct crn_file *from)
{
    *to = *from;
    to->info.name = NULL;
    to->info.object = NULL;
    to->info.state = NULL;
    to->info.smallest = NULL;
    to->info.largest = NULL;
    to->inlined = NULL;
    int r = copy_file_parts(to, from);
    if (r < 0)
        crn_file_done(to);
    return r;
}

int crn_state_add_schema(cairn_state_info *state, const cairn_schema_info *schema)
{
    if (state->schema_count >= CRN_LIMIT_SCHEMAS)
        return CAIRN_EINVAL;
    cairn_schema_info copy = *schema;
    copy.name = NULL;
    copy.bytes = NULL;
    cairn_schema_info *larger =
        realloc(schemas_of(state), (state->schema_count + 1) * sizeof(*larger));
    if (larger == NULL)
        return CAIRN_ENOMEM;
    state->schemas = larger;
    int r = crn_record_set_text(&copy.name, schema->name);
    if (r == 0)
        r = crn_record_set_bytes(&copy.bytes, &copy.size, schema->bytes, schema->size);
    if (r < 0) {
        schema_done(&copy);
        return r;
    }
    larger[state->schema_count++] = copy;
    return 0;
}

int crn_state_copy(cairn_state_info *to, const cairn_state_info *from)
{
    *to = *from;
    to->name = NULL;
    to->schemas = NULL;
    to->schema_count = 0;
    int r = crn_record_set_text(&to->name, from->name);
    for (size_t i = 0; r == 0 && i < from->schema_count; i++)
        r = crn_state_add_schema(to, &from->schemas[i]);
    if (r < 0)
        crn_state_done(to);
    return r;
}

static int copy_subtask_parts(struct crn_subtask *to, const struct crn_subtask *from)
{
    CRN_TRY(crn_record_set_text(&to->info.backend, from->info.backend));
    for (size_t i = 0; i < from->file_count; i++) {
        struct crn_file *file = crn_subtask_add_file(to);
        if (file == NULL)
            return CAIRN_ENOMEM;
        CRN_TRY(crn_file_copy(file, &from->files[i]));
    }
    return 0;
}

int crn_subtask_copy(struct crn_subtask *to, const struct crn_subtask *from)
{
    *to = (struct crn_subtask){.info = from->info};
    to->info.backend = NULL;
    const int r = copy_subtask_parts(to, from);
    if (r < 0)
        crn_subtask_done(to);
    return r;
}

static int copy_operator_parts(struct crn_operator *to, const struct crn_operator *from)
{
    CRN_TRY(crn_record_set_text(&to->info.uid, from->info.uid));
    CRN_TRY(crn_record_set_text(&to->info.name, from->info.name));
    for (size_t i = 0; i < from->state_count; i++) {
        cairn_state_info *state = crn_operator_add_state(to);
        if (state == NULL)
            return CAIRN_ENOMEM;
        CRN_TRY(crn_state_copy(state, &from->states[i]));
    }
    for (size_t i = 0; i < from->subtask_count; i++) {
        struct crn_subtask *subtask = crn_operator_add_subtask(to);
        if (subtask == NULL)
            return CAIRN_ENOMEM;
        CRN_TRY(crn_subtask_copy(subtask, &from->subtasks[i]));
    }
    return 0;
}

int crn_operator_copy(struct crn_operator *to, const struct crn_operator *from)
{
    *to = (struct crn_operator){.info = from->info};
    to->info.uid = NULL;
    to->info.name = NULL;
    const int r = copy_operator_parts(to, from);
    if (r < 0) {
        operator_done(to);
        *to = (struct crn_operator){0};
    }
    return r;
}
