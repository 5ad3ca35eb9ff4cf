/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's options as texts, each under the name that it has as a setting and in the form in which
 * it could be set. They are made once, when the job is opened: texts among the options are the
 * caller's, and may go after that. Secrets are left out.
 */
#include "engine/status/options.h"

#include "engine/settings/settings.h"

#include <inttypes.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {{"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
    {"GiB", (uint64_t)1 << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"", 1}};

/* In the largest unit that shows it exactly; the last one always does. */
static int in_unit(uint64_t value, const struct unit *units, size_t count, char **ret)
{
    size_t i = 0;
    while (i + 1 < count && value % units[i].factor != 0)
        i++;
    return crn_str_printf(ret, NULL, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

static uint64_t read_number(const struct crn_setting *setting, const cairn_job_options *options)
{
    const uint8_t *field = (const uint8_t *)options + setting->offset;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;
    switch (setting->width) {
    case sizeof u8:
        return memcpy(&u8, field, sizeof u8), u8;
    case sizeof u32:
        return memcpy(&u32, field, sizeof u32), u32;
    default:
        return memcpy(&u64, field, sizeof u64), u64;
    }
}

static const char *find_word(const struct crn_setting *setting, uint64_t value)
{
    for (const struct crn_setting_word *w = setting->words; w != NULL && w->word != NULL; w++)
        if (w->number == value)
            return w->word;
    return NULL;
}

static int number_text(const struct crn_setting *setting, const cairn_job_options *options,
                       char **ret)
{
    uint64_t value = read_number(setting, options);
    const char *word = find_word(setting, value);
    if (word != NULL)
        return crn_str_printf(ret, NULL, "%s", word);
    if (value == 0) /* the default; a 0 of the caller's is another number, or no other thing */
        return crn_str_printf(ret, NULL, "%s", setting->info.default_text);
    if (setting->zero != 0 && value == setting->zero)
        return crn_str_printf(ret, NULL, "0");
    switch (setting->kind) {
    case CRN_SETTING_TRUTH:
        return crn_str_printf(ret, NULL, "true");
    case CRN_SETTING_DURATION:
        return in_unit(value, durations, CRN_COUNT(durations), ret);
    case CRN_SETTING_SIZE:
        return in_unit(value, sizes, CRN_COUNT(sizes), ret);
    default:
        return crn_str_printf(ret, NULL, "%" PRIu64, value);
    }
}

static int text_value(const struct crn_setting *setting, const cairn_job_options *options,
                      char **ret)
{
    const char *text = NULL;
    memcpy(&text, (const uint8_t *)options + setting->offset, sizeof text);
    if (text == NULL)
        return crn_str_printf(ret, NULL, "%s", setting->info.default_text);
    return crn_str_printf(ret, NULL, "%s", text);
}

int crn_status_options_new(const cairn_job_options *options, struct crn_status_option **ret,
                           size_t *ret_count)
{
    *ret_count = 0;
    *ret = calloc(crn_settings_count, sizeof(**ret));
    if (*ret == NULL)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < crn_settings_count; i++) {
        const struct crn_setting *setting = &crn_settings_table[i];
        char *value = NULL;
        if (setting->kind == CRN_SETTING_TOKEN || setting->kind == CRN_SETTING_TOKEN_FILE)
            continue;
        bool is_text = setting->kind == CRN_SETTING_TEXT || setting->kind == CRN_SETTING_TEXT_WORD;
        int r =
            is_text ? text_value(setting, options, &value) : number_text(setting, options, &value);
        if (r < 0) {
            crn_status_options_free(*ret, *ret_count);
            *ret = NULL;
            return CAIRN_ENOMEM;
        }
        (*ret)[(*ret_count)++] = (struct crn_status_option){setting->info.name, value};
    }
    return 0;
}

int crn_status_options_copy(const struct crn_status_option *from, size_t count,
                            struct crn_status_option **ret)
{
    *ret = calloc(count + 1, sizeof(**ret));
    if (*ret == NULL)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        char *value = crn_str_dup_n(from[i].value, strlen(from[i].value));
        if (value == NULL) {
            crn_status_options_free(*ret, i);
            *ret = NULL;
            return CAIRN_ENOMEM;
        }
        (*ret)[i] = (struct crn_status_option){from[i].name, value};
    }
    return 0;
}

void crn_status_options_free(struct crn_status_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(options[i].value);
    free(options);
}
