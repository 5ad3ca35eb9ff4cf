/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Settings from the environment: a variable for each row of the table. Only those are looked at,
 * since other programs may have CAIRN_ variables of their own. An empty one counts as none, as
 * "CAIRN_STORE= ./service" means it. A program that runs with another user's rights ignores the
 * environment (secure_getenv()).
 */

#include "base/buffer.h"
#include "engine/settings/settings.h"

int cairn_settings_read_environment(cairn_settings *settings, cairn_error **reterr)
{
    CRN_AUTO_SETTINGS cairn_settings *read = NULL;
    if (settings == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "settings is NULL");
    CRN_TRY(cairn_settings_new(&read, reterr));
    for (size_t i = 0; i < crn_settings_count; i++) {
        const cairn_setting_info *info = &crn_settings_table[i].info;
        const char *value = secure_getenv(info->variable);
        if (value == NULL || *value == 0)
            continue;
        int r = cairn_settings_set(read, info->name, value, reterr);
        if (r < 0) {
            crn_err_prefix(reterr, "environment variable %s", info->variable);
            return r;
        }
    }
    crn_settings_merge(settings, read);
    return 0;
}

int cairn_settings_load(const char *path, cairn_settings **ret_settings, cairn_error **reterr)
{
    CRN_AUTO_SETTINGS cairn_settings *settings = NULL;
    if (ret_settings == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "ret_settings is NULL");
    if (path == NULL)
        path = secure_getenv("CAIRN_SETTINGS");
    else if (*path == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the settings file's path is empty");
    CRN_TRY(cairn_settings_new(&settings, reterr));
    if (path != NULL && *path != 0)
        CRN_TRY(cairn_settings_read_file(settings, path, reterr));
    CRN_TRY(cairn_settings_read_environment(settings, reterr));
    *ret_settings = CRN_TAKE(settings);
    return 0;
}
