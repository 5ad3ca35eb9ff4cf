/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Avro schemas: from JSON text to a tree, by the rules of the Avro 1.11 specification.
 *
 * Names are resolved while parsing, so a tree may lead back into itself: all nodes are in one list,
 * which frees them. The JSON is kept, since names, aliases and defaults stay where they are. What
 * is too large to be worked through in reasonable time is refused: see the limits below. Attributes
 * that the specification does not know, and logical types, are left alone.
 */

#include "engine/serializers/avro.h"
#include "engine/serializers/json.h"
#include "manifest/manifest.h"
#include <ctype.h>
#include <string.h>

#define NAMED_MAX 1024u  /* records, enums and fixed of a schema */
#define FIELDS_MAX 1024u /* also branches of a union */
#define SYMBOLS_MAX 4096u
#define NAME_MAX_BYTES 255u

static const struct crn_avro_node primitives[CRN_AVRO_PRIMITIVES] = {
    {.kind = CRN_AVRO_NULL},  {.kind = CRN_AVRO_BOOLEAN}, {.kind = CRN_AVRO_INT},
    {.kind = CRN_AVRO_LONG},  {.kind = CRN_AVRO_FLOAT},   {.kind = CRN_AVRO_DOUBLE},
    {.kind = CRN_AVRO_BYTES}, {.kind = CRN_AVRO_STRING},
};
static const char *const kind_names[] = {"null",   "boolean", "int",    "long",   "float",
                                         "double", "bytes",   "string", "record", "enum",
                                         "fixed",  "array",   "map",    "union"};

struct parser {
    struct crn_avro_schema *schema;
    int code; /* of an error that is the schema's */
    cairn_error **reterr;
};

static int parse_type(struct parser *parser, struct json_object *json, const char *space,
                      const struct crn_avro_node **ret);

const char *crn_avro_node_name(const struct crn_avro_node *node)
{
    return node->full_name != NULL ? node->full_name : kind_names[node->kind];
}

int crn_avro_find_symbol(const struct crn_avro_node *node, const char *symbol)
{
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->symbols[i], symbol) == 0)
            return (int)i;
    return -1;
}

static void free_node(struct crn_avro_node *node)
{
    if (node->kind == CRN_AVRO_RECORD)
        free(node->fields);
    else if (node->kind == CRN_AVRO_ENUM)
        free(node->symbols);
    else if (node->kind == CRN_AVRO_UNION)
        free(node->branches);
    free(node->full_name);
    free(node);
}

void crn_avro_schema_done(struct crn_avro_schema *schema)
{
    while (schema->nodes != NULL) {
        struct crn_avro_node *node = schema->nodes;
        schema->nodes = node->next;
        free_node(node);
    }
    json_object_put(schema->json);
    *schema = (struct crn_avro_schema){0};
}

static int bad(const struct parser *parser, const char *what, const char *name)
{
    return crn_err_fail(parser->reterr, parser->code, NULL, "no Avro schema: %s%s%s%s", what,
                        name != NULL ? " '" : "", name != NULL ? name : "",
                        name != NULL ? "'" : "");
}

/* [A-Za-z_][A-Za-z0-9_]*, and with `dotted` several of it. */
static bool is_name(const char *text, bool dotted)
{
    bool at_start = true;
    for (; *text != '\0'; text++) {
        bool fits = isalpha((unsigned char)*text) || *text == '_' ||
                    (!at_start && isdigit((unsigned char)*text));
        if (fits)
            at_start = false;
        else if (dotted && *text == '.' && !at_start)
            at_start = true;
        else
            return false;
    }
    return !at_start;
}

/* A text attribute, or NULL if there is none, or one with a zero byte in it. */
static const char *text_of(struct json_object *json)
{
    if (!json_object_is_type(json, json_type_string))
        return NULL;
    const char *text = json_object_get_string(json);
    return strlen(text) == (size_t)json_object_get_string_len(json) ? text : NULL;
}

