/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_RESCALE_H
#define CRN_TESTS_RESCALE_H

/* A stateful operator on RocksDB that is written to at random, checkpointed and rescaled by files,
 * beside an oracle in memory. What the engine does with a backend, without an engine. */

#include "tests/support/state.h"

#define WORLD_GROUPS 12u
#define WORLD_KEYS 4800u /* enough in a key group for a range tombstone */
#define WORLD_STATES 4u
#define WORLD_SUBTASKS_MAX 4u

struct world_subtask {
    char directory[400];
    uint32_t first, last; /* key groups */
    struct crn_state_db *db;
    struct crn_state *states[WORLD_STATES]; /* NULL: not registered here */
    char stored[400];
    struct crn_capture capture; /* of `stored`, the last checkpoint */
};

struct world {
    struct place place;
    uint64_t random;
    const char *extra_options;
    bool stays_unclean;       /* what is foreign in tables is not removed in the background */
    unsigned int directories; /* made so far */
    struct world_subtask subtasks[WORLD_SUBTASKS_MAX];
    uint32_t parallelism;
    struct cairn_buffer keys[WORLD_KEYS]; /* composite */
    struct cairn_buffer *oracle;          /* [state][key]; empty: absent */
    /* of the last rescale */
    size_t taken, loaded, clipped;   /* sources, sources, databases */
    size_t tables, tables_known;     /* of its first checkpoint; known: need no upload */
    size_t assembled_tables_present; /* of them, by number */
};

/* true: compactions of expiring states crawl. */
extern atomic_bool world_slow_clock;

struct world *world_new(uint64_t seed, const char *extra_options);
void world_free(struct world *world);
uint64_t world_random(struct world *world);
/* This many random writes and deletions, in all states; flushes and compactions on the way. */
void world_write(struct world *world, size_t count);
/* All keys of a group, in all states that its subtask has. */
void world_remove_group(struct world *world, uint32_t group);
void world_checkpoint(struct world *world);
/* Checkpoint, close, and restore from it with another parallelism. */
void world_rescale(struct world *world, uint32_t parallelism);
/* Every database has the oracle's entries, and no other. */
void world_check(struct world *world);
/* No table of any database reaches beyond its key groups. */
bool world_is_clean(const struct world *world);
/* Files that were linked are what they were. */
void world_check_stored(const struct world *world);

#endif
