/* SPDX-License-Identifier: Apache-2.0 */
/* The same work in several threads. A thread that cannot be started counts as a failure of its
 * share; those that were started are always waited for. */
#include "tools/bench/parallel.h"

#include <pthread.h>

struct share {
    int (*fn)(void *context, uint32_t i, cairn_error **reterr);
    void *context;
    uint32_t i;
    pthread_t thread;
    bool has_thread;
    int result;
    cairn_error *error;
};

static void *run_share(void *data)
{
    struct share *share = data;
    share->result = share->fn(share->context, share->i, &share->error);
    return NULL;
}

static void start_share(struct share *share)
{
    int os_errno = pthread_create(&share->thread, NULL, run_share, share);
    share->has_thread = os_errno == 0;
    if (os_errno)
        share->result = bench_fail_os(&share->error, os_errno, "starting a thread");
}

int bench_parallel(uint32_t count, int (*fn)(void *context, uint32_t i, cairn_error **reterr),
                   void *context, cairn_error **reterr)
{
    BENCH_AUTO_FREE struct share *shares = calloc(count, sizeof(*shares));
    if (!shares)
        return bench_fail_nomem(reterr);
    for (uint32_t i = 0; i < count; i++)
        shares[i] = (struct share){.fn = fn, .context = context, .i = i};
    for (uint32_t i = 1; i < count; i++)
        start_share(&shares[i]);
    (void)run_share(&shares[0]);

    int r = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct share *share = &shares[i];
        if (share->has_thread)
            (void)pthread_join(share->thread, NULL);
        if (share->result < 0 && r == 0)
            r = bench_fail(reterr, share->result, "%s", cairn_error_message(share->error));
        cairn_error_free(share->error);
    }
    return r;
}