static const char *attribute(struct json_object *json, const char *name)
{
    return text_of(json_object_object_get(json, name));
}

/* ------------------------------------------------------------------------------------------ *
 * Names
 * ------------------------------------------------------------------------------------------ */

static const struct crn_avro_node *find_named(const struct crn_avro_schema *schema,
                                              const char *full_name)
{
    for (const struct crn_avro_node *node = schema->nodes; node != NULL; node = node->next)
        if (node->full_name != NULL && strcmp(node->full_name, full_name) == 0)
            return node;
    return NULL;
}

/* "name" within the namespace `space` ("": none), as a full name. */
static int qualify(const char *space, const char *name, char **ret, cairn_error **reterr)
{
    bool is_full = space[0] == '\0' || strchr(name, '.') != NULL;
    return crn_str_printf(ret, reterr, "%s%s%s", is_full ? "" : space, is_full ? "" : ".", name);
}

static int find_reference(struct parser *parser, const char *name, const char *space,
                          const struct crn_avro_node **ret)
{
    CRN_AUTO_FREE char *full_name = NULL;
    CRN_TRY(qualify(space, name, &full_name, parser->reterr));
    *ret = find_named(parser->schema, full_name);
    return *ret != NULL ? 0 : bad(parser, "there is no type", full_name);
}

static struct crn_avro_node *add_node(struct parser *parser, enum crn_avro_kind kind)
{
    struct crn_avro_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->kind = kind;
    node->symbol_fallback = -1;
    node->next = parser->schema->nodes;
    parser->schema->nodes = node;
    return node;
}

/* The name of a record, enum or fixed; *ret_space is the namespace of what is in it. */
static int take_name(struct parser *parser, struct json_object *json, const char *space,
                     struct crn_avro_node *node, char **ret_space)
{
    const char *name = attribute(json, "name");
    const char *own_space = attribute(json, "namespace");
    if (name == NULL || !is_name(name, true))
        return bad(parser, "a record, enum or fixed needs a name", NULL);
    if (own_space != NULL && own_space[0] != '\0' && !is_name(own_space, true))
        return bad(parser, "not a namespace:", own_space);
    CRN_AUTO_FREE char *full_name = NULL;
    CRN_TRY(qualify(own_space != NULL ? own_space : space, name, &full_name, parser->reterr));
    for (size_t i = 0; i < sizeof(kind_names) / sizeof(kind_names[0]); i++)
        if (strcmp(full_name, kind_names[i]) == 0)
            return bad(parser, "a type of one's own cannot be named", full_name);
    if (strlen(full_name) > NAME_MAX_BYTES || ++parser->schema->named_count > NAMED_MAX)
        return bad(parser, "a name is too long, or there are too many at", full_name);
    if (find_named(parser->schema, full_name) != NULL)
        return bad(parser, "there are two types", full_name);
    node->full_name = CRN_TAKE(full_name);
    node->aliases = json_object_object_get(json, "aliases");
    const char *dot = strrchr(node->full_name, '.');
    *ret_space = crn_str_dup_n(node->full_name, dot != NULL ? (size_t)(dot - node->full_name) : 0);
    return *ret_space != NULL ? 0 : crn_err_nomem(parser->reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Types
 * ------------------------------------------------------------------------------------------ */

static int parse_field(struct parser *parser, struct json_object *json, const char *space,
                       struct crn_avro_node *record)
{
    struct crn_avro_field *field = &record->fields[record->count];
    struct json_object *type;
    if (!json_object_is_type(json, json_type_object) ||
        (field->name = attribute(json, "name")) == NULL || !is_name(field->name, false))
        return bad(parser, "a field without a name in", record->full_name);
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, field->name) == 0)
            return bad(parser, "there are two fields", field->name);
    if (!json_object_object_get_ex(json, "type", &type))
        return bad(parser, "no type for field", field->name);
    field->has_fallback = json_object_object_get_ex(json, "default", &field->fallback);
    field->aliases = json_object_object_get(json, "aliases");
    CRN_TRY(parse_type(parser, type, space, &field->type));
    record->count++;
    return 0;
}

