/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_TOOLS_CLI_SCREEN_H
#define CAIRN_TOOLS_CLI_SCREEN_H

#include "tools/cli/cli.h"

/* A live view in the terminal. */
bool cli_screen_is_possible(void);
int cli_screen_enter(cairn_error **reterr);
void cli_screen_leave(void);
/* Lines that a frame can have, and their width. */
void cli_screen_size(size_t *ret_lines, size_t *ret_columns);
/* What is printed to stdout between the two is the next frame. */
void cli_screen_begin(void);
void cli_screen_end(void);
/* Wait for a key; 0: none came, or a signal did. */
int cli_screen_key(uint64_t timeout_ms);

#endif
