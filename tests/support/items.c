/* SPDX-License-Identifier: Apache-2.0 */

/* A struct that changes from run to run, for tests of schemas. */

#include "tests/support/items.h"

#include "tests/support/keyed_task.h"
#include <string.h>

static const cairn_field v1_fields[] = {{"id", CAIRN_INT64, NULL, 0},
                                        {"name", CAIRN_STRING, NULL, 0}};
static const cairn_field v2_fields[] = {
    {"name", CAIRN_STRING, NULL, 0}, {"tag", CAIRN_STRING, "new", 3}, {"id", CAIRN_INT64, NULL, 0}};
static const cairn_field v3_fields[] = {{"id", CAIRN_INT64, NULL, 0},
                                        {"tag", CAIRN_STRING, "newer", 5}};
static const cairn_field bad_fields[] = {{"id", CAIRN_DOUBLE, NULL, 0}};

cairn_serializer *item_version(int version)
{
    cairn_serializer *made;
    MUST(version == 1   ? cairn_struct_serializer("item", v1_fields, 2, &made, ERR)
         : version == 2 ? cairn_struct_serializer("item", v2_fields, 3, &made, ERR)
         : version == 3 ? cairn_struct_serializer("item", v3_fields, 2, &made, ERR)
                        : cairn_struct_serializer("item", bad_fields, 1, &made, ERR));
    return made;
}

void item_encode(const cairn_serializer *serializer, int64_t id, const char *name,
                 cairn_buffer *out)
{
    cairn_struct *record;
    const void *data;
    size_t size;
    MUST(cairn_struct_new(serializer, &record, ERR));
    MUST(cairn_struct_set_int64(record, cairn_struct_field(record, "id"), id));
    int field = cairn_struct_field(record, "name");
    if (field >= 0 && name != NULL)
        MUST(cairn_struct_set_bytes(record, field, name, strlen(name)));
    MUST(cairn_struct_encode(record, &data, &size, ERR));
    MUST(cairn_buffer_append(out, data, size));
    cairn_struct_free(record);
}

int64_t item_id(const cairn_serializer *serializer, const void *data, size_t size)
{
    cairn_struct *record;
    int64_t id;
    MUST(cairn_struct_new(serializer, &record, ERR));
    MUST(cairn_struct_decode(record, data, size, ERR));
    MUST(cairn_struct_get_int64(record, cairn_struct_field(record, "id"), &id));
    cairn_struct_free(record);
    return id;
}
