/* SPDX-License-Identifier: Apache-2.0 */
/* The check of restored states, entry by entry, without a list of what was written: see
 * workload.c. */
#include "tools/bench/audit.h"

#include <string.h>

int bench_audit_begin(struct bench_audit *audit, const struct bench_workload *workload,
                      uint32_t max_version, cairn_error **reterr)
{
    *audit = (struct bench_audit){.workload = workload, .max_version = max_version};
    audit->seen = calloc(workload->keys / 8 + 1, 1);
    audit->scratch.value = malloc(workload->value_size);
    if (audit->seen && audit->scratch.value)
        return 0;
    bench_audit_done(audit);
    return bench_fail_nomem(reterr);
}

void bench_audit_done(struct bench_audit *audit)
{
    free(audit->seen);
    free(audit->scratch.value);
    *audit = (struct bench_audit){0};
}

int bench_audit_entry(struct bench_audit *audit, const void *key, size_t key_size,
                      const void *value, size_t value_size, cairn_error **reterr)
{
    const struct bench_record *scratch = &audit->scratch;
    const void *expected = key_size == BENCH_KEY_SIZE ? scratch->key : scratch->raw_key;
    uint64_t index;
    if ((key_size != BENCH_KEY_SIZE && key_size != BENCH_RAW_KEY_SIZE) ||
        !bench_value_is_genuine(audit->workload, value, value_size, audit->max_version,
                                &audit->scratch, &index) ||
        memcmp(expected, key, key_size) != 0)
        return bench_fail(reterr, CAIRN_ECORRUPT, "restored entry %llu is not one that was written",
                          (unsigned long long)audit->count);
    uint8_t bit = (uint8_t)(1u << (index % 8));
    if (audit->seen[index / 8] & bit)
        return bench_fail(reterr, CAIRN_ECORRUPT, "key %llu was restored twice",
                          (unsigned long long)index);
    audit->seen[index / 8] |= bit;
    audit->count++;
    return 0;
}

int bench_audit_end(const struct bench_audit *audit, cairn_error **reterr)
{
    if (audit->count == audit->workload->keys)
        return 0;
    return bench_fail(reterr, CAIRN_ECORRUPT, "restored %llu keys of %llu",
                      (unsigned long long)audit->count, (unsigned long long)audit->workload->keys);
}
