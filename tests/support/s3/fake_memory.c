/* SPDX-License-Identifier: Apache-2.0 */
/* The fake server's objects, in memory. */
#include "tests/support/s3/fake_internal.h"

#include <string.h>

#define MODIFIED_MS 1369353600000 /* all of them: 2013-05-24 */

/* Where the key is, or would be. */
static size_t position(const struct fake *fake, const char *key)
{
    size_t i = 0;
    while (i < fake->object_count && strcmp(fake->objects[i].key, key) < 0)
        i++;
    return i;
}

static struct object *find(struct fake *fake, const char *key)
{
    size_t i = position(fake, key);
    return i < fake->object_count && strcmp(fake->objects[i].key, key) == 0 ? &fake->objects[i]
                                                                            : NULL;
}

bool fake_keep_get(struct fake *fake, const char *key, struct fake_kept *ret)
{
    const struct object *object = find(fake, key);
    if (object == NULL)
        return false;
    ret->modified_ms = MODIFIED_MS;
    fake_must(crn_buf_append(&ret->bytes, object->bytes.data, object->bytes.size) == 0);
    return true;
}

bool fake_keep_put(struct fake *fake, const char *key, const void *data, size_t n)
{
    struct object *object = find(fake, key);
    if (object == NULL) {
        size_t i = position(fake, key);
        fake_must(fake->object_count < FAKE_OBJECTS_MAX);
        memmove(&fake->objects[i + 1], &fake->objects[i],
                (fake->object_count - i) * sizeof *fake->objects);
        fake->object_count++;
        object = &fake->objects[i];
        *object = (struct object){.key = strdup(key)};
        fake_must(object->key != NULL);
    }
    crn_buf_clear(&object->bytes);
    fake_must(crn_buf_append(&object->bytes, data, n) == 0);
    return true;
}

void fake_keep_drop(struct fake *fake, const char *key)
{
    struct object *object = find(fake, key);
    if (object == NULL)
        return;
    size_t i = (size_t)(object - fake->objects);
    free(object->key);
    crn_buf_done(&object->bytes);
    fake->object_count--;
    memmove(object, object + 1, (fake->object_count - i) * sizeof *object);
}

void fake_keep_each(struct fake *fake, fake_each_fn fn, void *context)
{
    for (size_t i = 0; i < fake->object_count; i++)
        if (!fn(context, fake->objects[i].key, fake->objects[i].bytes.size, MODIFIED_MS))
            return;
}

bool fake_keep_is_closed(const struct fake *fake)
{
    (void)fake;
    return false;
}

void fake_keep_done(struct fake *fake)
{
    while (fake->object_count > 0)
        fake_keep_drop(fake, fake->objects[0].key);
}
