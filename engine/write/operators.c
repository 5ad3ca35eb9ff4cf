/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operators and states of a savepoint in the making. All of it is description: a name changes in
 * memory only, and what is removed is left out when the files are written. Only operator state,
 * which is in memory anyway, follows at once.
 *
 * A keyed state that was removed may still have its entries in the scratch database, or in files
 * that will become one. So a new state of the same name gets another name there, one that no state
 * can have.
 */

#include "backends/state/keys.h"
#include "base/text.h"
#include "cairn/writer.h"
#include "engine/options.h"
#include "engine/serializers/serializer.h"
#include "engine/types.h"
#include "engine/write/write.h"
#include <string.h>

#define FIRST_TAG 0u /* as a task gives it */

/* ------------------------------------------------------------------------------------------ *
 * Operators
 * ------------------------------------------------------------------------------------------ */

static int check_uid(cairn_writer *writer, const char *uid, cairn_error **reterr)
{
    struct crn_writer_operator *found;
    if (uid == NULL || !crn_text_is_name(uid))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "an operator's uid is 1 to 255 bytes of UTF-8 without control "
                            "characters");
    if (crn_writer_find(writer, uid, &found, NULL) == 0)
        return crn_err_fail(reterr, CAIRN_EEXIST, uid, "the writer has an operator '%s' already",
                            uid);
    return 0;
}

static int check_options(const char *uid, cairn_writer_operator *o, cairn_error **reterr)
{
    if (o->name == NULL)
        o->name = uid;
    if (o->parallelism == 0)
        o->parallelism = 1;
    if (!crn_text_is_name(o->name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': its name is not 1 to 255 bytes of clean UTF-8", uid);
    if (o->parallelism > CRN_MAX_KEY_GROUPS)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "operator '%s': parallelism %u, at most %u",
                            uid, o->parallelism, CRN_MAX_KEY_GROUPS);
    if (o->max_parallelism == 0)
        o->max_parallelism = crn_default_max_parallelism(o->parallelism);
    if (o->max_parallelism > CRN_MAX_KEY_GROUPS || o->max_parallelism < o->parallelism)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': max_parallelism %u, not within %u (the parallelism) "
                            "to %u",
                            uid, o->max_parallelism, o->parallelism, CRN_MAX_KEY_GROUPS);
    if (!crn_type_is_plain(o->key_type) || !crn_type_is_plain(o->namespace_type))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': keys and namespaces have one of the types bytes, "
                            "int64, double and string",
                            uid);
    return 0;
}

int cairn_writer_add_operator(cairn_writer *writer, const char *uid,
                              const cairn_writer_operator *options, cairn_error **reterr)
{
    cairn_writer_operator o;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_writer_operator", reterr));
    CRN_TRY(check_uid(writer, uid, reterr));
    CRN_TRY(check_options(uid, &o, reterr));
    if (writer->operator_count == CRN_LIMIT_OPERATORS)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a snapshot has at most %u operators",
                            CRN_LIMIT_OPERATORS);
    struct crn_writer_operator *op = crn_writer_new_operator(writer, uid, o.name);
    if (op == NULL)
        return crn_err_nomem(reterr);
    op->parallelism = o.parallelism;
    op->max_parallelism = op->target_max_parallelism = o.max_parallelism;
    op->key_type = o.key_type;
    op->namespace_type = o.namespace_type;
    return 0;
}

int cairn_writer_remove_operator(cairn_writer *writer, const char *uid, cairn_error **reterr)
{
    struct crn_writer_operator *op;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_writer_find(writer, uid, &op, reterr));
    size_t i = 0;
    while (writer->operators[i] != op)
        i++;
    crn_writer_operator_free(op);
    writer->operator_count--;
    memmove(&writer->operators[i], &writer->operators[i + 1],
            (writer->operator_count - i) * sizeof(struct crn_writer_operator *));
    return 0;
}

