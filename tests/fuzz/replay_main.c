/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over the files of a directory, as an ordinary test: each as it is, and each
 * cut off in the middle. The target gets an allocation of exactly that size, so that a sanitizer
 * sees a look beyond it.
 */
#include "tests/fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

static void run(const uint8_t *data, size_t size)
{
    CRN_AUTO_FREE uint8_t *copy = malloc(size);
    crn_fuzz_must(copy != NULL || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
}

static int replay(const char *directory, const char *name)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    char path[4096];
    size_t size;
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (crn_file_read_all(path, (size_t)1 << 24, &data, &size, NULL) < 0)
        return 1;
    run(data, size);
    run(data, size / 2);
    printf("ok - %s\n", name);
    return 0;
}

int main(int argc, char **argv)
{
    char **names = NULL;
    size_t count = 0;
    int failed = argc != 2 || crn_file_list_dir(argv[1], &names, &count, NULL) < 0 || count == 0;
    for (size_t i = 0; i < count; i++)
        failed |= replay(argv[1], names[i]);
    printf("1..%zu\n", count);
    crn_file_free_names(names, count);
    return failed;
}
