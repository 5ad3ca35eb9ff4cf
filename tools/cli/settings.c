/* SPDX-License-Identifier: Apache-2.0 */

/* cairn help settings: what a service's settings are called, as the library itself has them. */

#include "tools/cli/cli.h"

void cli_help_settings(FILE *to)
{
    fputs("Settings of a service that asks for them: in the YAML file that $CAIRN_SETTINGS names, "
          "and over that\n"
          "in the environment. A variable's name is that of the setting in capitals, with CAIRN_ "
          "in front and\n"
          "_ for . and -.\n",
          to);
    for (size_t i = 0; cairn_setting_at(i); i++) {
        const cairn_setting_info *info = cairn_setting_at(i);
        fprintf(to, "\n%s%s%s: %s (default: %s)\n    %s\n    %s\n", cli_style_on(CLI_BOLD),
                info->name, cli_style_off(CLI_BOLD), info->form, info->default_text, info->summary,
                info->variable);
    }
    fputs(
        "\nDurations: 500ms, 10s, 5min, 1h. Sizes: bytes, or 64KiB, 512MiB, 2GiB. 0 means none.\n",
        to);
}
