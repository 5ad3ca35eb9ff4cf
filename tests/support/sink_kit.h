/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_SINK_KIT_H
#define CRN_TESTS_SINK_KIT_H

#include "tests/support/emitter.h"

/* A service with file sinks in this process, and its disk, whose calls fail on demand. */

extern struct fixture f;
extern cairn_file_sink_options options; /* of the next open_emitter() */
extern struct emitter e;
extern char output_dir[260]; /* in f.root: where the sinks write */
extern char warnings[4000];  /* that sinks gave, a line each */

/* The disk's part: of files below the output directory only, as the store has its own tests. */
extern struct sink_disk {
    int open, pwrite, fdatasync, fsync, rename; /* an errno to fail with; 0: none */
    size_t room;                                /* pwrite writes so much before it fails */
    unsigned file_syncs, directory_syncs;
} disk;

void sink_setup(void);
void sink_teardown(void);
void open_emitter(uint32_t parallelism);
/* A checkpoint, and the sinks learn that it is complete. */
void complete(void);
/* To the sink of the first task. */
void write_text(const char *text);

/* A file of the output directory; must be freed. */
char *path_of(const char *name);
void put_file(const char *name, const char *text);
bool has_file(const char *name);
void expect_file(const char *name, const void *expected, size_t expected_size);
void expect_text(const char *name, const char *expected);
/* So many that are visible, and so many that are hidden. */
void expect_counts(unsigned files, unsigned hidden);

#endif
