/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a settings file (P11). It is refused with a message of one line, and then
 * nothing is set; or what it sets, written in the plainest form, sets the same, and can be applied.
 * Files that name a token's file are left out: what that holds is not the input's.
 */
#include "base/buffer.h"
#include "base/text.h"
#include "engine/settings/settings.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_refused(const cairn_settings *settings, int r, const cairn_error *error)
{
    const char *message = cairn_error_message(error);
    crn_fuzz_must(r == CAIRN_EINVAL && *message != 0);
    crn_fuzz_must(crn_text_is_clean(message, strlen(message)));
    for (size_t i = 0; i < crn_settings_count; i++)
        crn_fuzz_must(cairn_settings_get(settings, cairn_setting_at(i)->name) == NULL);
}

/* "name": "value", with what means something in double quotes escaped. */
static void write_plainly(struct cairn_buffer *out, const char *name, const char *value)
{
    crn_fuzz_must(crn_buf_printf(out, "%s: \"", name) == 0);
    for (const char *p = value; *p != 0; p++)
        crn_fuzz_must(crn_buf_printf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p) == 0);
    crn_fuzz_must(crn_buf_printf(out, "\"\n") == 0);
}

static void check_taken(const cairn_settings *settings)
{
    CRN_AUTO_SETTINGS cairn_settings *again = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT, options_again = CAIRN_JOB_OPTIONS_INIT;
    crn_fuzz_must(cairn_settings_new(&again, NULL) == 0 && crn_buf_reserve(&text, 1) == 0);
    for (size_t i = 0; i < crn_settings_count; i++) {
        const char *name = cairn_setting_at(i)->name, *value = cairn_settings_get(settings, name);
        if (value != NULL)
            write_plainly(&text, name, value);
    }
    crn_fuzz_must(crn_settings_read_text(again, "again", text.data, text.size, NULL) == 0);
    for (size_t i = 0; i < crn_settings_count; i++) {
        const char *name = cairn_setting_at(i)->name;
        const char *a = cairn_settings_get(settings, name), *b = cairn_settings_get(again, name);
        crn_fuzz_must((a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0));
    }
    crn_fuzz_must(cairn_settings_apply(settings, &options, NULL) == 0);
    crn_fuzz_must(cairn_settings_apply(again, &options_again, NULL) == 0);
    crn_fuzz_must(options.checkpoint_interval_ms == options_again.checkpoint_interval_ms &&
                  options.tolerable_failures == options_again.tolerable_failures &&
                  (options.store_uri == NULL) == (options_again.store_uri == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_SETTINGS cairn_settings *settings = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    static const char secret[] = "token-file";
    if (size > CRN_SETTINGS_MAX_FILE_BYTES ||
        (size > 0 && memmem(data, size, secret, strlen(secret)) != NULL))
        return 0;
    crn_fuzz_must(cairn_settings_new(&settings, NULL) == 0);
    int r = crn_settings_read_text(settings, "file", data, size, &error);
    if (r < 0)
        check_refused(settings, r, error);
    else
        check_taken(settings);
    return 0;
}
