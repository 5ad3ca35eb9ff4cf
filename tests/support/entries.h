/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_ENTRIES_H
#define CRN_TESTS_ENTRIES_H

#include "cairn/inspect.h"

/* All entries of a snapshot as text, to be compared as a whole. Failures end the test. */

#define CRN_TEST_OK(call)                                                                          \
    do {                                                                                           \
        cairn_error *error_ = NULL;                                                                \
        cairn_error **reterr = &error_;                                                            \
        int r_ = (call);                                                                           \
        ck_assert_msg(r_ >= 0, "%s: %s", #call, cairn_error_message(error_));                      \
    } while (0)

/* A line for each, sorted, whatever subtask it comes from and whichever key group it has:
 *   uid/state kind key|namespace|map key [element] = value @written (schema name)
 * Bytes that are no text are hexadecimal. `options` may be NULL. To be freed. */
char *crn_test_entries(cairn_snapshot *snapshot, const cairn_cat_options *options);
/* The same of the snapshot that is in a store. */
char *crn_test_stored_entries(cairn_store *store, const char *name);
/* One such line, for what a test expects. */
void crn_test_entry_line(char *out, size_t size, const char *uid, const cairn_state_info *state,
                         const cairn_entry *entry, uint64_t element, int64_t written_ms,
                         const char *schema);
/* The lines of a text, sorted, in place. */
void crn_test_sort_lines(char *text);

#endif
