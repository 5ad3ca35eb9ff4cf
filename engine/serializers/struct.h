/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SERIALIZERS_STRUCT_H
#define CRN_ENGINE_SERIALIZERS_STRUCT_H

#include "engine/serializers/internal.h"

/* Schemas of structs, taken apart. */
#define CRN_STRUCT_FIELDS_MAX 1024u

struct crn_struct_field {
    const char *name;
    cairn_type type;
    const uint8_t *fallback; /* the default; a number's has 8 bytes */
    size_t fallback_size;
};

struct crn_struct_schema {
    size_t count;
    struct crn_struct_field *fields;
    char *names; /* of all fields, each with a zero byte behind it */
    uint8_t *fallbacks;
};

struct crn_struct_serializer {
    cairn_serializer base;
    struct crn_struct_schema schema;
};

/* CAIRN_ECORRUPT: it is no schema. */
int crn_struct_schema_parse(const void *bytes, size_t size, struct crn_struct_schema *ret,
                            cairn_error **reterr);
void crn_struct_schema_done(struct crn_struct_schema *schema);
/* Index of a field, or -1. */
int crn_struct_schema_find(const struct crn_struct_schema *schema, const char *name);

/* One field's bytes in a value, in the field's encoding. */
struct crn_struct_slot {
    const uint8_t *data;
    size_t size;
};
/* Take a value apart into schema->count slots that point into it. false: it is no value. slots may
 * be NULL. */
bool crn_struct_split(const struct crn_struct_schema *schema, const void *data, size_t size,
                      struct crn_struct_slot *slots);
int crn_struct_append_field(struct cairn_buffer *out, cairn_type type, const uint8_t *data,
                            size_t size);

int crn_struct_converter(const cairn_serializer *to, const cairn_schema_info *from,
                         struct crn_converter **ret, cairn_error **reterr);

#endif
