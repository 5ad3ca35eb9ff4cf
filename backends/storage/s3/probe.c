/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server can do is not believed but tried: the second of two creations of one key must be
 * refused, and the first one's bytes must stay. A server that ignores the condition would let two
 * writers of a job both win (P7).
 *
 * A process that dies over it leaves an object directly below the store's prefix; nobody but who
 * reaps ever looks for one, so it does no harm until then (P6).
 *
 * That shows that the condition is known, not that it holds in a race: `cairn store-test` tries
 * that, with many writers.
 */
#include "backends/storage/s3/methods.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADVICE                                                                                     \
    "use a store that has it, or, if you see to it yourself that no two processes write to a "     \
    "job, add single_writer=unsafe to its URI"

static int put_if_absent(struct crn_s3 *s3, const char *key, const char *text, cairn_error **reterr)
{
    CRN_CLEANUP(crn_s3_request_done)
    struct crn_s3_request request = {
        .method = "PUT",
        .key = key,
        .body = text,
        .body_size = strlen(text),
        .wants_etag = true,
    };
    crn_s3_request_header(&request, "If-None-Match", "*");
    return crn_s3_perform(s3, &request, reterr);
}

static int judge(struct crn_s3 *s3, const char *key, cairn_error **reterr)
{
    static const char first[] = "the first", second[] = "the other";
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer found = {0};
    const char *host = s3->config.host;
    int r = put_if_absent(s3, key, first, &error);
    if (r == CAIRN_EUNSUPPORTED)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                            "the server at '%s' cannot create an object only if it is absent, so "
                            "it cannot keep two writers of a job apart; " ADVICE,
                            host);
    /* 412 would be a leftover's of a try that we did not hear of: the name is random. */
    if (r < 0 && r != CAIRN_EEXIST)
        return crn_err_move(reterr, &error, r);
    cairn_error_free(CRN_TAKE(error));
    r = put_if_absent(s3, key, second, &error);
    if (r == 0)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                            "the server at '%s' says that it creates an object only if it is "
                            "absent, but overwrites it, so it cannot keep two writers of a job "
                            "apart; " ADVICE,
                            host);
    if (r != CAIRN_EEXIST)
        return crn_err_move(reterr, &error, r);
    CRN_TRY(crn_store_get_bytes(&s3->base, key, 64, &found, reterr));
    if (found.size != sizeof first - 1 || memcmp(found.data, first, found.size) != 0)
        return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL,
                            "the server at '%s' refuses to create an object twice, but changes it "
                            "nevertheless: it cannot be used",
                            host);
    return 0;
}

#define NAME "probe-"
#define NAME_DIGITS 32u
#define LEFT_MAX 1000u /* in one go: each is a process that died in the same second of its life */

struct leftovers {
    int64_t before_ms;
    size_t count;
    char keys[LEFT_MAX][sizeof NAME + NAME_DIGITS];
};

static int note_leftover(void *context, const char *key, const cairn_object_stat *stat)
{
    struct leftovers *left = context;
    const char *digits = key + sizeof NAME - 1;
    if (strlen(digits) != NAME_DIGITS || strspn(digits, "0123456789abcdef") != NAME_DIGITS ||
        stat->modified_ms == 0 || stat->modified_ms > left->before_ms || left->count == LEFT_MAX)
        return 0;
    memcpy(left->keys[left->count++], key, sizeof left->keys[0]);
    return 0;
}

int crn_s3_reap_probes(struct crn_s3 *s3, int64_t before_ms, uint64_t *count, cairn_error **reterr)
{
    CRN_AUTO_FREE struct leftovers *left = calloc(1, sizeof *left);
    const char *keys[LEFT_MAX];
    if (left == NULL)
        return crn_err_nomem(reterr);
    left->before_ms = before_ms;
    CRN_TRY(crn_s3_list(&s3->base, NAME, note_leftover, left, reterr));
    for (size_t i = 0; i < left->count; i++)
        keys[i] = left->keys[i];
    CRN_TRY(left->count > 0 ? crn_s3_remove(&s3->base, keys, left->count, reterr) : 0);
    *count += left->count;
    return 0;
}

int crn_s3_probe(struct crn_s3 *s3, cairn_error **reterr)
{
    char key[64];
    const char *keys[] = {key};
    (void)snprintf(key, sizeof key, NAME "%016" PRIx64 "%016" PRIx64, crn_random_u64(),
                   crn_random_u64());
    int r = judge(s3, key, reterr);
    (void)crn_s3_remove(&s3->base, keys, 1, NULL); /* what stays is reaped one day */
    return r;
}
