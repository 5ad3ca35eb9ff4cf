/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Resolution of one Avro schema against another: can every value of the stored schema be read under
 * the present one, and by which steps? The answer is a plan, a tree of steps beside the stored
 * schema, which avro_convert.c follows for each value.
 *
 * The rules are those of the specification (numbers widen, bytes and strings are each other,
 * records by name with fields by name, aliases of the present schema, defaults for what is new, an
 * enum's default for symbols that are gone), with one difference: what a value might meet decides,
 * not what it meets. A branch or symbol that the present schema has no place for makes the schemas
 * incompatible, even if no value has it; so registration tells, and no read fails later.
 *
 * Named types may lead back into themselves. A pair of records is planned once; while it is, it
 * counts as compatible, which is right if it turns out so. If not, whoever relied on it fails, too,
 * but for a union that takes another branch. So what was planned meanwhile is forgotten, and
 * planned anew where it is needed again. A failure is for good: it came of the best that could be
 * assumed.
 */

#include "engine/serializers/avro.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct resolver {
    struct crn_avro_resolution *resolution;
    struct cairn_buffer *path; /* of fields, for `why` */
    struct cairn_buffer *why;
    cairn_error **reterr;
};

static int resolve(struct resolver *resolver, const struct crn_avro_node *from,
                   const struct crn_avro_node *to, struct crn_avro_plan **ret);

static void free_plan(struct crn_avro_plan *plan)
{
    for (size_t i = 0; plan->fallbacks != NULL && i < plan->to->count; i++)
        crn_buf_done(&plan->fallbacks[i]);
    free(plan->fallbacks);
    free(plan->parts);
    free(plan->index);
    free(plan);
}

void crn_avro_resolution_done(struct crn_avro_resolution *resolution)
{
    while (resolution->plans != NULL) {
        struct crn_avro_plan *plan = resolution->plans;
        resolution->plans = plan->next;
        free_plan(plan);
    }
    resolution->root = NULL;
}

static struct crn_avro_plan *add_plan(struct resolver *resolver, enum crn_avro_op op,
                                      const struct crn_avro_node *from,
                                      const struct crn_avro_node *to, size_t parts, size_t indexes)
{
    struct crn_avro_plan *plan = calloc(1, sizeof(*plan));
    if (plan == NULL)
        return NULL;
    plan->op = op;
    plan->from = from;
    plan->to = to;
    plan->state = CRN_AVRO_READY;
    plan->parts = calloc(parts + 1, sizeof(*plan->parts));
    plan->index = calloc(indexes + 1, sizeof(*plan->index));
    if (plan->parts == NULL || plan->index == NULL) {
        free_plan(plan);
        return NULL;
    }
    plan->next = resolver->resolution->plans;
    resolver->resolution->plans = plan;
    return plan;
}

