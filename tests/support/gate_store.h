/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_GATE_STORE_H
#define CRN_TESTS_GATE_STORE_H

#include "backends/storage/fault.h"

/*
 * One process's view of a shared store, with a gate in it: the n-th call of a set of operations
 * stops, right before or right after it was carried out, until it is let go. So a test decides what
 * others do while a writer, a collector or a reader hangs in the middle of something. Uploads of
 * several attempts can be held at a time, by the id in the objects' names.
 */
enum gate_side { GATE_BEFORE, GATE_AFTER };

/* `shared` is borrowed and must outlive it. */
cairn_store *gate_store_open(cairn_store *shared);
/* Stop the at-th call (from 1, counted from now) of these crn_fault_op; at 0: none, only count. */
void gate_stop_at(cairn_store *gate, unsigned ops, uint64_t at, enum gate_side side);
/* Wait until a call has stopped, or `*over` is true. @return whether one has */
bool gate_wait_stopped(cairn_store *gate, const atomic_bool *over);
void gate_let_go(cairn_store *gate);
uint64_t gate_calls(cairn_store *gate);

/* Every put of an object of this checkpoint waits, before it is carried out, until it is released.
 */
void gate_hold(cairn_store *gate, uint64_t id);
void gate_release(cairn_store *gate, uint64_t id);
/* Wait until that many puts of it are held. */
void gate_wait_held(cairn_store *gate, uint64_t id, unsigned count);

#endif