static int parse_record(struct parser *parser, struct json_object *json, const char *space,
                        const struct crn_avro_node **ret)
{
    CRN_AUTO_FREE char *inner_space = NULL;
    struct crn_avro_node *node = add_node(parser, CRN_AVRO_RECORD);
    if (node == NULL)
        return crn_err_nomem(parser->reterr);
    CRN_TRY(take_name(parser, json, space, node, &inner_space));
    struct json_object *fields = json_object_object_get(json, "fields");
    if (!json_object_is_type(fields, json_type_array) ||
        json_object_array_length(fields) > FIELDS_MAX)
        return bad(parser, "no list of up to 1024 fields in record", node->full_name);
    size_t count = json_object_array_length(fields);
    node->fields = calloc(count + 1, sizeof(*node->fields));
    if (node->fields == NULL)
        return crn_err_nomem(parser->reterr);
    for (size_t i = 0; i < count; i++)
        CRN_TRY(parse_field(parser, json_object_array_get_idx(fields, i), inner_space, node));
    *ret = node;
    return 0;
}

static int parse_enum(struct parser *parser, struct json_object *json, const char *space,
                      const struct crn_avro_node **ret)
{
    CRN_AUTO_FREE char *inner_space = NULL;
    struct json_object *fallback;
    struct crn_avro_node *node = add_node(parser, CRN_AVRO_ENUM);
    if (node == NULL)
        return crn_err_nomem(parser->reterr);
    CRN_TRY(take_name(parser, json, space, node, &inner_space));
    struct json_object *symbols = json_object_object_get(json, "symbols");
    if (!json_object_is_type(symbols, json_type_array) || json_object_array_length(symbols) < 1 ||
        json_object_array_length(symbols) > SYMBOLS_MAX)
        return bad(parser, "no list of 1 to 4096 symbols in enum", node->full_name);
    size_t count = json_object_array_length(symbols);
    node->symbols = calloc(count, sizeof(*node->symbols));
    if (node->symbols == NULL)
        return crn_err_nomem(parser->reterr);
    for (size_t i = 0; i < count; i++) {
        const char *symbol = text_of(json_object_array_get_idx(symbols, i));
        if (symbol == NULL || !is_name(symbol, false) || crn_avro_find_symbol(node, symbol) >= 0)
            return bad(parser, "a symbol that is no name, or there twice, in enum",
                       node->full_name);
        node->symbols[node->count++] = symbol;
    }
    if (json_object_object_get_ex(json, "default", &fallback)) {
        const char *symbol = text_of(fallback);
        node->symbol_fallback = symbol != NULL ? crn_avro_find_symbol(node, symbol) : -1;
        if (node->symbol_fallback < 0)
            return bad(parser, "the default is no symbol of enum", node->full_name);
    }
    *ret = node;
    return 0;
}

static int parse_fixed(struct parser *parser, struct json_object *json, const char *space,
                       const struct crn_avro_node **ret)
{
    CRN_AUTO_FREE char *inner_space = NULL;
    int64_t size;
    struct crn_avro_node *node = add_node(parser, CRN_AVRO_FIXED);
    if (node == NULL)
        return crn_err_nomem(parser->reterr);
    CRN_TRY(take_name(parser, json, space, node, &inner_space));
    if (!crn_json_to_int64(json_object_object_get(json, "size"), &size) || size < 0 ||
        size > (int64_t)CRN_LIMIT_SCHEMA)
        return bad(parser, "no size within 1 MiB of fixed", node->full_name);
    node->size = (size_t)size;
    *ret = node;
    return 0;
}