/* Why not: the first reason on the deepest path is what `why` keeps. */
static int incompatible(struct resolver *resolver, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int incompatible(struct resolver *resolver, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    crn_buf_clear(resolver->why);
    const char *path = resolver->path->size > 0 ? (const char *)resolver->path->data : "";
    int r = crn_buf_printf(resolver->why, "%s%s%s%s", *path ? "field '" : "", *path ? path + 1 : "",
                           *path ? "': " : "", text);
    return r < 0 ? crn_err_nomem(resolver->reterr) : 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Kinds
 * ------------------------------------------------------------------------------------------ */

static const char *short_name(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot != NULL ? dot + 1 : full_name;
}

static bool has_alias(struct json_object *aliases, const char *name)
{
    if (!json_object_is_type(aliases, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(aliases); i++) {
        struct json_object *alias = json_object_array_get_idx(aliases, i);
        if (json_object_is_type(alias, json_type_string) &&
            strcmp(short_name(json_object_get_string(alias)), name) == 0)
            return true;
    }
    return false;
}

static bool is_same_name(const struct crn_avro_node *from, const struct crn_avro_node *to)
{
    const char *name = short_name(from->full_name);
    return strcmp(name, short_name(to->full_name)) == 0 || has_alias(to->aliases, name);
}

static bool widens(enum crn_avro_kind from, enum crn_avro_kind to)
{
    return (to == CRN_AVRO_FLOAT && (from == CRN_AVRO_INT || from == CRN_AVRO_LONG)) ||
           (to == CRN_AVRO_DOUBLE &&
            (from == CRN_AVRO_INT || from == CRN_AVRO_LONG || from == CRN_AVRO_FLOAT));
}

/* The same bytes under two names. */
static bool copies(enum crn_avro_kind from, enum crn_avro_kind to)
{
    return (from == to && from < CRN_AVRO_PRIMITIVES) ||
           (from == CRN_AVRO_INT && to == CRN_AVRO_LONG) ||
           (from == CRN_AVRO_STRING && to == CRN_AVRO_BYTES) ||
           (from == CRN_AVRO_BYTES && to == CRN_AVRO_STRING);
}

/* Could they be resolved, as far as one sees without looking inside? */
static bool looks_alike(const struct crn_avro_node *from, const struct crn_avro_node *to)
{
    if (copies(from->kind, to->kind) || widens(from->kind, to->kind))
        return true;
    if (from->kind != to->kind)
        return false;
    if (from->kind == CRN_AVRO_FIXED && from->size != to->size)
        return false;
    return from->full_name == NULL || is_same_name(from, to);
}

/* ------------------------------------------------------------------------------------------ *
 * Records
 * ------------------------------------------------------------------------------------------ */

static int find_field(const struct crn_avro_node *from, const struct crn_avro_field *field)
{
    for (size_t i = 0; i < from->count; i++)
        if (strcmp(from->fields[i].name, field->name) == 0)
            return (int)i;
    for (size_t i = 0; field->aliases != NULL && i < from->count; i++)
        if (has_alias(field->aliases, from->fields[i].name))
            return (int)i;
    return -1;
}

/* 1 and the field's bytes; 0: there are none that fit. */
static int encode_fallback(struct resolver *resolver, const struct crn_avro_field *field,
                           struct cairn_buffer *ret)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (!field->has_fallback)
        return incompatible(resolver, "is new, and has no default");
    int r = crn_avro_encode_json(field->type, field->fallback, true, ret, &error);
    if (r == CAIRN_EINVAL)
        return incompatible(resolver, "is new, and its default is %s", cairn_error_message(error));
    return r < 0 ? crn_err_nomem(resolver->reterr) : 1;
}

static int resolve_field(struct resolver *resolver, struct crn_avro_plan *plan, size_t i)
{
    const struct crn_avro_field *field = &plan->to->fields[i];
    size_t mark = resolver->path->size;
    int j = plan->index[i] = find_field(plan->from, field);
    if (crn_buf_printf(resolver->path, ".%s", field->name) < 0)
        return crn_err_nomem(resolver->reterr);
    int r = j >= 0 && plan->parts[j] != NULL
                ? incompatible(resolver, "stands for a field that another one stands for, too")
            : j >= 0 ? resolve(resolver, plan->from->fields[j].type, field->type, &plan->parts[j])
                     : encode_fallback(resolver, field, &plan->fallbacks[i]);
    resolver->path->size = mark;
    resolver->path->data[mark] = 0;
    return r;
}

static int resolve_fields(struct resolver *resolver, struct crn_avro_plan *plan)
{
    int last = -1;
    plan->is_sorted = true;
    plan->fallbacks = calloc(plan->to->count + 1, sizeof(*plan->fallbacks));
    if (plan->fallbacks == NULL)
        return crn_err_nomem(resolver->reterr);
    for (size_t i = 0; i < plan->to->count; i++) {
        int r = resolve_field(resolver, plan, i);
        if (r <= 0)
            return r;
        if (plan->index[i] >= 0) {
            plan->is_sorted = plan->is_sorted && plan->index[i] > last;
            last = plan->index[i];
        }
    }
    return 1;
}

/* `failed` was assumed to hold by any of the plans that were made since: they stand before it. */
static void forget_since(struct resolver *resolver, const struct crn_avro_plan *failed)
{
    for (struct crn_avro_plan *p = resolver->resolution->plans; p != failed; p = p->next)
        if (p->state == CRN_AVRO_READY)
            p->state = CRN_AVRO_FORGOTTEN;
}

static int resolve_record(struct resolver *resolver, const struct crn_avro_node *from,
                          const struct crn_avro_node *to, struct crn_avro_plan **ret)
{
    for (struct crn_avro_plan *p = resolver->resolution->plans; p != NULL; p = p->next)
        if (p->op == CRN_AVRO_FIELDS && p->state != CRN_AVRO_FORGOTTEN && p->from == from &&
            p->to == to) {
            *ret = p;
            return p->state == CRN_AVRO_FAILED
                       ? incompatible(resolver, "record %s cannot be read", from->full_name)
                       : 1;
        }
    struct crn_avro_plan *plan =
        add_plan(resolver, CRN_AVRO_FIELDS, from, to, from->count, to->count);
    if (plan == NULL)
        return crn_err_nomem(resolver->reterr);
    plan->state = CRN_AVRO_BUILDING;
    int r = resolve_fields(resolver, plan);
    plan->state = r > 0 ? CRN_AVRO_READY : CRN_AVRO_FAILED;
    if (r == 0)
        forget_since(resolver, plan);
    *ret = plan;
    return r;
}

/* ------------------------------------------------------------------------------------------ *
 * The other types
 * ------------------------------------------------------------------------------------------ */

static int resolve_enum(struct resolver *resolver, const struct crn_avro_node *from,
                        const struct crn_avro_node *to, struct crn_avro_plan **ret)
{
    struct crn_avro_plan *plan = add_plan(resolver, CRN_AVRO_SYMBOL, from, to, 0, from->count);
    if (plan == NULL)
        return crn_err_nomem(resolver->reterr);
    for (size_t i = 0; i < from->count; i++) {
        int j = crn_avro_find_symbol(to, from->symbols[i]);
        plan->index[i] = j >= 0 ? j : to->symbol_fallback;
        if (plan->index[i] < 0)
            return incompatible(resolver, "symbol '%s' of enum %s is gone, and there is no default",
                                from->symbols[i], from->full_name);
    }
    *ret = plan;
    return 1;
}

static int resolve_from_union(struct resolver *resolver, const struct crn_avro_node *from,
                              const struct crn_avro_node *to, struct crn_avro_plan **ret)
{
    struct crn_avro_plan *plan = add_plan(resolver, CRN_AVRO_FROM_BRANCH, from, to, from->count, 0);
    if (plan == NULL)
        return crn_err_nomem(resolver->reterr);
    for (size_t i = 0; i < from->count; i++) {
        int r = resolve(resolver, from->branches[i], to, &plan->parts[i]);
        if (r <= 0)
            return r;
    }
    *ret = plan;
    return 1;
}

/* The branch of the same kind first: an int goes to int, though long or float would take it. */
static int resolve_to_union(struct resolver *resolver, const struct crn_avro_node *from,
                            const struct crn_avro_node *to, struct crn_avro_plan **ret)
{
    struct crn_avro_plan *plan = add_plan(resolver, CRN_AVRO_TO_BRANCH, from, to, 1, 0);
    bool tried = false;
    if (plan == NULL)
        return crn_err_nomem(resolver->reterr);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < to->count; i++) {
            const struct crn_avro_node *branch = to->branches[i];
            if ((branch->kind == from->kind) != (pass == 0) || !looks_alike(from, branch))
                continue;
            int r = resolve(resolver, from, branch, &plan->parts[0]);
            if (r < 0)
                return r;
            tried = true;
            if (r > 0) {
                plan->branch = i;
                *ret = plan;
                return 1;
            }
        }
    return tried
               ? 0 /* the branch has said why */
               : incompatible(resolver, "the union has no branch for %s", crn_avro_node_name(from));
}

static int resolve_items(struct resolver *resolver, const struct crn_avro_node *from,
                         const struct crn_avro_node *to, struct crn_avro_plan **ret)
{
    struct crn_avro_plan *plan = add_plan(resolver, CRN_AVRO_ITEMS, from, to, 1, 0);
    if (plan == NULL)
        return crn_err_nomem(resolver->reterr);
    *ret = plan;
    return resolve(resolver, from->items, to->items, &plan->parts[0]);
}

static int resolve(struct resolver *resolver, const struct crn_avro_node *from,
                   const struct crn_avro_node *to, struct crn_avro_plan **ret)
{
    if (from->kind == CRN_AVRO_UNION)
        return resolve_from_union(resolver, from, to, ret);
    if (to->kind == CRN_AVRO_UNION)
        return resolve_to_union(resolver, from, to, ret);
    if (!looks_alike(from, to))
        return incompatible(resolver, "%s cannot be read as %s", crn_avro_node_name(from),
                            crn_avro_node_name(to));
    if (from->kind == CRN_AVRO_RECORD)
        return resolve_record(resolver, from, to, ret);
    if (from->kind == CRN_AVRO_ENUM)
        return resolve_enum(resolver, from, to, ret);
    if (from->kind == CRN_AVRO_ARRAY || from->kind == CRN_AVRO_MAP)
        return resolve_items(resolver, from, to, ret);
    *ret = add_plan(resolver, widens(from->kind, to->kind) ? CRN_AVRO_WIDEN : CRN_AVRO_COPY, from,
                    to, 0, 0);
    return *ret != NULL ? 1 : crn_err_nomem(resolver->reterr);
}

int crn_avro_resolve(const struct crn_avro_schema *from, const struct crn_avro_schema *to,
                     struct crn_avro_resolution *ret, struct cairn_buffer *why,
                     cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer path = {0};
    struct crn_avro_resolution resolution = {0};
    struct resolver resolver = {&resolution, &path, why, reterr};
    int r = resolve(&resolver, from->root, to->root, &resolution.root);
    if (r <= 0)
        crn_avro_resolution_done(&resolution);
    *ret = resolution;
    return r;
}

static bool is_identity_index(const struct crn_avro_plan *plan, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (plan->index[i] != (int)i)
            return false;
    return true;
}

/* Does this step, its parts aside, leave the bytes alone? A value gets the index of a branch only
 * where it had the same one before. */
static bool is_identity_step(const struct crn_avro_plan *plan)
{
    const size_t count = plan->from->count;
    if (plan->op == CRN_AVRO_WIDEN || plan->state != CRN_AVRO_READY)
        return false;
    if (plan->op == CRN_AVRO_SYMBOL)
        return is_identity_index(plan, count);
    if (plan->op == CRN_AVRO_FROM_BRANCH) {
        for (size_t i = 0; i < count; i++)
            if (plan->parts[i] == NULL || plan->parts[i]->op != CRN_AVRO_TO_BRANCH ||
                plan->parts[i]->branch != i)
                return false;
        return true;
    }
    if (plan->op == CRN_AVRO_FIELDS &&
        (count != plan->to->count || !is_identity_index(plan, count)))
        return false;
    size_t parts = plan->op == CRN_AVRO_FIELDS ? count : plan->op == CRN_AVRO_ITEMS ? 1 : 0;
    for (size_t i = 0; i < parts; i++)
        if (plan->parts[i] == NULL || plan->parts[i]->op == CRN_AVRO_TO_BRANCH)
            return false;
    return true;
}

/* All plans of the list are needed, but for those of branches that did not fit, which may be
 * unfinished; to count these, too, only costs a conversion. */
bool crn_avro_resolution_is_identity(const struct crn_avro_resolution *resolution)
{
    if (resolution->root->op == CRN_AVRO_TO_BRANCH)
        return false;
    for (const struct crn_avro_plan *p = resolution->plans; p != NULL; p = p->next)
        if (!is_identity_step(p))
            return false;
    return true;
}
