/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Serializers: what the three kinds have in common. A serializer is a schema with functions; it
 * never changes once it is made, so any number of threads share one, and the last reference frees
 * it. A converter holds a reference to the serializer that it converts to, and belongs to one
 * thread.
 *
 * Whether a stored schema is the same is decided here, on bytes, before a kind is asked what may
 * become of it. Schemas and values come from stores: every kind checks every byte (P11).
 */

#include "engine/serializers/internal.h"
#include "manifest/manifest.h"
#include <string.h>

int crn_schema_check_size(size_t size, cairn_error **reterr)
{
    return size <= CRN_LIMIT_SCHEMA
               ? 0
               : crn_err_fail(reterr, CAIRN_EINVAL, NULL, "a schema has at most %u bytes, not %zu",
                              CRN_LIMIT_SCHEMA, size);
}

int crn_serializer_init(cairn_serializer *serializer, const struct crn_serializer_ops *ops,
                        cairn_type type, const cairn_schema_info *schema, cairn_error **reterr)
{
    char *name = crn_str_dup_n(schema->name, strlen(schema->name));
    uint8_t *bytes = malloc(schema->size + 1);
    if (name == NULL || bytes == NULL) {
        free(name);
        free(bytes);
        return crn_err_nomem(reterr);
    }
    if (schema->size > 0)
        memcpy(bytes, schema->bytes, schema->size);
    bytes[schema->size] = 0;
    serializer->ops = ops;
    atomic_init(&serializer->refs, 1);
    serializer->type = type;
    serializer->schema = (cairn_schema_info){
        .name = name, .version = schema->version, .bytes = bytes, .size = schema->size};
    return 0;
}

void crn_serializer_done(cairn_serializer *serializer)
{
    free((void *)(uintptr_t)serializer->schema.name);
    free((void *)(uintptr_t)serializer->schema.bytes);
}

cairn_serializer *crn_serializer_retain(const cairn_serializer *serializer)
{
    cairn_serializer *shared = (cairn_serializer *)(uintptr_t)serializer;
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void cairn_serializer_release(cairn_serializer *serializer)
{
    if (serializer == NULL ||
        atomic_fetch_sub_explicit(&serializer->refs, 1, memory_order_acq_rel) != 1)
        return;
    crn_serializer_done(serializer);
    serializer->ops->free(serializer);
}

bool crn_schema_is_same(const cairn_schema_info *a, const cairn_schema_info *b)
{
    return a->version == b->version && a->size == b->size && strcmp(a->name, b->name) == 0 &&
           (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

int crn_serializer_compare(const cairn_serializer *serializer, cairn_type stored_type,
                           const cairn_schema_info *stored, cairn_compatibility *ret,
                           struct cairn_buffer *why, cairn_error **reterr)
{
    crn_buf_clear(why);
    if (stored_type != serializer->type) {
        *ret = CAIRN_INCOMPATIBLE;
        return crn_buf_printf(why, "another type of values") < 0 ? crn_err_nomem(reterr) : 0;
    }
    return serializer->ops->compare(serializer, stored, ret, why, reterr);
}

bool crn_serializer_is_value(const cairn_serializer *serializer, const void *data, size_t size)
{
    return serializer->ops->is_value == NULL || serializer->ops->is_value(serializer, data, size);
}

int crn_converter_new(const cairn_serializer *to, const cairn_schema_info *from,
                      struct crn_converter **ret, cairn_error **reterr)
{
    return to->ops->converter(to, from, ret, reterr);
}

int crn_convert(struct crn_converter *converter, const void *data, size_t size,
                struct cairn_buffer *out, cairn_error **reterr)
{
    crn_buf_clear(out);
    return converter->convert(converter, data, size, out, reterr);
}

void crn_converter_free(struct crn_converter *converter)
{
    if (converter != NULL)
        converter->free(converter);
}

int cairn_serializer_of_schema(cairn_type type, const cairn_schema_info *schema,
                               cairn_serializer **ret_serializer, cairn_error **reterr)
{
    if (schema == NULL || ret_serializer == NULL || (schema->bytes == NULL && schema->size > 0))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the schema, or its place, is NULL");
    if (type == CAIRN_STRUCT)
        return crn_struct_of_schema(schema, ret_serializer, reterr);
    if (type == CAIRN_AVRO)
        return crn_avro_of_schema(schema, ret_serializer, reterr);
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "only schemas of structs and of Avro describe a serializer");
}

static void release(cairn_serializer **serializer)
{
    cairn_serializer_release(*serializer);
}

static void free_converter(struct crn_converter **converter)
{
    crn_converter_free(*converter);
}

int cairn_value_convert(cairn_type type, const cairn_schema_info *from, const cairn_schema_info *to,
                        const void *data, size_t size, void **ret_data, size_t *ret_size,
                        cairn_error **reterr)
{
    CRN_CLEANUP(release) cairn_serializer *serializer = NULL;
    CRN_CLEANUP(free_converter) struct crn_converter *converter = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    if (from == NULL || (from->bytes == NULL && from->size > 0) || (data == NULL && size > 0) ||
        ret_data == NULL || ret_size == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a schema, the value, or the place for the result is NULL");
    CRN_TRY(cairn_serializer_of_schema(type, to, &serializer, reterr));
    CRN_TRY(crn_converter_new(serializer, from, &converter, reterr));
    CRN_TRY(crn_convert(converter, data, size, &out, reterr));
    if (crn_buf_reserve(&out, 0) < 0) /* an empty value is not NULL */
        return crn_err_nomem(reterr);
    *ret_size = out.size;
    *ret_data = CRN_TAKE(out.data);
    return 0;
}
