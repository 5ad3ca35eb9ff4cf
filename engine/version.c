/* SPDX-License-Identifier: Apache-2.0 */

/* The version of the library that runs, which may differ from the header's that a program was built
 * with: hence a function. */

#include "cairn/cairn.h"

const char *cairn_version(void)
{
    return CAIRN_VERSION_STRING;
}
