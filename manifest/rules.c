/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules for operators, states and subtasks (docs/format.md, O, S and T); rules_file.c has those
 * for files. Sorting makes "each only once" cost n log n whatever the input is; what is written in
 * order, as our own writer does, costs one pass.
 */
#include "base/text.h"
#include "manifest/internal.h"
#include <inttypes.h>
#include <string.h>

#define BACKEND_NAME_MAX 32u
#define BACKEND_CANONICAL "canonical"

bool crn_type_is_plain(cairn_type type)
{
    return type == CAIRN_BYTES || type == CAIRN_INT64 || type == CAIRN_DOUBLE ||
           type == CAIRN_STRING;
}

/* Values of these are written under schemas, which may change. */
static bool has_schemas(cairn_type type)
{
    return type == CAIRN_STRUCT || type == CAIRN_AVRO || type == CAIRN_CUSTOM;
}

bool crn_state_kind_is_keyed(cairn_state_kind kind)
{
    return kind >= CAIRN_KIND_VALUE && kind <= CAIRN_KIND_AGGREGATING;
}

static bool is_state_kind(cairn_state_kind kind)
{
    return crn_state_kind_is_keyed(kind) ||
           (kind >= CAIRN_KIND_OPERATOR_LIST && kind <= CAIRN_KIND_BROADCAST);
}

static int rule_o2(const struct crn_rule_scope *s)
{
    const char *name = s->op->info.name;
    return name == NULL || name[0] == '\0' || crn_text_is_name(name)
               ? 0
               : crn_rule_broken(s, "O2", "the name is too long or not clean text");
}

static int rule_o3(const struct crn_rule_scope *s)
{
    const cairn_operator_info *info = &s->op->info;
    return info->parallelism >= 1 && info->parallelism <= info->max_parallelism &&
                   info->max_parallelism <= CRN_MAX_KEY_GROUPS
               ? 0
               : crn_rule_broken(s, "O3", "parallelism %" PRIu32 " of at most %" PRIu32,
                                 info->parallelism, info->max_parallelism);
}

static int rule_o4(const struct crn_rule_scope *s)
{
    return crn_type_is_plain(s->op->info.key_type) && crn_type_is_plain(s->op->info.namespace_type)
               ? 0
               : crn_rule_broken(s, "O4", "unknown type of key (%d) or namespace (%d)",
                                 (int)s->op->info.key_type, (int)s->op->info.namespace_type);
}

/* A part has some of them, in order. */
static int rule_a2(const struct crn_rule_scope *s)
{
    const struct crn_operator *op = s->op;
    if (op->subtask_count == 0)
        return crn_rule_broken(s, "A2", "no subtasks in a part");
    for (size_t i = 0; i < op->subtask_count; i++) {
        const uint32_t index = op->subtasks[i].info.index;
        if (index >= op->info.parallelism || (i > 0 && index <= op->subtasks[i - 1].info.index))
            return crn_rule_broken(s, "A2", "subtask %zu of a part has index %" PRIu32, i, index);
    }
    return 0;
}

static int rule_o5(const struct crn_rule_scope *s)
{
    const struct crn_operator *op = s->op;
    if (s->is_part)
        return rule_a2(s);
    if (op->subtask_count != op->info.parallelism)
        return crn_rule_broken(s, "O5", "%zu subtasks for a parallelism of %" PRIu32,
                               op->subtask_count, op->info.parallelism);
    for (size_t i = 0; i < op->subtask_count; i++)
        if (op->subtasks[i].info.index != i)
            return crn_rule_broken(s, "O5", "subtask %zu has index %" PRIu32, i,
                                   op->subtasks[i].info.index);
    return 0;
}

/* States by name, and the keyed before the operator's, which have names of their own. */
static int by_state_name(const void *a, const void *b)
{
    const cairn_state_info *x = *(const cairn_state_info *const *)a;
    const cairn_state_info *y = *(const cairn_state_info *const *)b;
    const int keyed = crn_state_kind_is_keyed(y->kind) - crn_state_kind_is_keyed(x->kind);
    return keyed != 0 ? keyed : strcmp(x->name, y->name);
}

static int by_file_name(const void *a, const void *b)
{
    const struct crn_file *x = *(const struct crn_file *const *)a;
    const struct crn_file *y = *(const struct crn_file *const *)b;
    return strcmp(x->info.name, y->info.name);
}

static int by_number(const void *a, const void *b)
{
    const struct crn_file *x = *(const struct crn_file *const *)a;
    const struct crn_file *y = *(const struct crn_file *const *)b;
    return (x->info.number > y->info.number) - (x->info.number < y->info.number);
}

