/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Avro serializers. A schema's bytes are its JSON text, as it was given: what a stored schema says
 * is then what its writer said, documentation and all. Two texts may mean the same; then values are
 * taken as they are, under a tag of their own.
 *
 * Cairn reads and resolves Avro itself. docs/architecture.md says why not the Avro project's C
 * library; the tests compare the two.
 */

#include "engine/serializers/avro.h"
#include <string.h>

struct avro_converter {
    struct crn_converter base;
    cairn_serializer *to;
    struct crn_avro_schema from;
    struct crn_avro_resolution resolution;
};

/* The beginning of a schema's text on one line. */
static int describe(struct cairn_buffer *out, const char *words, const cairn_schema_info *schema)
{
    CRN_TRY(crn_buf_printf(out, "%s", words));
    size_t shown = schema->size > CRN_SCHEMA_SHOWN ? CRN_SCHEMA_SHOWN : schema->size;
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = schema->bytes[i];
        if (c <= ' ' && out->data[out->size - 1] == ' ')
            continue;
        CRN_TRY(crn_buf_append_u8(out, c <= ' ' ? ' ' : c < 0x7f ? c : '?'));
    }
    return shown < schema->size ? crn_buf_printf(out, "...") : 0;
}

static int compare(const cairn_serializer *serializer, const cairn_schema_info *stored,
                   cairn_compatibility *ret, struct cairn_buffer *why, cairn_error **reterr)
{
    const struct crn_avro_serializer *self = (const struct crn_avro_serializer *)serializer;
    CRN_AUTO_BUFFER struct cairn_buffer reason = {0};
    struct crn_avro_schema from;
    struct crn_avro_resolution resolution;
    CRN_TRY(crn_avro_schema_parse(stored->bytes, stored->size, CAIRN_ECORRUPT, &from, reterr));
    int r = crn_avro_resolve(&from, &self->schema, &resolution, &reason, reterr);
    if (r >= 0)
        *ret = r == 0                                         ? CAIRN_INCOMPATIBLE
               : crn_avro_resolution_is_identity(&resolution) ? CAIRN_COMPATIBLE_AS_IS
                                                              : CAIRN_COMPATIBLE_AFTER_MIGRATION;
    crn_avro_resolution_done(&resolution);
    crn_avro_schema_done(&from);
    if (r < 0)
        return r;
    if (describe(why, "stored as ", stored) < 0 ||
        describe(why, ", given as ", &serializer->schema) < 0 ||
        (r == 0 && reason.size > 0 && crn_buf_printf(why, ": %s", (const char *)reason.data) < 0))
        return crn_err_nomem(reterr);
    return 0;
}

static int convert(struct crn_converter *base, const void *data, size_t size,
                   struct cairn_buffer *out, cairn_error **reterr)
{
    struct avro_converter *self = (struct avro_converter *)base;
    int r = crn_avro_convert(self->resolution.root, data, size, out);
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    return r == 0 ? 0
                  : crn_err_fail(reterr, r, NULL,
                                 "%zu bytes are no value of the schema that they were written "
                                 "under",
                                 size);
}

static void free_converter(struct crn_converter *base)
{
    struct avro_converter *self = (struct avro_converter *)base;
    crn_avro_resolution_done(&self->resolution);
    crn_avro_schema_done(&self->from);
    cairn_serializer_release(self->to);
    free(self);
}

static int new_converter(const cairn_serializer *to, const cairn_schema_info *from,
                         struct crn_converter **ret, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer why = {0};
    struct avro_converter *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return crn_err_nomem(reterr);
    self->base = (struct crn_converter){convert, free_converter};
    self->to = crn_serializer_retain(to);
    int r = crn_avro_schema_parse(from->bytes, from->size, CAIRN_ECORRUPT, &self->from, reterr);
    if (r == 0)
        r = crn_avro_resolve(&self->from, &((const struct crn_avro_serializer *)to)->schema,
                             &self->resolution, &why, reterr);
    if (r <= 0) {
        free_converter(&self->base);
        return r < 0 ? r : crn_err_fail(reterr, CAIRN_EMISMATCH, NULL, "%s", (char *)why.data);
    }
    *ret = &self->base;
    return 0;
}

static bool is_value(const cairn_serializer *serializer, const void *data, size_t size)
{
    return crn_avro_is_value(&((const struct crn_avro_serializer *)serializer)->schema, data, size);
}

static void free_avro(cairn_serializer *serializer)
{
    struct crn_avro_serializer *self = (struct crn_avro_serializer *)serializer;
    crn_avro_schema_done(&self->schema);
    free(self);
}

static const struct crn_serializer_ops avro_ops = {
    .compare = compare,
    .converter = new_converter,
    .is_value = is_value,
    .free = free_avro,
};

static int make(const void *text, size_t size, int code, cairn_serializer **ret,
                cairn_error **reterr)
{
    struct crn_avro_serializer *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return crn_err_nomem(reterr);
    int r = crn_avro_schema_parse(text, size, code, &self->schema, reterr);
    if (r == 0) {
        const cairn_schema_info info = {
            .name = crn_avro_node_name(self->schema.root), .bytes = text, .size = size};
        r = crn_serializer_init(&self->base, &avro_ops, CAIRN_AVRO, &info, reterr);
    }
    if (r < 0) {
        crn_avro_schema_done(&self->schema);
        free(self);
        return r;
    }
    *ret = &self->base;
    return 0;
}

int crn_avro_of_schema(const cairn_schema_info *schema, cairn_serializer **ret,
                       cairn_error **reterr)
{
    CRN_TRY(crn_schema_check_size(schema->size, NULL) == 0
                ? 0
                : crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "a schema of %zu bytes is too large",
                               schema->size));
    return make(schema->bytes != NULL ? (const char *)schema->bytes : "", schema->size,
                CAIRN_ECORRUPT, ret, reterr);
}

int cairn_avro_serializer(const char *schema_json, cairn_serializer **ret_serializer,
                          cairn_error **reterr)
{
    if (schema_json == NULL || ret_serializer == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the schema, or the place for the serializer, is NULL");
    size_t size = strlen(schema_json);
    CRN_TRY(crn_schema_check_size(size, reterr));
    return make(schema_json, size, CAIRN_EINVAL, ret_serializer, reterr);
}
