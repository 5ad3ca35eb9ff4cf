/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the answer of an S3 server (P11), by each of the readers. What is refused comes with
 * an error; keys that are taken are texts; a listing that goes on says where.
 */
#include "backends/storage/s3/xml.h"
#include "base/error.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static int take_key(void *context, const char *key, const cairn_object_stat *stat)
{
    crn_fuzz_must(key != NULL);
    (void)stat;
    return ++*(int *)context == 1000 ? 77 : 0;
}

static int take_upload(void *context, const char *key, const char *id, int64_t initiated_ms)
{
    crn_fuzz_must(*key != 0 && *id != 0);
    (void)initiated_ms;
    return ++*(int *)context == 1000 ? 77 : 0;
}

static void check(int r, cairn_error *error)
{
    crn_fuzz_must(r == 0 || r == 77 || r == CAIRN_ECORRUPT || r == CAIRN_ENOMEM);
    crn_fuzz_must((error != NULL) == (r < 0));
    cairn_error_free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crn_s3_error_body body;
    struct crn_s3_delete_failure failure;
    struct crn_s3_page page = {0};
    struct crn_s3_uploads_page uploads = {0};
    CRN_AUTO_BUFFER struct cairn_buffer text = {0};
    cairn_error *error = NULL;
    int count = 0;
    crn_s3_read_error(data, size, &body);
    crn_fuzz_must(body.is_error || body.code[0] == 0);
    int r = crn_s3_read_list(data, size, take_key, &count, &page, &error);
    crn_fuzz_must(r != 0 || !page.is_truncated || strlen((const char *)page.token.data) > 0);
    check(r, error);
    error = NULL;
    r = crn_s3_read_delete(data, size, &failure, &error);
    check(r, error);
    error = NULL;
    r = crn_s3_read_element(data, size, "UploadId", &text, &error);
    crn_fuzz_must(r != 0 || text.size > 1);
    check(r, error);
    error = NULL;
    count = 0;
    r = crn_s3_read_uploads(data, size, take_upload, &count, &uploads, &error);
    check(r, error);
    crn_buf_done(&page.token);
    crn_buf_done(&uploads.key_marker);
    crn_buf_done(&uploads.id_marker);
    return 0;
}
