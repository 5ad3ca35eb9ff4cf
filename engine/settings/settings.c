/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The settings object: of each setting in the table the text that was given last, and what it
 * means. A text is judged when it is set, so that a wrong one is told with its place, and applying
 * can only fail for want of a field.
 *
 * Two settings may be two ways to say the same (a token, and the file that has it): setting one
 * unsets the other, so that whatever comes later wins.
 */

#include "base/buffer.h"
#include "engine/settings/settings.h"
#include <string.h>

struct entry {
    char *text;  /* NULL: not set */
    char *token; /* CRN_SETTING_TOKEN_FILE: what the file held */
    uint64_t number;
};

struct cairn_settings {
    struct entry *entries; /* as many as the table has */
};

static void entry_done(struct entry *entry)
{
    free(entry->text);
    free(entry->token);
    *entry = (struct entry){0};
}

int cairn_settings_new(cairn_settings **ret_settings, cairn_error **reterr)
{
    if (ret_settings == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "ret_settings is NULL");
    cairn_settings *settings = calloc(1, sizeof(*settings));
    if (settings != NULL)
        settings->entries = calloc(crn_settings_count, sizeof(*settings->entries));
    if (settings == NULL || settings->entries == NULL) {
        free(settings);
        return crn_err_nomem(reterr);
    }
    *ret_settings = settings;
    return 0;
}

void cairn_settings_free(cairn_settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < crn_settings_count; i++)
        entry_done(&settings->entries[i]);
    free(settings->entries);
    free(settings);
}

static void unset_field(cairn_settings *settings, size_t offset)
{
    for (size_t i = 0; i < crn_settings_count; i++) {
        if (crn_settings_table[i].offset == offset)
            entry_done(&settings->entries[i]);
    }
}

int cairn_settings_set(cairn_settings *settings, const char *name, const char *value,
                       cairn_error **reterr)
{
    size_t i;
    if (settings == NULL || name == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "settings or name is NULL");
    CRN_TRY(crn_settings_find(name, &i, reterr));
    const struct crn_setting *setting = &crn_settings_table[i];
    if (value == NULL) {
        entry_done(&settings->entries[i]);
        return 0;
    }
    CRN_AUTO_FREE char *token = NULL;
    uint64_t number = 0;
    CRN_TRY(crn_setting_parse(setting, value, &number, reterr));
    if (setting->kind == CRN_SETTING_TOKEN_FILE)
        CRN_TRY(crn_setting_read_token(setting, value, &token, reterr));
    char *text = strdup(value);
    if (text == NULL)
        return crn_err_nomem(reterr);
    unset_field(settings, setting->offset);
    settings->entries[i] = (struct entry){.text = text, .token = token, .number = number};
    token = NULL;
    return 0;
}

const char *cairn_settings_get(const cairn_settings *settings, const char *name)
{
    size_t i;
    if (settings == NULL || name == NULL || crn_settings_find(name, &i, NULL) < 0)
        return NULL;
    return settings->entries[i].text;
}

void crn_settings_merge(cairn_settings *settings, cairn_settings *from)
{
    for (size_t i = 0; i < crn_settings_count; i++) {
        if (from->entries[i].text == NULL)
            continue;
        unset_field(settings, crn_settings_table[i].offset);
        settings->entries[i] = from->entries[i];
        from->entries[i] = (struct entry){0};
    }
}

/* --- into options --- */

static int check_options(const cairn_settings *settings, const cairn_job_options *options,
                         cairn_error **reterr)
{
    if (settings == NULL || options == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "settings or options is NULL");
    if (options->struct_size < sizeof(options->struct_size))
        return crn_err_fail(
            reterr, CAIRN_EINVAL, NULL,
            "struct_size of cairn_job_options is %u; initialise it with its _INIT macro",
            options->struct_size);
    for (size_t i = 0; i < crn_settings_count; i++) {
        const struct crn_setting *setting = &crn_settings_table[i];
        if (settings->entries[i].text != NULL &&
            options->struct_size < setting->offset + setting->width)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                "'%s' is set, but this program was built for a version of Cairn "
                                "without it: build it anew, or leave that out",
                                setting->info.name);
    }
    return 0;
}

static const char *text_of(const struct crn_setting *setting, const struct entry *entry)
{
    return setting->kind == CRN_SETTING_TOKEN_FILE ? entry->token : entry->text;
}

static bool is_text(enum crn_setting_kind kind)
{
    return kind == CRN_SETTING_TEXT || kind == CRN_SETTING_TEXT_WORD || kind == CRN_SETTING_TOKEN ||
           kind == CRN_SETTING_TOKEN_FILE;
}

/* The table's bounds are such that every number fits its field. */
static void put(const struct crn_setting *setting, const struct entry *entry,
                cairn_job_options *options)
{
    uint8_t *field = (uint8_t *)options + setting->offset;
    uint64_t number = entry->number;
    uint32_t small = (uint32_t)number;
    uint8_t flag = (uint8_t)number;
    const char *text = text_of(setting, entry);
    if (is_text(setting->kind))
        memcpy(field, &text, sizeof(text));
    else if (setting->width == sizeof(number))
        memcpy(field, &number, sizeof(number));
    else if (setting->width == sizeof(small))
        memcpy(field, &small, sizeof(small));
    else
        memcpy(field, &flag, sizeof(flag));
}

int cairn_settings_apply(const cairn_settings *settings, cairn_job_options *options,
                         cairn_error **reterr)
{
    CRN_TRY(check_options(settings, options, reterr));
    for (size_t i = 0; i < crn_settings_count; i++) {
        if (settings->entries[i].text != NULL)
            put(&crn_settings_table[i], &settings->entries[i], options);
    }
    return 0;
}
