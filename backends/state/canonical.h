/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_CANONICAL_H
#define CRN_STATE_CANONICAL_H

#include "backends/state/state.h"
#include "base/hash.h"

/*
 * Canonical files: keyed state of one operator and one range of key groups, in an order and an
 * encoding that belong to no backend. The bytes are in docs/format.md.
 *
 * Entries are sorted by key group, state, composite key; values are encoded as values.h has them.
 * They stand in independent LZ4-framed blocks, each of one key group and one state, each with its
 * own checksum; an index at the end says where the blocks of each (key group, state) are. So a
 * reader takes just the ranges that it needs, and trusts no byte that it did not check (P8, P11). A
 * file names its states itself: numbers of states mean nothing outside of it.
 *
 * A file has an identity, drawn when it is written: it seeds all checksums behind the header, and
 * the manifest has it too. So a part that was read is a part of the very file that is meant, not of
 * one that looks like it.
 */

#define CRN_CANONICAL_STATES_MAX 4096u
#define CRN_CANONICAL_IDENTITY_SIZE 16u

/* ---- writing ---- */

struct crn_canonical_header {
    uint32_t max_parallelism, key_group_first, key_group_last;
    const char *const *states; /* names; a state's number is its index */
    size_t state_count;
    /* A new file draws one unless it is given. Files of before there were any have none. */
    bool has_identity;
    uint8_t identity[CRN_CANONICAL_IDENTITY_SIZE];
};

/* What the manifest needs to know of a finished file. */
struct crn_canonical_summary {
    uint64_t size, entry_count;
    uint64_t raw_bytes; /* keys and values as they came in */
    struct crn_hash128 xxh3;
    uint32_t crc32c;
    uint8_t identity[CRN_CANONICAL_IDENTITY_SIZE];
};

struct crn_canonical_writer;
/* A new file at `path`. */
int crn_canonical_create(const char *path, const struct crn_canonical_header *header,
                         struct crn_canonical_writer **ret, cairn_error **reterr);
/* In the file's order; anything else, and a key that is not of the header's range, is CAIRN_EINVAL.
 */
int crn_canonical_put(struct crn_canonical_writer *writer, uint32_t state, const void *key,
                      size_t key_size, const void *value, size_t value_size, cairn_error **reterr);
/* Index and end; the file is complete and synced. Frees the writer in any case; on failure, or with
 * ret NULL (give up), the file is removed. */
int crn_canonical_finish(struct crn_canonical_writer *writer, struct crn_canonical_summary *ret,
                         cairn_error **reterr);

/* Everything that a snapshot has of the header's states and key groups, written to a new file. A
 * state that the database does not have is empty. CAIRN_ECANCELED when *cancelled becomes true. */
struct crn_canonical_dump {
    struct crn_state_db *db;
    struct crn_state_snapshot *snapshot;
    struct crn_canonical_header header;
    const char *path;
    const atomic_bool *cancelled;     /* may be NULL */
    atomic_uint_fast64_t *done_bytes; /* raw bytes, added up now and then; may be NULL */
};
int crn_canonical_write(const struct crn_canonical_dump *dump, struct crn_canonical_summary *ret,
                        cairn_error **reterr);

/* ---- reading ---- */

/* Where the bytes are: a store's object or a local file. */
struct crn_canonical_input {
    const char *object; /* for errors */
    uint64_t size;
    /* Exactly n bytes at offset; any thread. */
    int (*read)(void *context, uint64_t offset, void *data, size_t n, cairn_error **reterr);
    void *context;
    const uint8_t *identity; /* that it must have; NULL: not known */
};

struct crn_canonical_reader;
/* Reads and checks identity, header and index. The input and its context must outlive the reader.
 * CAIRN_ECORRUPT, CAIRN_EVERSION, CAIRN_ENOMEM, or the input's error. */
int crn_canonical_open(const struct crn_canonical_input *input, struct crn_canonical_reader **ret,
                       cairn_error **reterr);
void crn_canonical_close(struct crn_canonical_reader *reader);
const struct crn_canonical_header *crn_canonical_header(const struct crn_canonical_reader *reader);
/* Number of a state in this file, or -1. */
int crn_canonical_state(const struct crn_canonical_reader *reader, const char *name);
/* Stored bytes of a range of key groups. */
uint64_t crn_canonical_range_bytes(const struct crn_canonical_reader *reader,
                                   uint32_t key_group_first, uint32_t key_group_last);

struct crn_canonical_entry {
    uint32_t state, key_group;
    const uint8_t *key, *value; /* valid until the next call on the scan */
    size_t key_size, value_size;
};
struct crn_canonical_scan;
/* state -1: all. Entries of the key groups first..last (inclusive), in the file's order. Several
 * scans of one reader may run in different threads. */
int crn_canonical_scan(struct crn_canonical_reader *reader, int state, uint32_t key_group_first,
                       uint32_t key_group_last, struct crn_canonical_scan **ret,
                       cairn_error **reterr);
/* 1, 0 at the end, or an error: CAIRN_ECORRUPT names object, offset and what is wrong. */
int crn_canonical_next(struct crn_canonical_scan *scan, struct crn_canonical_entry *ret,
                       cairn_error **reterr);
void crn_canonical_scan_end(struct crn_canonical_scan *scan);

#endif
