/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_LIFE_INTERNAL_H
#define CRN_TESTS_LIFE_INTERNAL_H

#include "tests/support/life.h"

/* What life.c and life_check.c share. */

size_t life_text(int64_t number, char out[24]);
int life_set_key(const struct life_task *task, unsigned key);
/* What the tasks were given of operator state, by the rules of its kinds; the oracle takes over
 * who has which element. CAIRN_EMISMATCH: it is against the rules. */
int life_deal_out(struct life *life, unsigned op, uint32_t parallelism, cairn_error **reterr);

#endif
