/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in blocks, found by a hash table of their numbers (open addressing, at most half full).
 * Nothing is ever taken out. Names come from stores and manifests: whoever chooses them can make
 * the table slow, so the hash has a seed of this process.
 *
 * No locks: a set belongs to one call.
 */
#include "engine/inspect/names.h"

#include "base/hash.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)
#define SLOTS_MIN 1024u

struct crn_names_block {
    struct crn_names_block *next;
    size_t used, size;
    char bytes[];
};

static uint64_t seed;

static void make_seed(void)
{
    seed = crn_random_u64();
}

static uint64_t hash_of(const char *name, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_seed); /* cannot fail with a valid once */
    return crn_hash64_seeded(name, size, seed);
}

void crn_names_done(struct crn_names *names)
{
    for (struct crn_names_block *block = names->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(names->items);
    free(names->slots);
    *names = (struct crn_names){0};
}

/* The slot that has the name, or the free one where it belongs. There is a free one. */
static size_t slot_of(const struct crn_names *names, const char *name, size_t size)
{
    size_t mask = names->slot_count - 1, slot = (size_t)hash_of(name, size) & mask;
    while (names->slots[slot] != 0 && strcmp(names->items[names->slots[slot] - 1], name) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static int grow_slots(struct crn_names *names)
{
    size_t count = names->slot_count == 0 ? SLOTS_MIN : names->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return CAIRN_ENOMEM;
    free(names->slots);
    names->slots = slots;
    names->slot_count = count;
    for (size_t i = 0; i < names->count; i++)
        slots[slot_of(names, names->items[i], strlen(names->items[i]))] = (uint32_t)(i + 1);
    return 0;
}

static int reserve(struct crn_names *names)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? SLOTS_MIN / 2 : names->capacity * 2;
        const char **items =
            capacity < UINT32_MAX ? reallocarray(names->items, capacity, sizeof *items) : NULL;
        if (items == NULL)
            return CAIRN_ENOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    return 2 * (names->count + 1) > names->slot_count ? grow_slots(names) : 0;
}

static char *copy(struct crn_names *names, const char *name, size_t size)
{
    struct crn_names_block *block = names->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = malloc(sizeof *block + room);
        if (block == NULL)
            return NULL;
        *block = (struct crn_names_block){.next = names->blocks, .size = room};
        names->blocks = block;
    }
    char *to = block->bytes + block->used;
    memcpy(to, name, size);
    block->used += size;
    return to;
}

int crn_names_add(struct crn_names *names, const char *name, size_t *ret_number)
{
    size_t size = strlen(name);
    if (crn_names_find(names, name, ret_number))
        return 0;
    if (reserve(names) < 0)
        return CAIRN_ENOMEM;
    const char *kept = copy(names, name, size + 1);
    if (kept == NULL)
        return CAIRN_ENOMEM;
    names->slots[slot_of(names, name, size)] = (uint32_t)(names->count + 1);
    names->items[names->count] = kept;
    *ret_number = names->count++;
    return 1;
}

bool crn_names_find(const struct crn_names *names, const char *name, size_t *ret_number)
{
    if (names->slot_count == 0)
        return false;
    uint32_t found = names->slots[slot_of(names, name, strlen(name))];
    if (found != 0)
        *ret_number = found - 1;
    return found != 0;
}
