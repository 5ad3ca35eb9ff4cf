/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SERIALIZER_H
#define CRN_ENGINE_SERIALIZER_H

#include "base/buffer.h"
#include "base/error.h"
#include "cairn/inspect.h"
#include <stdatomic.h>

/*
 * Serializers: schemas of values, what may become of them, and converters between them. Bytes are
 * in docs/format.md. Nothing here knows tasks, databases or stores.
 */
struct crn_serializer_ops;
struct cairn_serializer {
    const struct crn_serializer_ops *ops;
    atomic_uint refs;
    cairn_type type;
    cairn_schema_info schema; /* tag 0; owned */
};
cairn_serializer *crn_serializer_retain(const cairn_serializer *serializer);
/* Name, version and bytes; tags are not compared. */
bool crn_schema_is_same(const cairn_schema_info *a, const cairn_schema_info *b);
/* False if these bytes are certainly no value of the serializer's. */
bool crn_serializer_is_value(const cairn_serializer *serializer, const void *data, size_t size);

/* May values of `stored` be read as `serializer` has them? `why` gets words for a person: what
 * changes, or what is in the way, field by field. A negative code: the comparison itself failed. */
int crn_serializer_compare(const cairn_serializer *serializer, cairn_type stored_type,
                           const cairn_schema_info *stored, cairn_compatibility *ret,
                           struct cairn_buffer *why, cairn_error **reterr);

/* From a stored schema to a serializer's. One thread at a time. */
struct crn_converter;
int crn_converter_new(const cairn_serializer *to, const cairn_schema_info *from,
                      struct crn_converter **ret, cairn_error **reterr);
/* Replaces what is in `out`. CAIRN_ECORRUPT: not a value of the stored schema. */
int crn_convert(struct crn_converter *converter, const void *data, size_t size,
                struct cairn_buffer *out, cairn_error **reterr);
void crn_converter_free(struct crn_converter *converter);

#endif