int cairn_writer_rename_operator(cairn_writer *writer, const char *uid, const char *new_uid,
                                 cairn_error **reterr)
{
    struct crn_writer_operator *op;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_writer_find(writer, uid, &op, reterr));
    if (new_uid != NULL && strcmp(uid, new_uid) == 0)
        return 0;
    CRN_TRY(check_uid(writer, new_uid, reterr));
    char *copy = strdup(new_uid);
    if (copy == NULL)
        return crn_err_nomem(reterr);
    free(op->uid);
    op->uid = copy;
    return 0;
}

int cairn_writer_set_max_parallelism(cairn_writer *writer, const char *uid,
                                     uint32_t max_parallelism, cairn_error **reterr)
{
    struct crn_writer_operator *op;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_writer_find(writer, uid, &op, reterr));
    if (max_parallelism < op->parallelism || max_parallelism > CRN_MAX_KEY_GROUPS)
        return crn_err_fail(reterr, CAIRN_EINVAL, uid,
                            "operator '%s': max_parallelism %u, not within %u (its parallelism) to "
                            "%u",
                            uid, max_parallelism, op->parallelism, CRN_MAX_KEY_GROUPS);
    op->target_max_parallelism = max_parallelism;
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * States
 * ------------------------------------------------------------------------------------------ */

static bool is_kind(cairn_state_kind kind)
{
    return (kind >= CAIRN_KIND_VALUE && kind <= CAIRN_KIND_AGGREGATING) ||
           (kind >= CAIRN_KIND_OPERATOR_LIST && kind <= CAIRN_KIND_BROADCAST);
}

static int check_types(const cairn_state_info *info, const cairn_serializer *serializer,
                       cairn_error **reterr)
{
    bool is_keyed = crn_kind_is_keyed(info->kind);
    bool has_map_key = info->kind == CAIRN_KIND_MAP || info->kind == CAIRN_KIND_BROADCAST;
    if ((unsigned)info->value_type > CAIRN_CUSTOM || !crn_type_is_plain(info->map_key_type) ||
        (!has_map_key && info->map_key_type != CAIRN_BYTES))
        return crn_err_fail(reterr, CAIRN_EINVAL, info->name,
                            "state '%s': there are no such types of a %s", info->name,
                            crn_kind_name(info->kind));
    if (!is_keyed && (crn_type_has_schemas(info->value_type) || info->ttl_ms != 0))
        return crn_err_fail(reterr, CAIRN_EINVAL, info->name,
                            "state '%s': operator state has neither expiry nor values of type %s",
                            info->name, crn_type_name(info->value_type));
    cairn_type wanted = serializer != NULL ? serializer->type : info->value_type;
    if (crn_type_has_schemas(info->value_type) != (serializer != NULL) ||
        wanted != info->value_type)
        return crn_err_fail(reterr, CAIRN_EINVAL, info->name,
                            "state '%s': values of type %s need a serializer of that type, those "
                            "of bytes, numbers and strings none",
                            info->name, crn_type_name(info->value_type));
    return 0;
}

