/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CRASH_RUN_H
#define CRN_TESTS_CRASH_RUN_H

#include "tests/support/crash_child.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Runs crash_child, and looks at what it left from outside: no RocksDB in this process. Everything
 * fails the running test when it cannot be done. Directories are <root>/<name>, with the store in
 * <dir>/store, databases in <dir>/local, and what children say in <dir>/stderr. */

struct crash_place {
    char root[200]; /* kept when the test fails */
};
void crash_place_init(struct crash_place *place);
void crash_place_done(struct crash_place *place);
struct crash_dir {
    char path[260];
};
/* <root>/<name>, created. */
__attribute__((format(printf, 2, 3))) struct crash_dir crash_dir(const struct crash_place *place,
                                                                 const char *format, ...);
void crash_remove(const char *path);
void crash_copy(const char *from, const char *to); /* cp -a */

/* crash_child DIR SEED OPERATIONS and what the format gives, split at spaces. */
__attribute__((format(printf, 4, 5))) pid_t crash_spawn(const char *dir, uint64_t seed,
                                                        uint64_t operations, const char *format,
                                                        ...);
/* Children are started in this network namespace from now on; NULL: in the test's own. */
void crash_set_network(const char *name);
/* Its exit code, or 128 + the signal that ended it. A child that takes a minute fails the test. */
int crash_wait(pid_t child, const char *dir);
/* Spawns, waits, and expects this code. */
__attribute__((format(printf, 5, 6))) void crash_expect(int code, const char *dir, uint64_t seed,
                                                        uint64_t operations, const char *format,
                                                        ...);
/* With the last lines of <dir>/stderr. */
__attribute__((format(printf, 2, 3), noreturn)) void crash_fail(const char *dir, const char *format,
                                                                ...);
bool crash_said(const char *dir, const char *text); /* in <dir>/stderr */

/* Counts of the journal. */
struct crash_journal {
    uint64_t complete; /* ids that were acknowledged */
    uint64_t newest;   /* of them */
    uint64_t aborted;
    bool overtaken; /* an id has two epochs, or a higher id has a lower epoch */
};
struct crash_journal crash_read_journal(const char *dir);
/* Whether a child has ended; it can still be waited for. */
bool crash_has_ended(pid_t child);
/* Until its journal tells of so many complete checkpoints. It fails if the child ends before. */
void crash_wait_for_complete(const char *dir, uint64_t count, pid_t child);

/* Whatever moment the job died at: every retained checkpoint has all its objects. */
void crash_check_usable(const char *dir, const char *store);
/* After a clean end, in a directory or a store that has a URI: every byte verifies, nothing is
 * dead, a collection finds nothing to remove, and what writes left half-done is known as temporary
 * (the collector waits an hour, this does not). */
void crash_check_clean(const char *dir, const char *store);
/* Something that an earlier incarnation might have left in the local directory, and: it is gone,
 * and nothing but a database per task is there. */
void crash_plant_leftovers(const char *dir);
void crash_check_local(const char *dir);

#endif
