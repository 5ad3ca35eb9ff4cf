/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_SCHEMA_H
#define CAIRN_SCHEMA_H

/*
 * Schemas: values with named fields, values in Avro, and values of a serializer of the caller's, and what
 * may change about them between runs. cairn.h includes this; what it says of errors, NULL and options
 * structs holds here.
 */

#include "cairn/cairn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Serializers: what values of the types CAIRN_STRUCT, CAIRN_AVRO and CAIRN_CUSTOM look like. The snapshot
 * keeps name, version and schema. When a stored state is registered again, the stored schemas are
 * compared with the given one, before anything is changed:
 *
 *   the same                  as is
 *   changed, but compatible   each value that was written under an older schema is converted when it is
 *                             read; what is written has the new one. cairn_task_migrate() converts what is
 *                             left
 *   incompatible              CAIRN_EMISMATCH; the message names the state, both schemas and the field
 *
 * A state's values carry the number of their schema, 1 byte as a rule. Serializers are immutable, shared
 * by any number of states, threads and jobs, and counted: release them when the states are registered. */

/** A field of a struct. */
typedef struct cairn_field {
    const char *name;    /* 1 to 255 bytes of clean UTF-8; each once */
    cairn_type type;     /* CAIRN_BYTES, CAIRN_INT64, CAIRN_DOUBLE or CAIRN_STRING */
    /* What a value has that was written before the field was added; NULL: 0, 0.0 or empty. In the
     * field's encoding: 8 bytes as of cairn_encode_int64() or cairn_encode_double(), else the bytes. */
    const void *default_data;
    size_t default_size;
} cairn_field;
/** A struct of 1 to 1,024 fields. Between runs fields may be added, removed and reordered; they are
 * matched by name. A field that changes its type is incompatible.
 * @param name  of the struct, for people and messages; may change. */
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_serializer(const char *name, const cairn_field *fields,
                                                       size_t count, cairn_serializer **ret_serializer,
                                                       cairn_error **reterr);
/** Values in Avro's binary encoding, written with the schema (JSON text). Between runs it may change as
 * Avro's rules of schema resolution let a reader's schema differ from a writer's, defaults and aliases
 * included. One rule is stricter: every value that the stored schema allows must be readable, whether it
 * is there or not. docs/architecture.md has the table. CAIRN_EINVAL if it is no schema. */
CAIRN_API CAIRN_MUST_CHECK int cairn_avro_serializer(const char *schema_json,
                                                     cairn_serializer **ret_serializer,
                                                     cairn_error **reterr);
/** What a serializer of the caller's says of a stored schema. */
typedef enum cairn_compatibility {
    CAIRN_COMPATIBLE_AS_IS = 0,
    CAIRN_COMPATIBLE_AFTER_MIGRATION = 1,
    CAIRN_INCOMPATIBLE = 2
} cairn_compatibility;
typedef struct cairn_custom_functions {
    uint32_t struct_size;
    /* Compare a stored schema with this one. `why` (empty at the call) takes words for an error. NULL: the
     * same version and schema are compatible as is, anything else is not. A negative code fails the
     * registration. Called at registration, in the task's thread. */
    int (*compare)(void *context, uint32_t stored_version, const void *stored_schema,
                   size_t stored_schema_size, cairn_compatibility *ret, cairn_buffer *why);
    /* Convert a value of a stored schema; `out` is empty at the call. Needed if compare can answer
     * AFTER_MIGRATION. A negative code fails the read. Called in the task's thread. */
    int (*migrate)(void *context, uint32_t stored_version, const void *stored_schema,
                   size_t stored_schema_size, const void *data, size_t size, cairn_buffer *out);
    void *context; /* must stay valid until release was called */
    void (*release)(void *context); /* when the last reference is gone; NULL: nothing to do */
} cairn_custom_functions;
#define CAIRN_CUSTOM_FUNCTIONS_INIT {sizeof(cairn_custom_functions), 0, 0, 0, 0}
/** @param name     stable identity, a name of 1 to 255 bytes: a stored state of another name is incompatible.
 *  @param version  the caller's. @param schema  any bytes up to 1 MiB; may be NULL. */
CAIRN_API CAIRN_MUST_CHECK int cairn_custom_serializer(const char *name, uint32_t version,
                                                       const void *schema, size_t schema_size,
                                                       const cairn_custom_functions *functions,
                                                       cairn_serializer **ret_serializer,
                                                       cairn_error **reterr);
/** NULL is fine. */
CAIRN_API void cairn_serializer_release(cairn_serializer *serializer);

/** Convert all values of a state (NULL: of all registered ones) to their present schema, now; afterwards
 * the older schemas are forgotten. In the task's thread; takes as long as reading and writing the state.
 * @return 0, CAIRN_ENOTFOUND (no such state is registered), or as keyed calls. On failure some values are
 * converted, which does no harm. */
CAIRN_API CAIRN_MUST_CHECK int cairn_task_migrate(cairn_task *task, const char *state_name,
                                                  cairn_error **reterr);

/** A struct in memory: to build values of a struct serializer, and to take them apart. One thread. */
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_new(const cairn_serializer *serializer,
                                                cairn_struct **ret_struct, cairn_error **reterr);
CAIRN_API void cairn_struct_free(cairn_struct *record);
/** All fields back to their defaults. */
CAIRN_API void cairn_struct_reset(cairn_struct *record);
/* By index in the serializer's order; cairn_struct_field() finds it, CAIRN_ENOTFOUND if there is none.
 * CAIRN_EINVAL: no such field, or of another type. Bytes that are got stay valid until the struct is
 * changed. */
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_field(const cairn_struct *record, const char *name);
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_set_int64(cairn_struct *record, int field, int64_t value);
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_set_double(cairn_struct *record, int field, double value);
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_set_bytes(cairn_struct *record, int field,
                                                      const void *data, size_t size);
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_get_int64(const cairn_struct *record, int field,
                                                      int64_t *ret_value);
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_get_double(const cairn_struct *record, int field,
                                                       double *ret_value);
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_get_bytes(const cairn_struct *record, int field,
                                                      const void **ret_data, size_t *ret_size);
/** The value's bytes, for any call that takes a value of the serializer. Valid until the struct changes. */
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_encode(cairn_struct *record, const void **ret_data,
                                                   size_t *ret_size, cairn_error **reterr);
/** Take a value apart, as a getter or an iterator gave it. CAIRN_ECORRUPT: it is none; the struct is
 * then reset. */
CAIRN_API CAIRN_MUST_CHECK int cairn_struct_decode(cairn_struct *record, const void *data, size_t size,
                                                   cairn_error **reterr);

#ifdef __cplusplus
}
#endif
#endif
