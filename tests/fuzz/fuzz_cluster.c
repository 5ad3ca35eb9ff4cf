/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a post and as a mail (P11). The input is decoded as it is, and with a frame
 * put around it, since no fuzzer guesses a checksum; under the key that its own first fields say,
 * since no fuzzer guesses a key either. What is accepted must be what our own writer could have
 * written: it encodes, and the result decodes to the same message.
 */
#include "manifest/internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/messages.h"
#include "tests/support/payload.h"

#include <string.h>

/* What its key must be: epoch and number are fields 1 and 2 of a post, and so on. */
static void guess(const uint8_t *data, size_t size, char post[CRN_KEY_MAX], char mail[CRN_KEY_MAX])
{
    struct crn_reader reader = {.data = data, .size = size};
    uint64_t epoch = 1, number = 1, tag, value;
    uint8_t worker[16] = {1};
    while (crn_read_varint(&reader, &tag)) {
        const uint8_t *bytes;
        if (!crn_read_varint(&reader, &value))
            break;
        if (tag == 1 << 3)
            epoch = value;
        else if (tag == 2 << 3 || tag == 3 << 3)
            number = value;
        else if ((tag & 7) == 2 && !crn_read_bytes(&reader, value, &bytes))
            break;
        else if (tag == (2 << 3 | 2) && value == 16)
            memcpy(worker, bytes, 16);
        else if ((tag & 7) != 0 && (tag & 7) != 2)
            break;
    }
    crn_key_post(post, epoch, number);
    crn_key_mail(mail, epoch, worker, number);
}

static void check_post(const char *key, const void *data, size_t size)
{
    CRN_AUTO_POST struct crn_post post = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (crn_post_decode(key, data, size, &post, NULL) < 0)
        return;
    crn_fuzz_must(crn_post_encode(&post, &bytes, NULL) == 0);
    crn_fuzz_must(crn_post_decode(key, bytes.data, bytes.size, &back, NULL) == 0);
    crn_fuzz_must(crn_test_post_difference(&post, &back) == NULL);
}

static void check_mail(const char *key, const void *data, size_t size)
{
    CRN_AUTO_MAIL struct crn_mail mail = {0}, back = {0};
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    if (crn_mail_decode(key, data, size, &mail, NULL) < 0)
        return;
    crn_fuzz_must(crn_mail_encode(&mail, &bytes, NULL) == 0);
    crn_fuzz_must(crn_mail_decode(key, bytes.data, bytes.size, &back, NULL) == 0);
    crn_fuzz_must(crn_test_mail_difference(&mail, &back) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer framed = {0};
    CRN_AUTO_FRAME struct crn_frame opened = {0};
    const struct crn_test_frame frame = crn_test_frame_of(data, size);
    char post[CRN_KEY_MAX], mail[CRN_KEY_MAX];
    crn_test_frame_put(&frame, &framed);
    guess(data, size, post, mail);
    check_post(post, framed.data, framed.size);
    check_mail(mail, framed.data, framed.size);
    if (crn_frame_read("fuzz", data, size, &opened, NULL) < 0)
        return 0;
    guess(opened.payload, opened.payload_size, post, mail);
    check_post(post, data, size);
    check_mail(mail, data, size);
    return 0;
}