/* An element that is there twice, or NULL. Sorts the pointers. */
static const void *find_twin(const void **pointers, size_t count,
                             int (*compare)(const void *, const void *))
{
    size_t i = 1;
    while (i < count && compare(&pointers[i - 1], &pointers[i]) < 0)
        i++;
    if (i >= count)
        return NULL;
    qsort(pointers, count, sizeof(*pointers), compare);
    for (i = 1; i < count; i++)
        if (compare(&pointers[i - 1], &pointers[i]) == 0)
            return pointers[i];
    return NULL;
}

static int rule_s1(const struct crn_rule_scope *s)
{
    const struct crn_operator *op = s->op;
    if (op->state_count > CRN_LIMIT_STATES)
        return crn_rule_broken(s, "S1", "%zu states, at most %u", op->state_count,
                               CRN_LIMIT_STATES);
    CRN_AUTO_FREE const void **states = calloc(op->state_count + 1, sizeof(*states));
    if (states == NULL)
        return crn_err_nomem(s->reterr);
    for (size_t i = 0; i < op->state_count; i++) {
        if (!crn_text_is_name(op->states[i].name))
            return crn_rule_broken(s, "S1", "the name of state %zu is not valid", i);
        states[i] = &op->states[i];
    }
    const cairn_state_info *twin = find_twin(states, op->state_count, by_state_name);
    return twin == NULL ? 0 : crn_rule_broken(s, "S1", "state '%s' is there twice", twin->name);
}

static int rule_s2(const struct crn_rule_scope *s)
{
    for (size_t i = 0; i < s->op->state_count; i++) {
        const cairn_state_info *state = &s->op->states[i];
        if (!is_state_kind(state->kind) || !crn_type_is_plain(state->map_key_type) ||
            !(crn_type_is_plain(state->value_type) || has_schemas(state->value_type)))
            return crn_rule_broken(s, "S2", "state '%s' has unknown kind %d or type %d, %d",
                                   state->name, (int)state->kind, (int)state->value_type,
                                   (int)state->map_key_type);
    }
    return 0;
}

static int rule_s3(const struct crn_rule_scope *s)
{
    for (size_t i = 0; i < s->op->state_count; i++) {
        const cairn_state_info *state = &s->op->states[i];
        const bool is_map = state->kind == CAIRN_KIND_MAP || state->kind == CAIRN_KIND_BROADCAST;
        if ((!is_map && state->map_key_type != CAIRN_BYTES) ||
            (!crn_state_kind_is_keyed(state->kind) &&
             (state->ttl_ms != 0 || !crn_type_is_plain(state->value_type))))
            return crn_rule_broken(s, "S3", "state '%s' has a field that its kind cannot have",
                                   state->name);
    }
    return 0;
}

static bool is_schema(const cairn_schema_info *schema, cairn_type type)
{
    return (schema->name == NULL || schema->name[0] == '\0' || crn_text_is_name(schema->name)) &&
           schema->size <= CRN_LIMIT_SCHEMA && (schema->version == 0 || type == CAIRN_CUSTOM);
}

/* Each value says by a tag which of them it was written under. */
static int rule_s4(const struct crn_rule_scope *s)
{
    for (size_t i = 0; i < s->op->state_count; i++) {
        const cairn_state_info *state = &s->op->states[i];
        const size_t count = state->schema_count;
        if ((count > 0) != has_schemas(state->value_type) || count > CRN_LIMIT_SCHEMAS)
            return crn_rule_broken(s, "S4", "state '%s' has %zu schemas", state->name, count);
        for (size_t j = 0; j < count; j++)
            if (!is_schema(&state->schemas[j], state->value_type) ||
                (j > 0 && state->schemas[j].tag <= state->schemas[j - 1].tag))
                return crn_rule_broken(s, "S4",
                                       "schema %zu of state '%s' is not valid or out of order", j,
                                       state->name);
    }
    return 0;
}

/* Flink's ranges, so that a key group's place follows from the parallelism alone. */
static int rule_t1(const struct crn_rule_scope *s)
{
    const uint64_t groups = s->op->info.max_parallelism, parallelism = s->op->info.parallelism;
    const cairn_subtask_info *info = &s->subtask->info;
    const uint64_t first = (info->index * groups + parallelism - 1) / parallelism;
    const uint64_t last = ((info->index + (uint64_t)1) * groups - 1) / parallelism;
    return info->key_group_first == first && info->key_group_last == last
               ? 0
               : crn_rule_broken(s, "T1",
                                 "key groups %" PRIu32 " to %" PRIu32 " instead of %" PRIu64
                                 " to %" PRIu64,
                                 info->key_group_first, info->key_group_last, first, last);
}

static int rule_t2(const struct crn_rule_scope *s)
{
    const char *name = s->subtask->info.backend;
    const size_t n = name != NULL ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    return n >= 1 && n <= BACKEND_NAME_MAX && name[n] == '\0'
               ? 0
               : crn_rule_broken(s, "T2", "the backend's name is not valid");
}

