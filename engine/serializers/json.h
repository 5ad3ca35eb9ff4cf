/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_SERIALIZERS_JSON_H
#define CRN_ENGINE_SERIALIZERS_JSON_H

#include "base/buffer.h"
#include "base/error.h"
#include <json-c/json.h>

/* What structs and Avro have in common on their way to JSON and back. */

#define CRN_AUTO_JSON CRN_CLEANUP(crn_json_cleanup)
static inline void crn_json_cleanup(struct json_object **json)
{
    json_object_put(*json);
}

/* The whole text is one JSON document, of at most 256 levels; else `code`. It has a zero byte
 * behind its end. */
int crn_json_parse(const char *text, size_t size, int code, struct json_object **ret,
                   cairn_error **reterr);
/* All of these: NULL when out of memory. */
struct json_object *crn_json_of_double(double value);
struct json_object *crn_json_of_bytes(const void *data, size_t size); /* "hex:00ff" */
/* As it stands; in the form of bytes if it is not UTF-8, or looks as if it were in that form. */
struct json_object *crn_json_of_text(const void *data, size_t size);
/* Takes `value` over in any case. */
int crn_json_put(struct json_object *object, const char *key, struct json_object *value);
int crn_json_push(struct json_object *array, struct json_object *value);
/* False: it is something else, or does not fit. */
bool crn_json_to_int64(struct json_object *json, int64_t *ret);
bool crn_json_to_double(struct json_object *json, double *ret);
/* The way back from both forms of strings: appended. CAIRN_EINVAL or CAIRN_ENOMEM. */
int crn_json_to_bytes(struct json_object *json, struct cairn_buffer *out);
int crn_json_to_text(struct json_object *json, struct cairn_buffer *out);

#endif
