/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Serializers of the caller's. Cairn knows a name, a version and schema bytes of it, and asks its
 * functions what a stored schema is to it; what values look like is the caller's alone. The
 * functions run in the thread of the task that registers or reads, and what they return is not
 * trusted: a number that is no answer is CAIRN_EINVAL.
 */

#include "engine/serializers/internal.h"
#include "base/text.h"
#include "engine/options.h"
#include <string.h>

struct custom {
    cairn_serializer base;
    cairn_custom_functions functions;
};

struct custom_converter {
    struct crn_converter base;
    struct custom *to;
    uint32_t version;
    size_t schema_size;
    uint8_t *schema;
};

static int call_failed(const struct custom *custom, const char *which, int code,
                       cairn_error **reterr)
{
    return crn_err_fail(reterr, code > 0 ? CAIRN_EINVAL : code, NULL,
                        "serializer '%s': the %s function returned %d", custom->base.schema.name,
                        which, code);
}

/* The caller's words may be anything; a message is one line of clean text. */
static void clean_words(struct cairn_buffer *words, size_t from)
{
    if (words->size > from + CRN_SCHEMA_SHOWN)
        words->size = from + CRN_SCHEMA_SHOWN;
    for (size_t i = from; i < words->size; i++)
        if (words->data[i] < 0x20 || words->data[i] >= 0x7f)
            words->data[i] = '?';
    if (words->data != NULL)
        words->data[words->size] = 0;
}

static int ask(const struct custom *custom, const cairn_schema_info *stored,
               cairn_compatibility *ret, struct cairn_buffer *why, cairn_error **reterr)
{
    cairn_compatibility answer = CAIRN_INCOMPATIBLE;
    CRN_AUTO_BUFFER struct cairn_buffer words = {0};
    int r = custom->functions.compare(custom->functions.context, stored->version, stored->bytes,
                                      stored->size, &answer, &words);
    if (r != 0)
        return call_failed(custom, "compare", r, reterr);
    if ((unsigned)answer > CAIRN_INCOMPATIBLE)
        return call_failed(custom, "compare", (int)answer, reterr);
    if (answer == CAIRN_COMPATIBLE_AFTER_MIGRATION && custom->functions.migrate == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "serializer '%s': values are to be migrated, but there is no migrate "
                            "function",
                            custom->base.schema.name);
    clean_words(&words, 0);
    *ret = answer;
    if (words.size > 0 && crn_buf_printf(why, ": %s", (const char *)words.data) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int compare(const cairn_serializer *serializer, const cairn_schema_info *stored,
                   cairn_compatibility *ret, struct cairn_buffer *why, cairn_error **reterr)
{
    const struct custom *custom = (const struct custom *)serializer;
    const cairn_schema_info *mine = &serializer->schema;
    if (crn_buf_printf(why, "stored by '%s' version %u, given '%s' version %u", stored->name,
                       stored->version, mine->name, mine->version) < 0)
        return crn_err_nomem(reterr);
    *ret = CAIRN_INCOMPATIBLE;
    if (strcmp(stored->name, mine->name) != 0)
        return 0;
    if (custom->functions.compare != NULL)
        return ask(custom, stored, ret, why, reterr);
    if (crn_schema_is_same(stored, mine))
        *ret = CAIRN_COMPATIBLE_AS_IS;
    return 0;
}

static int convert(struct crn_converter *base, const void *data, size_t size,
                   struct cairn_buffer *out, cairn_error **reterr)
{
    struct custom_converter *converter = (struct custom_converter *)base;
    const cairn_custom_functions *functions = &converter->to->functions;
    int r = functions->migrate(functions->context, converter->version, converter->schema,
                               converter->schema_size, data, size, out);
    return r == 0 ? 0 : call_failed(converter->to, "migrate", r, reterr);
}

static void free_converter(struct crn_converter *base)
{
    struct custom_converter *converter = (struct custom_converter *)base;
    cairn_serializer_release(&converter->to->base);
    free(converter->schema);
    free(converter);
}

static int new_converter(const cairn_serializer *to, const cairn_schema_info *from,
                         struct crn_converter **ret, cairn_error **reterr)
{
    const struct custom *custom = (const struct custom *)to;
    if (custom->functions.migrate == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "serializer '%s' has no migrate function",
                            to->schema.name);
    struct custom_converter *converter = calloc(1, sizeof(*converter));
    uint8_t *schema = malloc(from->size + 1);
    if (converter == NULL || schema == NULL) {
        free(converter);
        free(schema);
        return crn_err_nomem(reterr);
    }
    if (from->size > 0)
        memcpy(schema, from->bytes, from->size);
    converter->base = (struct crn_converter){convert, free_converter};
    converter->to = (struct custom *)crn_serializer_retain(to);
    converter->version = from->version;
    converter->schema = schema;
    converter->schema_size = from->size;
    *ret = &converter->base;
    return 0;
}

static void free_custom(cairn_serializer *serializer)
{
    struct custom *custom = (struct custom *)serializer;
    if (custom->functions.release != NULL)
        custom->functions.release(custom->functions.context);
    free(custom);
}

static const struct crn_serializer_ops custom_ops = {
    .compare = compare,
    .converter = new_converter,
    .free = free_custom,
};

int cairn_custom_serializer(const char *name, uint32_t version, const void *schema,
                            size_t schema_size, const cairn_custom_functions *functions,
                            cairn_serializer **ret_serializer, cairn_error **reterr)
{
    cairn_custom_functions settled;
    if (ret_serializer == NULL || (schema == NULL && schema_size > 0))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "the schema, or the place for the serializer, is NULL");
    if (!crn_text_is_name(name))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "a serializer's name has 1 to 255 bytes of UTF-8 without control "
                            "characters");
    CRN_TRY(crn_schema_check_size(schema_size, reterr));
    CRN_TRY(crn_options_in(&settled, sizeof(settled), functions, "cairn_custom_functions", reterr));
    struct custom *custom = calloc(1, sizeof(*custom));
    if (custom == NULL)
        return crn_err_nomem(reterr);
    const cairn_schema_info info = {
        .name = name, .version = version, .bytes = schema, .size = schema_size};
    int r = crn_serializer_init(&custom->base, &custom_ops, CAIRN_CUSTOM, &info, reterr);
    if (r < 0) {
        free(custom);
        return r;
    }
    custom->functions = settled;
    *ret_serializer = &custom->base;
    return 0;
}
