/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_ODD_STORE_H
#define CRN_TESTS_ODD_STORE_H

#include "backends/storage/fault.h"

/*
 * A view of a store as somebody else may have written one: it says no for one key only, answers a
 * create with an error although it did it, lists what it was not asked for, or was built with an
 * older store.h. What the view does can be changed while it is used.
 */

/* `shared` is borrowed and must outlive it. */
cairn_store *odd_store_open(cairn_store *shared);
/* These crn_fault_op of keys that hold `part` fail with `code`; NULL: of none any more. A remove of
 * several keys carries out the others. */
void odd_store_refuse(cairn_store *odd, unsigned ops, const char *part, int code);
/* The next create happens and answers `first`; all later ones fail with `later`. 0: no more. */
void odd_store_lie(cairn_store *odd, int first, int later);
/* A listing has keys from before, within and after what was asked for, of any length. */
void odd_store_babble(cairn_store *odd);
/* The vtable ends after so many bytes, and so does the memory that it is in. */
void odd_store_cut(cairn_store *odd, size_t struct_size);

#endif
