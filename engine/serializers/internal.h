/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SERIALIZERS_INTERNAL_H
#define CRN_ENGINE_SERIALIZERS_INTERNAL_H

#include "engine/serializers/serializer.h"

/* What the kinds of serializers share among themselves. */

struct crn_serializer_ops {
    /* As crn_serializer_compare(); the types are the same, the schemas are not. */
    int (*compare)(const cairn_serializer *serializer, const cairn_schema_info *stored,
                   cairn_compatibility *ret, struct cairn_buffer *why, cairn_error **reterr);
    int (*converter)(const cairn_serializer *to, const cairn_schema_info *from,
                     struct crn_converter **ret, cairn_error **reterr);
    /* Are these bytes a value? NULL: nobody can tell. */
    bool (*is_value)(const cairn_serializer *serializer, const void *data, size_t size);
    void (*free)(cairn_serializer *serializer); /* itself, too; the schema is freed by the caller */
};

/* A kind's own converter begins with this one. */
struct crn_converter {
    int (*convert)(struct crn_converter *converter, const void *data, size_t size,
                   struct cairn_buffer *out, cairn_error **reterr);
    void (*free)(struct crn_converter *converter);
};

/* The base of a new serializer, with one reference; copies name and bytes. */
int crn_serializer_init(cairn_serializer *serializer, const struct crn_serializer_ops *ops,
                        cairn_type type, const cairn_schema_info *schema, cairn_error **reterr);
void crn_serializer_done(cairn_serializer *serializer);
/* The public constructors end with it: the schema that nobody could store is refused. */
int crn_schema_check_size(size_t size, cairn_error **reterr);

/* struct.c */
int crn_struct_of_schema(const cairn_schema_info *schema, cairn_serializer **ret,
                         cairn_error **reterr);
/* avro.c */
int crn_avro_of_schema(const cairn_schema_info *schema, cairn_serializer **ret,
                       cairn_error **reterr);

/* Words for `why`: at most so many bytes of a schema. */
#define CRN_SCHEMA_SHOWN 200u

/* What stands between two fields of a list in words. */
static inline const char *crn_comma(bool first)
{
    return first ? "" : ", ";
}

#endif
