/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of orders: a JSON object with a few known fields. Everything in it is untrusted (P11): a
 * misspelled field must not be an order that does something else than was meant, so what is not
 * known is refused. Pure.
 */
#include "base/buffer.h"
#include "engine/control/order.h"
#include "engine/serializers/json.h"

#include <string.h>

#define SHOWN 64 /* bytes of a name or value in messages */
#define ABSOLUTE_MAX 4096u

enum field { FULL = 1, SAVEPOINT = 2, FORMAT = 4, TARGET = 8, LINK_PREVIOUS = 16, DRAIN = 32 };
static const struct {
    enum field field;
    const char *name;
    enum json_type type;
} fields[] = {
    {FULL, "full", json_type_boolean},
    {SAVEPOINT, "savepoint", json_type_boolean},
    {FORMAT, "format", json_type_string},
    {TARGET, "target", json_type_string},
    {LINK_PREVIOUS, "link_previous", json_type_boolean},
    {DRAIN, "drain", json_type_boolean},
};
static const struct {
    const char *word;
    unsigned fields;
} kinds[] = {
    [CRN_ORDER_CHECKPOINT] = {"checkpoint", FULL},
    [CRN_ORDER_SAVEPOINT] = {"savepoint", FORMAT | TARGET | LINK_PREVIOUS},
    [CRN_ORDER_STOP] = {"stop", FORMAT | TARGET | DRAIN},
    [CRN_ORDER_CANCEL] = {"cancel", SAVEPOINT | FORMAT | TARGET},
};

const char *crn_order_word(enum crn_order_kind kind)
{
    return kinds[kind].word;
}

void crn_order_done(struct crn_order *order)
{
    free(order->target);
    *order = (struct crn_order){0};
}

static int take_format(const char *text, cairn_savepoint_format *ret, cairn_error **reterr)
{
    if (strcmp(text, "canonical") == 0)
        *ret = CAIRN_CANONICAL;
    else if (strcmp(text, "native") == 0)
        *ret = CAIRN_NATIVE;
    else
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "field 'format' is '%.*s': it is to be canonical or native", SHOWN,
                            text);
    return 0;
}

static int take_target(const char *text, size_t size, char **ret, cairn_error **reterr)
{
    if (size == 0 || size > ABSOLUTE_MAX || strlen(text) != size)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "field 'target' is to be a store: 1 to %u bytes without zeros; leave "
                            "it out for the job's own",
                            ABSOLUTE_MAX);
    /* A relative path would be the service's, not the client's. */
    if (text[0] != '/' && strchr(text, ':') == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "field 'target' is '%.*s': it is to be a URI or an absolute path",
                            SHOWN, text);
    char *target = crn_str_dup_n(text, size);
    if (target == NULL)
        return crn_err_nomem(reterr);
    free(*ret);
    *ret = target;
    return 0;
}

static int take_field(enum field field, struct json_object *value, struct crn_order *order,
                      cairn_error **reterr)
{
    switch (field) {
    case FULL:
        order->full = json_object_get_boolean(value);
        return 0;
    case SAVEPOINT:
        order->has_savepoint = json_object_get_boolean(value);
        return 0;
    case LINK_PREVIOUS:
        order->link_previous = json_object_get_boolean(value);
        return 0;
    case DRAIN:
        order->drain = json_object_get_boolean(value);
        return 0;
    case FORMAT:
        return take_format(json_object_get_string(value), &order->format, reterr);
    case TARGET:
        return take_target(json_object_get_string(value), (size_t)json_object_get_string_len(value),
                           &order->target, reterr);
    }
    return crn_err_fail(reterr, CAIRN_EINTERNAL, NULL, "unknown field %d", (int)field);
}

static int take_named(const char *name, struct json_object *value, struct crn_order *order,
                      unsigned *ret_given, cairn_error **reterr)
{
    size_t i = 0;
    while (i < CRN_COUNT(fields) && ((kinds[order->kind].fields & fields[i].field) == 0 ||
                                     strcmp(fields[i].name, name) != 0))
        i++;
    if (i == CRN_COUNT(fields))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a %s has no field '%.*s'",
                            kinds[order->kind].word, SHOWN, name);
    if (value == NULL) /* null: as if it were not there */
        return 0;
    if (!json_object_is_type(value, fields[i].type))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "field '%s' is to be %s", name,
                            fields[i].type == json_type_string ? "a text" : "true or false");
    *ret_given |= fields[i].field;
    return take_field(fields[i].field, value, order, reterr);
}

static int read_object(const void *body, size_t size, struct crn_order *order, cairn_error **reterr)
{
    CRN_AUTO_JSON struct json_object *json = NULL;
    CRN_AUTO_FREE char *text = crn_str_dup_n(body, size);
    unsigned given = 0;
    if (text == NULL)
        return crn_err_nomem(reterr);
    int r = crn_json_parse(text, size, CAIRN_EINVAL, &json, reterr);
    if (r < 0)
        crn_err_prefix(reterr, "the body");
    CRN_TRY(r);
    if (!json_object_is_type(json, json_type_object))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the body is to be a JSON object");
    json_object_object_foreach(json, name, value)
        CRN_TRY(take_named(name, value, order, &given, reterr));
    if (!order->has_savepoint && (given & (FORMAT | TARGET)) != 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "fields 'format' and 'target' are of a savepoint: set 'savepoint', "
                            "too");
    return 0;
}

int crn_order_read(enum crn_order_kind kind, const void *body, size_t size, struct crn_order *ret,
                   cairn_error **reterr)
{
    CRN_CLEANUP(crn_order_done) struct crn_order order = {.kind = kind};
    order.has_savepoint = kind == CRN_ORDER_SAVEPOINT || kind == CRN_ORDER_STOP;
    if (size > CRN_BODY_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the body has over %u bytes", CRN_BODY_MAX);
    if (size > 0)
        CRN_TRY(read_object(body, size, &order, reterr));
    *ret = order;
    order = (struct crn_order){0};
    return 0;
}
