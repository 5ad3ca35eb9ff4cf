/* SPDX-License-Identifier: Apache-2.0 */

/* What the tests of claims share: see the header. */

#include "tests/support/claim_kit.h"

#include "manifest/marks.h"
#include <stdio.h>
#include <string.h>

struct fixture f;
struct oracle oracle;
uint64_t seed;

void start_from(const char *name, cairn_claim_mode mode)
{
    f.options.restore_store = name != NULL ? f.store : NULL;
    f.options.restore_name = name;
    f.options.claim_mode = name != NULL ? mode : CAIRN_NO_CLAIM;
    f.options.restore_only_if_new = 0;
    f.options.restore_checkpoint_id = 0;
}

/* Of a savepoint that was claimed nothing stays; of a job, word of where it is. */
void check_is_gone(cairn_store *store, const char *source)
{
    const bool is_job = strcmp(source, "src") == 0;
    ck_assert_uint_eq(store_count(store, source), is_job ? 1 : 0);
    ck_assert(!is_job || store_has(store, "src/" CRN_MARK_CLAIMED));
}

void check_state(struct subject *s)
{
    const char *difference = oracle_compare(&oracle, s);
    if (difference != NULL)
        ck_abort_msg("%s", difference);
}

/* Changes, a checkpoint, and the same state again after a restart without any source. */
cairn_checkpoint_info go_on(struct subject *s, const char *name)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    oracle_mutate(&oracle, s, &seed, 10);
    ck_ok(subject_checkpoint(s, false, &info, reterr));
    subject_close(s);
    start_from(NULL, CAIRN_NO_CLAIM);
    ck_ok(subject_open(&f, name, s, reterr));
    check_state(s);
    return info;
}