/* Runs behind the rules for each file, so every file has a name. */
static int rule_t3(const struct crn_rule_scope *s)
{
    const struct crn_subtask *subtask = s->subtask;
    CRN_AUTO_FREE const void **files = calloc(subtask->file_count + 1, sizeof(*files));
    if (files == NULL)
        return crn_err_nomem(s->reterr);
    for (size_t i = 0; i < subtask->file_count; i++)
        files[i] = &subtask->files[i];
    const struct crn_file *twin = find_twin(files, subtask->file_count, by_file_name);
    return twin == NULL ? 0 : crn_rule_broken(s, "T3", "file '%s' is there twice", twin->info.name);
}

static int rule_t4(const struct crn_rule_scope *s)
{
    const struct crn_subtask *subtask = s->subtask;
    CRN_AUTO_FREE const void **tables = calloc(subtask->file_count + 1, sizeof(*tables));
    if (tables == NULL)
        return crn_err_nomem(s->reterr);
    size_t count = 0;
    for (size_t i = 0; i < subtask->file_count; i++)
        if (subtask->files[i].info.role == CAIRN_FILE_TABLE)
            tables[count++] = &subtask->files[i];
    const struct crn_file *twin = find_twin(tables, count, by_number);
    return twin == NULL
               ? 0
               : crn_rule_broken(s, "T4", "two tables have the number %" PRIu64, twin->info.number);
}

static int rule_t5(const struct crn_rule_scope *s)
{
    size_t states = 0, in_flight = 0;
    for (size_t i = 0; i < s->subtask->file_count; i++) {
        states += s->subtask->files[i].info.role == CAIRN_FILE_OPERATOR_STATE;
        in_flight += s->subtask->files[i].info.role == CAIRN_FILE_IN_FLIGHT;
    }
    if (in_flight > 1)
        return crn_rule_broken(s, "T5", "%zu files of in-flight records", in_flight);
    return states <= 1 ? 0 : crn_rule_broken(s, "T5", "%zu files of operator state", states);
}

static int rule_t6(const struct crn_rule_scope *s)
{
    const struct crn_subtask *subtask = s->subtask;
    const bool is_canonical = strcmp(subtask->info.backend, BACKEND_CANONICAL) == 0;
    for (size_t i = 0; i < subtask->file_count; i++) {
        const cairn_file_info *info = &subtask->files[i].info;
        if (info->role != CAIRN_FILE_OPERATOR_STATE && info->role != CAIRN_FILE_IN_FLIGHT &&
            (info->role == CAIRN_FILE_CANONICAL) != is_canonical)
            return crn_rule_broken(s, "T6", "file '%s' is not of backend '%s'", info->name,
                                   subtask->info.backend);
    }
    return 0;
}

static int rule_t7(const struct crn_rule_scope *s)
{
    const cairn_file_info *last = NULL;
    for (size_t i = 0; i < s->subtask->file_count; i++) {
        const cairn_file_info *info = &s->subtask->files[i].info;
        if (info->role != CAIRN_FILE_CANONICAL)
            continue;
        if (last != NULL && info->key_group_first <= last->key_group_last)
            return crn_rule_broken(s, "T7", "the key groups of '%s' are not above those of '%s'",
                                   info->name, last->name);
        last = info;
    }
    return 0;
}

static int check_subtask(struct crn_rule_scope *scope)
{
    static const crn_rule_fn before[] = {rule_t1, rule_t2};
    static const crn_rule_fn behind[] = {rule_t3, rule_t4, rule_t5, rule_t6, rule_t7};
    const struct crn_subtask *subtask = scope->subtask;
    CRN_TRY(crn_rules_run(before, CRN_COUNT(before), scope));
    if (subtask->file_count > CRN_LIMIT_FILES)
        return crn_rule_broken(scope, "T3", "%zu files, at most %u", subtask->file_count,
                               CRN_LIMIT_FILES);
    for (size_t i = 0; i < subtask->file_count; i++) {
        scope->file = &subtask->files[i];
        CRN_TRY(crn_rules_file(scope));
    }
    scope->file = NULL;
    return crn_rules_run(behind, CRN_COUNT(behind), scope);
}

int crn_rules_operator(const struct crn_rule_scope *outer)
{
    static const crn_rule_fn rules[] = {rule_o2, rule_o3, rule_o4, rule_o5,
                                        rule_s1, rule_s2, rule_s3, rule_s4};
    struct crn_rule_scope scope = *outer;
    CRN_TRY(crn_rules_run(rules, CRN_COUNT(rules), &scope));
    for (size_t i = 0; i < scope.op->subtask_count; i++) {
        scope.subtask = &scope.op->subtasks[i];
        CRN_TRY(check_subtask(&scope));
    }
    return 0;
}
