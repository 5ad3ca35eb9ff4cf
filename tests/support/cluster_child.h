/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CLUSTER_CHILD_H
#define CRN_TESTS_CLUSTER_CHILD_H

#include "tests/support/crash_child.h"

/* What cluster_child computes: each of so many keys is counted up to a number of rounds, and each
 * step of each key is a line "KEY COUNT" in a file of DIR/output. Subtasks own keys, so any number
 * of them gives the same lines. */
#define CLUSTER_KEYS 48u
#define CLUSTER_ROUNDS_MAX 4096u

/* Exit codes besides those of crash_child.h: FENCED stands for CAIRN_EFENCED, FAILED for
 * CAIRN_EFAILED. */
enum cluster_child_exit {
    CLUSTER_CHILD_ERROR = 11,   /* another error of Cairn; its text is on stderr */
    CLUSTER_CHILD_TIMEOUT = 12, /* CAIRN_ETIMEOUT at the start */
    CLUSTER_CHILD_TWICE = 13    /* CAIRN_EEXIST at the start */
};

#endif
