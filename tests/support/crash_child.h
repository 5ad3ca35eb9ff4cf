/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CRASH_CHILD_H
#define CRN_TESTS_CRASH_CHILD_H

/* What crash_child tells test_crash by its exit code. */
enum crash_child_exit {
    CRASH_CHILD_DONE = 0,      /* all operations, and a last checkpoint */
    CRASH_CHILD_USAGE = 2,     /* bad arguments */
    CRASH_CHILD_ABORTED = 3,   /* the last checkpoint was aborted, and --once was given */
    CRASH_CHILD_FENCED = 7,    /* CAIRN_EFENCED */
    CRASH_CHILD_FAILED = 8,    /* another error of Cairn; its text is on stderr */
    CRASH_CHILD_DISAGREES = 9, /* state and oracle, or restored and acknowledged, differ */
};

/* In all its processes the child works on this job. */
#define CRASH_JOB "crash job"

#endif