static int check_state(struct crn_writer_operator *op, const cairn_state_info *info,
                       const cairn_serializer *serializer, cairn_error **reterr)
{
    struct crn_writer_state *found;
    if (info == NULL || info->name == NULL || !crn_text_is_name(info->name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "operator '%s': a state's name is 1 to 255 bytes of UTF-8 without "
                            "control characters",
                            op->uid);
    if (!is_kind(info->kind))
        return crn_err_fail(reterr, CAIRN_EINVAL, info->name, "state '%s': there is no kind %d",
                            info->name, (int)info->kind);
    CRN_TRY(check_types(info, serializer, reterr));
    if (crn_writer_find_state(op, info->name, &found, NULL) == 0)
        return crn_err_fail(reterr, CAIRN_EEXIST, info->name,
                            "operator '%s' has a state '%s' already", op->uid, info->name);
    if (op->state_count == CRN_LIMIT_STATES)
        return crn_err_fail(reterr, CAIRN_EINVAL, info->name,
                            "operator '%s': an operator has at most %u states", op->uid,
                            CRN_LIMIT_STATES);
    return 0;
}

static int add_to_lists(cairn_writer *writer, struct crn_writer_operator *op,
                        const cairn_state_info *info, cairn_error **reterr)
{
    struct crn_operator_state *added;
    CRN_TRY(crn_scratch_load_lists(writer, op, reterr));
    op->lists_changed = true;
    for (uint32_t i = 0; i < op->parallelism; i++) {
        if (crn_operator_states_add(op->parts[i], info, &added) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

static void remove_last_state(struct crn_writer_operator *op)
{
    crn_writer_state_done(&op->states[--op->state_count]);
}

/* Had a keyed state this name before? */
static bool is_name_used(const struct crn_writer_operator *op, const char *name)
{
    for (size_t i = 0; op->base != NULL && i < op->base->state_count; i++) {
        const cairn_state_info *state = &op->base->states[i];
        if (crn_kind_is_keyed(state->kind) && strcmp(state->name, name) == 0)
            return true;
    }
    return op->db != NULL && op->db->ops->find_state(op->db, name) != NULL;
}

static int add_checked(cairn_writer *writer, struct crn_writer_operator *op,
                       const cairn_state_info *info, const cairn_serializer *serializer,
                       cairn_error **reterr)
{
    struct crn_writer_state *state = &op->states[op->state_count - 1];
    if (serializer != NULL) {
        cairn_schema_info schema = serializer->schema;
        schema.tag = FIRST_TAG;
        CRN_TRY(crn_state_add_schema(&state->info, &schema) < 0 ? crn_err_nomem(reterr) : 0);
    }
    if (!crn_kind_is_keyed(info->kind))
        return add_to_lists(writer, op, info, reterr);
    if (!is_name_used(op, info->name))
        return 0;
    free(CRN_TAKE(state->scratch_name));
    return crn_str_printf(&state->scratch_name, reterr, "%llu\001%s",
                          (unsigned long long)writer->next_ordinal++, info->name);
}

int cairn_writer_add_state(cairn_writer *writer, const char *uid, const cairn_state_info *info,
                           const cairn_serializer *serializer, cairn_error **reterr)
{
    struct crn_writer_operator *op;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_writer_find(writer, uid, &op, reterr));
    CRN_TRY(check_state(op, info, serializer, reterr));
    cairn_state_info plain = {.name = info->name,
                              .kind = info->kind,
                              .value_type = info->value_type,
                              .map_key_type = info->map_key_type,
                              .ttl_ms = info->ttl_ms};
    CRN_TRY(crn_writer_append_state(op, &plain, reterr));
    int r = add_checked(writer, op, &plain, serializer, reterr);
    if (r < 0)
        remove_last_state(op);
    return r;
}

int cairn_writer_remove_state(cairn_writer *writer, const char *uid, const char *state,
                              cairn_error **reterr)
{
    struct crn_writer_operator *op;
    struct crn_writer_state *found;
    CRN_TRY(crn_writer_check(writer, reterr));
    CRN_TRY(crn_writer_find(writer, uid, &op, reterr));
    CRN_TRY(crn_writer_find_state(op, state, &found, reterr));
    if (crn_kind_is_keyed(found->info.kind)) {
        op->keyed_changed = op->has_removed = true;
    } else {
        CRN_TRY(crn_scratch_load_lists(writer, op, reterr));
        op->lists_changed = true;
        for (uint32_t i = 0; i < op->parallelism; i++)
            crn_operator_states_remove(op->parts[i], found->info.name);
    }
    crn_writer_state_done(found);
    op->state_count--;
    memmove(found, found + 1,
            (size_t)(&op->states[op->state_count] - found) * sizeof op->states[0]);
    return 0;
}
