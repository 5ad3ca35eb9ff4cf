/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_CLUSTER_WORLD_INTERNAL_H
#define CRN_TESTS_CLUSTER_WORLD_INTERNAL_H

#include "tests/support/cluster_world.h"

uint64_t world_below(struct world *w, uint64_t n);
void world_break(struct world *w, const char *what);
unsigned world_head(const struct world *w);
unsigned world_log_epoch(const struct world *w);
unsigned world_newest_checkpoint(const struct world *w);
uint64_t world_refs(const struct world_record *record);
uint64_t world_live(const struct world *w);
bool world_create_record(struct world *w, unsigned id, const struct world_record *record);
unsigned world_put_object(struct world *w, unsigned id, unsigned epoch);
bool world_post(struct world *w, unsigned epoch, unsigned number, const struct world_post *post);
void world_collect(struct world *w, struct world_collection *c);

/* cluster_world_people.c */
void world_begin_life(struct world *w, unsigned slot);
void world_move_worker(struct world *w, unsigned slot);
void world_move_coordinator(struct world *w, unsigned i);

#endif
