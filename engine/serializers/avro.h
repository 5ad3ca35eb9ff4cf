/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SERIALIZERS_AVRO_H
#define CRN_ENGINE_SERIALIZERS_AVRO_H

#include "engine/serializers/internal.h"
#include <json-c/json.h>

/* Avro: schemas as trees, a walk over values, resolution of one schema against another. */

enum crn_avro_kind {
    CRN_AVRO_NULL,
    CRN_AVRO_BOOLEAN,
    CRN_AVRO_INT,
    CRN_AVRO_LONG,
    CRN_AVRO_FLOAT,
    CRN_AVRO_DOUBLE,
    CRN_AVRO_BYTES,
    CRN_AVRO_STRING,
    CRN_AVRO_PRIMITIVES, /* how many the kinds above are */
    CRN_AVRO_RECORD = CRN_AVRO_PRIMITIVES,
    CRN_AVRO_ENUM,
    CRN_AVRO_FIXED,
    CRN_AVRO_ARRAY,
    CRN_AVRO_MAP,
    CRN_AVRO_UNION
};

struct crn_avro_node;

struct crn_avro_field {
    const char *name;
    const struct crn_avro_node *type;
    bool has_fallback;
    struct json_object *fallback; /* a default of null is NULL */
    struct json_object *aliases;  /* NULL: none */
};

/* One type of a schema. Primitive ones are shared by all schemas. Texts belong to the JSON. */
struct crn_avro_node {
    enum crn_avro_kind kind;
    char *full_name; /* of records, enums and fixed; else NULL */
    struct json_object *aliases;
    size_t count; /* of the part that the kind has */
    union {
        struct crn_avro_field *fields;         /* record */
        const char **symbols;                  /* enum */
        const struct crn_avro_node **branches; /* union */
        size_t size;                           /* fixed */
        const struct crn_avro_node *items;     /* array, map */
    };
    int symbol_fallback;        /* enum: index of the default symbol, or -1 */
    struct crn_avro_node *next; /* in the schema's list of all */
};

struct crn_avro_schema {
    struct json_object *json;
    const struct crn_avro_node *root;
    struct crn_avro_node *nodes;
    size_t named_count;
};

struct crn_avro_serializer {
    cairn_serializer base;
    struct crn_avro_schema schema;
};

/* avro_schema.c. `code` is the error if the text is no schema. */
int crn_avro_schema_parse(const void *text, size_t size, int code, struct crn_avro_schema *ret,
                          cairn_error **reterr);
void crn_avro_schema_done(struct crn_avro_schema *schema);
/* What a union calls its branch: the full name, or the kind's. */
const char *crn_avro_node_name(const struct crn_avro_node *node);
int crn_avro_find_symbol(const struct crn_avro_node *node, const char *symbol); /* or -1 */

/* avro_data.c. A position in a value. Depth, and the number of steps for so many bytes, are
 * limited, so that no value can keep its reader busy. Every function returns false for what is no
 * value. */
#define CRN_AVRO_DEPTH_MAX 128u
struct crn_avro_cursor {
    struct crn_reader in;
    uint64_t steps_left;
    unsigned depth;
};
void crn_avro_cursor_init(struct crn_avro_cursor *cursor, const void *data, size_t size);
bool crn_avro_enter(struct crn_avro_cursor *cursor);
static inline void crn_avro_leave(struct crn_avro_cursor *cursor)
{
    cursor->depth--;
}
bool crn_avro_read_long(struct crn_avro_cursor *cursor, int64_t *ret);
/* An index below `count`, of a branch or symbol. */
bool crn_avro_read_index(struct crn_avro_cursor *cursor, size_t count, size_t *ret);
bool crn_avro_read_bytes(struct crn_avro_cursor *cursor, const uint8_t **ret, size_t *ret_size);
bool crn_avro_read_fixed(struct crn_avro_cursor *cursor, size_t size, const uint8_t **ret);
/* Number of items of the next block of an array or map; 0: it has ended. */
bool crn_avro_read_block(struct crn_avro_cursor *cursor, uint64_t *ret_count);
bool crn_avro_skip(struct crn_avro_cursor *cursor, const struct crn_avro_node *node);
bool crn_avro_is_value(const struct crn_avro_schema *schema, const void *data, size_t size);
int crn_avro_append_long(struct cairn_buffer *out, int64_t value);
int crn_avro_append_bytes(struct cairn_buffer *out, const void *data, size_t size);
int crn_avro_append_float(struct cairn_buffer *out, float value);
int crn_avro_append_double(struct cairn_buffer *out, double value);
float crn_avro_float(const uint8_t *bytes);
double crn_avro_double(const uint8_t *bytes);

/* avro_json.c. A value as JSON, in Avro's own JSON encoding but for bytes; or as the default of a
 * field. CAIRN_EINVAL: it does not fit. */
int crn_avro_encode_json(const struct crn_avro_node *node, struct json_object *json,
                         bool is_default, struct cairn_buffer *out, cairn_error **reterr);
/* NULL in *ret is JSON's null. CAIRN_ECORRUPT: the bytes are no value. */
int crn_avro_decode_json(const struct crn_avro_schema *schema, const void *data, size_t size,
                         struct json_object **ret, cairn_error **reterr);

/* avro_resolve.c, avro_convert.c: how values of one schema become values of another. */
enum crn_avro_op {
    CRN_AVRO_COPY,   /* the bytes are the same */
    CRN_AVRO_WIDEN,  /* a number to float or double */
    CRN_AVRO_FIELDS, /* record */
    CRN_AVRO_SYMBOL, /* enum */
    CRN_AVRO_ITEMS,  /* array, map */
    CRN_AVRO_FROM_BRANCH,
    CRN_AVRO_TO_BRANCH
};

struct crn_avro_plan {
    enum crn_avro_op op;
    enum { CRN_AVRO_BUILDING, CRN_AVRO_READY, CRN_AVRO_FAILED, CRN_AVRO_FORGOTTEN } state;
    const struct crn_avro_node *from, *to;
    struct crn_avro_plan **parts; /* of each field or branch of `from`, NULL: skipped; else one */
    int *index;     /* of each field of `to`: the one in `from`, or -1; of each symbol of `from` */
    size_t branch;  /* TO_BRANCH */
    bool is_sorted; /* FIELDS: no field has to be looked for further back */
    struct cairn_buffer *fallbacks; /* of each field of `to` */
    struct crn_avro_plan *next;     /* in the list of all */
};

struct crn_avro_resolution {
    struct crn_avro_plan *root;
    struct crn_avro_plan *plans;
};

/* 1: resolved; 0: incompatible, and `why` says where; or an error. */
int crn_avro_resolve(const struct crn_avro_schema *from, const struct crn_avro_schema *to,
                     struct crn_avro_resolution *ret, struct cairn_buffer *why,
                     cairn_error **reterr);
void crn_avro_resolution_done(struct crn_avro_resolution *resolution);
/* Would it copy every value as it stands? */
bool crn_avro_resolution_is_identity(const struct crn_avro_resolution *resolution);
/* 0, CAIRN_ECORRUPT or CAIRN_ENOMEM. */
int crn_avro_convert(const struct crn_avro_plan *root, const void *data, size_t size,
                     struct cairn_buffer *out);

#endif
