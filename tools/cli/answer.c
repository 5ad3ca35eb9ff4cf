/* SPDX-License-Identifier: Apache-2.0 */

/* Fields of what a running job answers. A newer service may have more of them, an older one fewer:
 * what is not there is nothing, and no verb fails for it. */

#include "tools/cli/service.h"

struct json_object *cli_answer_member(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, name, &member);
    return member;
}

uint64_t cli_answer_u64(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_int) ? json_object_get_uint64(member) : 0;
}

bool cli_answer_bool(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_boolean) && json_object_get_boolean(member);
}

const char *cli_answer_text(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : "";
}

size_t cli_answer_length(struct json_object *object, const char *name)
{
    struct json_object *member = cli_answer_member(object, name);
    return json_object_is_type(member, json_type_array) ? json_object_array_length(member) : 0;
}

struct json_object *cli_answer_item(struct json_object *object, const char *name, size_t i)
{
    return i < cli_answer_length(object, name)
               ? json_object_array_get_idx(cli_answer_member(object, name), i)
               : NULL;
}
