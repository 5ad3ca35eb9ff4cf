/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_FUZZ_H
#define CRN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The entry that libFuzzer calls; replay_main.c calls it with the files of a corpus. Aborts if a
 * promise is broken. To fuzz: clang -fsanitize=fuzzer,address,undefined instead of replay_main.c.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
