/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STORAGE_S3_XML_H
#define CRN_STORAGE_S3_XML_H

#include "base/buffer.h"
#include "cairn/store.h"
#include <stdbool.h>
#include <stdint.h>

/* The few documents that S3 servers send. Pure; every byte is untrusted. */

/* An error body; also what a 200 may hold in place of its result. Texts are "" where they are
 * absent, and cut where they are too long. */
struct crn_s3_error_body {
    bool is_error;
    char code[64];
    char message[256];
};
/* A body that is no XML at all (HTML of a proxy, say) has is_error false. */
void crn_s3_read_error(const void *data, size_t size, struct crn_s3_error_body *ret);

/* One page of ListObjectsV2. `fn` gets each key whole, in the page's order, and each common prefix
 * with a NULL stat. What it returns ends the reading. */
struct crn_s3_page {
    bool is_truncated;
    struct cairn_buffer token; /* to go on with */
};
int crn_s3_read_list(const void *data, size_t size, cairn_list_fn fn, void *context,
                     struct crn_s3_page *ret, cairn_error **reterr);

/* The first failure of a multi-delete, as the server says it: *ret "" if there is none. */
struct crn_s3_delete_failure {
    char key[1100];
    char code[64];
    char message[256];
};
int crn_s3_read_delete(const void *data, size_t size, struct crn_s3_delete_failure *ret,
                       cairn_error **reterr);

/* The text of one element anywhere, such as UploadId. CAIRN_ECORRUPT if it is absent or empty. */
int crn_s3_read_element(const void *data, size_t size, const char *element,
                        struct cairn_buffer *ret, cairn_error **reterr);

/* Unfinished multipart uploads. */
typedef int (*crn_s3_upload_fn)(void *context, const char *key, const char *upload_id,
                                int64_t initiated_ms);
struct crn_s3_uploads_page {
    bool is_truncated;
    struct cairn_buffer key_marker, id_marker;
};
int crn_s3_read_uploads(const void *data, size_t size, crn_s3_upload_fn fn, void *context,
                        struct crn_s3_uploads_page *ret, cairn_error **reterr);

/* Text as XML has it, for requests. */
int crn_s3_xml_escape(struct cairn_buffer *out, const char *text);
/* "2026-05-21T09:30:00.000Z" as Unix milliseconds; 0: it is no time. */
int64_t crn_s3_parse_time(const char *text);

#endif
