/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a manifest (P11). The input is decoded as it is, and twice more with a frame
 * put around it, since no fuzzer guesses a checksum: without slices and with. What is accepted must
 * be what our own writer could have written: it encodes, and the result decodes to the same record.
 */
#include "manifest/internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"

static void check(const uint8_t *data, size_t size)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL, *back = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (crn_record_decode("fuzz", data, size, &record, NULL) < 0)
        return;
    if (crn_record_encode(record, &bytes, NULL) < 0 ||
        crn_record_decode("fuzz", bytes.data, bytes.size, &back, NULL) < 0 ||
        crn_test_record_difference(record, back) != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer framed = {0};
    struct crn_test_frame frame = crn_test_frame_of(data, size);
    crn_test_frame_put(&frame, &framed);
    check(data, size);
    check(framed.data, framed.size);
    frame.incompatible = CRN_FRAME_SLICES;
    crn_test_frame_put(&frame, &framed);
    check(framed.data, framed.size);
    return 0;
}
