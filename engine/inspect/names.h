/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_NAMES_H
#define CRN_ENGINE_NAMES_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of names, each kept once, one behind another, and numbered in the order of their coming:
 * what is kept of a hundred thousand objects, or of millions. A name takes its length and about 25
 * bytes. */
struct crn_names {
    struct crn_names_block *blocks; /* the newest first */
    const char **items;             /* by number; each stays where it is */
    size_t count, capacity;
    uint32_t *slots;   /* by hash: number + 1; 0: free */
    size_t slot_count; /* a power of two, at least twice the count */
};
void crn_names_done(struct crn_names *names);
/* The name's number. 1: it is new, 0: it was there, or CAIRN_ENOMEM. */
int crn_names_add(struct crn_names *names, const char *name, size_t *ret_number);
bool crn_names_find(const struct crn_names *names, const char *name, size_t *ret_number);

#endif
