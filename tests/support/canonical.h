/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CANONICAL_H
#define CRN_TESTS_CANONICAL_H

/* What tests of canonical files share: entries in an array, files in memory, forged ones. */

#include "backends/state/canonical_internal.h"
#include "tests/support/state.h"

/* Entries in the file's order. */
struct entries {
    struct crn_canonical_entry *items; /* own their bytes */
    size_t count, capacity;
    uint64_t raw_bytes;
};
void entries_add(struct entries *entries, uint32_t state, uint32_t key_group,
                 const struct cairn_buffer *key, const struct cairn_buffer *value);
void entries_free(struct entries *entries);

extern uint64_t test_random_seed;
uint64_t test_random(void);
struct shape {
    uint32_t max_parallelism, first, last;
    size_t states;
    unsigned int density_percent; /* of runs that have entries */
    size_t entries_max;           /* of a run */
    size_t value_max;
};
void entries_fill(struct entries *entries, const struct shape *shape);

/* All 128 key groups, states "state 0", "state 1" and so on. */
struct crn_canonical_header header_new(size_t states);
void header_free(struct crn_canonical_header *header);

/* A path of a new file, in a directory of its own. */
void temp_path(char *path, size_t size);
void temp_remove(const char *path);

int put_entries(struct crn_canonical_writer *writer, const struct entries *entries,
                cairn_error **reterr);
struct crn_canonical_summary write_file(const char *path, const struct crn_canonical_header *header,
                                        const struct entries *entries);

struct memory_file {
    struct crn_canonical_input input; /* reads from this; set its context when the struct moves */
    uint8_t *data;
    unsigned int reads_left; /* CAIRN_EUNAVAIL when they are used up */
};
struct memory_file load_file(const char *path);
void file_free(struct memory_file *file);
struct crn_canonical_reader *open_reader(struct memory_file *file);

/* The scan against the entries: 0, or an error; a difference fails the test. entries NULL: only
 * reads. */
int compare_scan(const struct entries *entries, struct crn_canonical_reader *reader, int state,
                 uint32_t first, uint32_t last, cairn_error **reterr);
void assert_scan(const struct entries *entries, struct crn_canonical_reader *reader, int state,
                 uint32_t first, uint32_t last);

/* Reads all there is. 0, or the first error, which has a text. expected NULL: whatever it is. */
int read_whole(struct memory_file *file, const struct entries *expected);

/* A file with right checksums around up to two blocks, in one run of key group 5 and state 0 of
 * two. */
struct forged_block {
    const char *stored;
    size_t size;
    uint32_t entry_count;
    uint16_t state, key_group;
    uint32_t flags, raw_size; /* 0: as many as stored */
};
struct forged {
    struct forged_block blocks[2];
    size_t count;
    int64_t run_bytes, run_entries, entries; /* added to what would be right */
};
struct memory_file forge(const struct forged *forged);

/* What the golden file of that name was made of (canonical_golden.c), and its header. */
void golden_entries(const char *name, struct entries *entries);
struct crn_canonical_header golden_header(const char *name);

/* The bytes of the block in docs/format.md behind "<!-- hex NAME -->". */
void document_block(const char *name, struct cairn_buffer *out);

#endif
