/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_ORACLE_H
#define CRN_TESTS_ORACLE_H

#include "tests/support/job_fixture.h"

/* What the subject's state must be: the same changes, kept in plain arrays. A copy of the struct is
 * a snapshot. */
#define ORACLE_KEYS 24
#define ORACLE_NAMES 8

struct oracle {
    bool has_count[ORACLE_KEYS], has_name[ORACLE_NAMES], has_rule[ORACLE_NAMES];
    int64_t count[ORACLE_KEYS], name[ORACLE_NAMES], rule[ORACLE_NAMES];
    uint32_t events[ORACLE_KEYS]; /* elements key * 1000 + 0, 1, 2, ... */
    int64_t offset;               /* -1: the list is empty */
};
void oracle_init(struct oracle *oracle);
/* Random changes of the subject and the oracle alike. */
void oracle_mutate(struct oracle *oracle, struct subject *s, uint64_t *random, unsigned changes);
/* NULL if the subject's state is the oracle's to the last entry, else what differs. Static text. */
const char *oracle_compare(const struct oracle *oracle, struct subject *s);
/* Open the job on this store (taken over, closed at the end) and compare. */
void oracle_check_store(const struct oracle *oracle, const struct fixture *f, cairn_store *store,
                        const char *job);
uint64_t oracle_random(uint64_t *random);

#endif
