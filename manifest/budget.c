/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that parsing may take (P11). A message costs a reader some hundred bytes of memory and
 * a writer two bytes of payload, or a fraction of one when packed. So parsing has a budget: what
 * real objects need with ample room, and in proportion to the object's size. Where it ends, the
 * input is damage.
 */
#include "manifest/internal.h"

/* Strings are in the payload twice at most (there, and copied); messages need room of their own,
 * but no real one is without a byte of its own in the object: a name, an index, a checksum. */
#define BUDGET_PER_PAYLOAD_BYTE 2u
#define BUDGET_PER_OBJECT_BYTE 512u
#define BUDGET_BASE ((size_t)64 << 10)

struct crn_budget crn_budget_of(size_t payload_size, size_t object_size)
{
    return (struct crn_budget){.left = BUDGET_BASE + BUDGET_PER_PAYLOAD_BYTE * payload_size +
                                       BUDGET_PER_OBJECT_BYTE * object_size};
}

void *crn_budget_alloc(void *context, size_t size)
{
    struct crn_budget *budget = context;
    if (size > budget->left)
        return NULL;
    void *memory = malloc(size);
    if (memory == NULL)
        budget->is_out_of_memory = true;
    else
        budget->left -= size;
    return memory;
}

void crn_budget_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}
