/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 backend's ends: open, close, the vtable. The rest is where s3.h says.
 *
 * libcurl's process-wide set-up happens once, at the first open, and is never undone: other parts
 * of the process may use libcurl, too.
 */
#include "backends/storage/s3/methods.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_result;

static void set_up_curl(void)
{
    /* Whoever ends the process while a request is under way must not have OpenSSL taken down under
     * it by what it registers for exit(). */
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    curl_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void s3_close(cairn_store *store)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    crn_s3_connections_close(s3);
    crn_cond_done(&s3->free_part);
    crn_cond_done(&s3->free_connection);
    crn_mutex_done(&s3->lock);
    crn_s3_config_done(&s3->config);
    free(s3);
}

static const char *s3_caveat(cairn_store *store)
{
    return crn_s3_of(store)->config.single_writer_unsafe
               ? "this store is used without create-if-absent (single_writer=unsafe): nothing but "
                 "you keeps two writers of a job apart"
               : NULL;
}

static uint64_t s3_range_bytes(cairn_store *store)
{
    return crn_s3_of(store)->config.part_bytes;
}

static const cairn_store_ops ops = {
    .struct_size = sizeof(cairn_store_ops),
    .scheme = "s3",
    .close = s3_close,
    .put = crn_s3_put,
    .create = crn_s3_create,
    .flush = crn_s3_flush,
    .get = crn_s3_get,
    .stat = crn_s3_stat,
    .list = crn_s3_list,
    .list_segments = crn_s3_list_segments,
    .remove = crn_s3_remove,
    .reap = crn_s3_reap,
    .copy = crn_s3_copy,
    .range_bytes = s3_range_bytes,
    .caveat = s3_caveat,
};

static const struct crn_s3_config *config_of(const cairn_store *store)
{
    return store->ops == &ops ? &((const struct crn_s3 *)store)->config : NULL;
}

const char *crn_s3_store_root(const cairn_store *store)
{
    const struct crn_s3_config *config = config_of(store);
    return config != NULL ? config->root : NULL;
}

bool crn_s3_store_is_within(const cairn_store *store, const cairn_store *other, const char *name)
{
    const struct crn_s3_config *in = config_of(store), *out = config_of(other);
    if (in == NULL || out == NULL || strcmp(in->host, out->host) != 0 ||
        strcmp(in->bucket, out->bucket) != 0)
        return false;
    const size_t n = strlen(out->prefix), m = strlen(name);
    return strncmp(in->prefix, out->prefix, n) == 0 && strncmp(in->prefix + n, name, m) == 0 &&
           in->prefix[n + m] == '/';
}

int crn_s3_store_open_config(struct crn_s3_config *config, bool probe, cairn_store **ret_store,
                             cairn_error **reterr)
{
    pthread_once(&curl_once, set_up_curl);
    struct crn_s3 *s3 = curl_result == CURLE_OK ? calloc(1, sizeof *s3) : NULL;
    if (s3 == NULL) {
        crn_s3_config_done(config);
        return crn_err_nomem(reterr);
    }
    s3->base.ops = &ops;
    s3->config = *config;
    *config = (struct crn_s3_config){0};
    crn_s3_budget_init(&s3->budget);
    crn_mutex_init(&s3->lock, CRN_RANK_STORE);
    crn_cond_init(&s3->free_connection);
    crn_cond_init(&s3->free_part);
    int r = probe && !s3->config.single_writer_unsafe ? crn_s3_probe(s3, reterr) : 0;
    if (r < 0) {
        s3_close(&s3->base);
        return r;
    }
    *ret_store = &s3->base;
    return 0;
}
