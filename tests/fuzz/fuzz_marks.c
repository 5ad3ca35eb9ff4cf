/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a mark (P11). What is taken for one is written again identically; and the same bytes
 * with a right checksum, which nobody guesses, get as far as the lines.
 */
#include "base/hash.h"
#include "manifest/marks.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>
#include <string.h>

static void check_at(const char *key, const void *data, size_t size)
{
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_BUFFER struct cairn_buffer again = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = crn_mark_decode(key, data, size, &mark, &error);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION || r == CAIRN_ENOMEM);
    crn_fuzz_must((error != NULL) == (r < 0));
    if (r < 0)
        return;
    crn_fuzz_must(strcmp(key, crn_mark_key(mark.kind)) == 0);
    crn_fuzz_must((mark.job != NULL) == (mark.kind == CRN_MARK_CLAIM));
    crn_fuzz_must(crn_mark_encode(&mark, &again, NULL) == 0);
    crn_fuzz_must(again.size == size && memcmp(again.data, data, size) == 0);
}

static void check(const void *data, size_t size)
{
    check_at(CRN_MARK_CLAIMED, data, size);
    check_at(CRN_MARK_DISPOSING, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer sealed = {0};
    check(data, size);
    if (crn_buf_append(&sealed, data, size) == 0 &&
        crn_buf_printf(&sealed, "checksum %016" PRIx64 "\n", crn_hash64_of(data, size)) == 0)
        check(sealed.data, sealed.size);
    return 0;
}
