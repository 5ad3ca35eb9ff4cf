/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_ITEMS_H
#define CRN_TESTS_ITEMS_H

#include "cairn/cairn.h"

/* One struct in the versions that a program may have of it: 1 has id and name; 2 other fields in another
 * order, one of them new; 3 has neither's name; 4 does not fit any of them. All have "id". */
cairn_serializer *item_version(int version);
/* An item with that id, and that name where the version has one. */
void item_encode(const cairn_serializer *serializer, int64_t id, const char *name, cairn_buffer *out);
int64_t item_id(const cairn_serializer *serializer, const void *data, size_t size);

#endif