static int parse_items(struct parser *parser, struct json_object *json, const char *space,
                       enum crn_avro_kind kind, const struct crn_avro_node **ret)
{
    const char *name = kind == CRN_AVRO_ARRAY ? "items" : "values";
    struct json_object *items;
    struct crn_avro_node *node = add_node(parser, kind);
    if (node == NULL)
        return crn_err_nomem(parser->reterr);
    if (!json_object_object_get_ex(json, name, &items))
        return bad(parser, "an array has no items, or a map no values", NULL);
    CRN_TRY(parse_type(parser, items, space, &node->items));
    *ret = node;
    return 0;
}

/* Two branches that a value could not be told by. */
static bool is_same_branch(const struct crn_avro_node *a, const struct crn_avro_node *b)
{
    return a == b || (a->kind == b->kind && a->full_name == NULL);
}

static int parse_union(struct parser *parser, struct json_object *json, const char *space,
                       const struct crn_avro_node **ret)
{
    size_t count = json_object_array_length(json);
    struct crn_avro_node *node = add_node(parser, CRN_AVRO_UNION);
    if (node == NULL)
        return crn_err_nomem(parser->reterr);
    if (count < 1 || count > FIELDS_MAX)
        return bad(parser, "a union has 1 to 1024 branches", NULL);
    node->branches = calloc(count, sizeof(*node->branches));
    if (node->branches == NULL)
        return crn_err_nomem(parser->reterr);
    for (size_t i = 0; i < count; i++) {
        const struct crn_avro_node *branch;
        CRN_TRY(parse_type(parser, json_object_array_get_idx(json, i), space, &branch));
        if (branch->kind == CRN_AVRO_UNION)
            return bad(parser, "a union within a union", NULL);
        for (size_t j = 0; j < i; j++)
            if (is_same_branch(node->branches[j], branch))
                return bad(parser, "a union has two branches", crn_avro_node_name(branch));
        node->branches[node->count++] = branch;
    }
    *ret = node;
    return 0;
}

static int parse_named_type(struct parser *parser, const char *name, const char *space,
                            const struct crn_avro_node **ret)
{
    for (size_t i = 0; i < CRN_AVRO_PRIMITIVES; i++)
        if (strcmp(name, kind_names[i]) == 0) {
            *ret = &primitives[i];
            return 0;
        }
    return find_reference(parser, name, space, ret);
}

/* The depth of JSON bounds that of the recursion. */
static int parse_type(struct parser *parser, struct json_object *json, const char *space,
                      const struct crn_avro_node **ret)
{
    const char *name = text_of(json);
    if (name != NULL)
        return parse_named_type(parser, name, space, ret);
    if (json_object_is_type(json, json_type_array))
        return parse_union(parser, json, space, ret);
    if (!json_object_is_type(json, json_type_object) || (name = attribute(json, "type")) == NULL)
        return bad(parser, "a type is a name, a list of types, or an object with a type", NULL);
    if (strcmp(name, "record") == 0)
        return parse_record(parser, json, space, ret);
    if (strcmp(name, "enum") == 0)
        return parse_enum(parser, json, space, ret);
    if (strcmp(name, "fixed") == 0)
        return parse_fixed(parser, json, space, ret);
    if (strcmp(name, "array") == 0)
        return parse_items(parser, json, space, CRN_AVRO_ARRAY, ret);
    if (strcmp(name, "map") == 0)
        return parse_items(parser, json, space, CRN_AVRO_MAP, ret);
    return parse_named_type(parser, name, space, ret);
}

int crn_avro_schema_parse(const void *text, size_t size, int code, struct crn_avro_schema *ret,
                          cairn_error **reterr)
{
    struct crn_avro_schema schema = {0};
    struct parser parser = {&schema, code, reterr};
    CRN_AUTO_FREE char *copy = crn_str_dup_n(text, size); /* with a zero byte */
    if (copy == NULL)
        return crn_err_nomem(reterr);
    CRN_TRY(crn_json_parse(copy, size, code, &schema.json, reterr));
    int r = parse_type(&parser, schema.json, "", &schema.root);
    if (r < 0) {
        crn_avro_schema_done(&schema);
        return r;
    }
    *ret = schema;
    return 0;
}
