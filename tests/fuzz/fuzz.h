/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_FUZZ_H
#define CRN_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The entry that libFuzzer calls; replay_main.c calls it with the files of a corpus. Aborts if a
 * promise is broken. CONTRIBUTING.md says how to fuzz. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void crn_fuzz_must(bool ok)
{
    if (!ok)
        abort();
}

#endif
