/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_bucket URI...: makes the buckets of stores, for servers that tests have just started. A
 * server that is not ready yet is waited for, as the requests of any store are repeated.
 */
#include "backends/storage/s3/http.h"

#include <stdio.h>
#include <string.h>

static int make_bucket(const char *uri, cairn_error **reterr)
{
    struct crn_s3_config config;
    cairn_store *store;
    CRN_TRY(crn_s3_config_from_uri(uri + strlen("s3:"), uri, &config, reterr));
    CRN_TRY(crn_s3_store_open_config(&config, false, &store, reterr));
    CRN_CLEANUP(crn_s3_request_done) struct crn_s3_request request = {.method = "PUT"};
    int r = crn_s3_perform((struct crn_s3 *)store, &request, reterr);
    store->ops->close(store);
    return r;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        if (strncmp(argv[i], "s3:", 3) != 0 || make_bucket(argv[i], &error) < 0) {
            (void)fprintf(stderr, "make_bucket: %s: %s\n", argv[i], cairn_error_message(error));
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}
