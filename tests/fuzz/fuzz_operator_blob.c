/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as the operator state of a subtask (P8, P11). What is accepted is restored and
 * written again, and must give the same bytes, since the encoding has one spelling. Then it stands
 * for the state of two subtasks and is dealt out to one, two and three: together they hold each
 * element of a split list once, and each of them all of a union list and one copy of a broadcast
 * map. Memory is bounded by the blob's size, not by the numbers in it.
 */
#include "engine/states/operator_state.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void free_states(struct crn_operator_states **states)
{
    crn_operator_states_free(*states);
}
#define AUTO_STATES CRN_CLEANUP(free_states)

static int restore(const struct cairn_buffer *blobs, size_t count, uint32_t subtask,
                   uint32_t parallelism, struct crn_operator_states **ret)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    crn_fuzz_must(crn_operator_states_new(ret, NULL) == 0);
    int r = crn_operator_states_restore(*ret, blobs, count, subtask, parallelism, &error);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT || r == CAIRN_EVERSION);
    crn_fuzz_must((r < 0) == (error != NULL) && (r == 0 || cairn_error_code(error) == r));
    return r;
}

struct counts {
    size_t entries, bytes;
};

static int count_entry(void *context, const cairn_state_info *info, uint64_t element,
                       const cairn_entry *entry)
{
    struct counts *counts = context;
    (void)info;
    (void)element;
    counts->entries++;
    counts->bytes += entry->key_size + entry->value_size;
    return 0;
}

/* Adds one state up, and asks that its entries can be found. */
static struct counts count_state(const struct crn_operator_state *state, size_t blob_size)
{
    struct counts counts = {.entries = state->count};
    crn_fuzz_must(state->capacity <= 8 + 4 * blob_size);
    for (size_t i = 0; i < state->count; i++) {
        const struct crn_operator_item *item = &state->items[i];
        size_t at = 0;
        counts.bytes += item->key_size + item->value_size;
        if (state->info.kind == CAIRN_KIND_BROADCAST)
            crn_fuzz_must(crn_operator_state_seek(state, item->bytes, item->key_size, &at) &&
                          at == i);
    }
    return counts;
}

static void check_identity(const struct cairn_buffer *blob,
                           const struct crn_operator_states *states)
{
    CRN_AUTO_BUFFER struct cairn_buffer again = {0};
    struct counts walked = {0}, held = {0};
    crn_fuzz_must(crn_operator_states_encode(states, &again, NULL) == 0);
    crn_fuzz_must(again.size == blob->size &&
                  (blob->size == 0 || memcmp(again.data, blob->data, blob->size) == 0));
    crn_fuzz_must(crn_operator_states_walk(blob->data, blob->size, count_entry, &walked, NULL) ==
                  0);
    for (size_t i = 0; i < states->count; i++) {
        struct counts counts = count_state(states->states[i], blob->size);
        held.entries += counts.entries;
        held.bytes += counts.bytes;
    }
    crn_fuzz_must(walked.entries == held.entries && walked.bytes == held.bytes);
}

/* The blob as that of two subtasks, restored into `parallelism`. */
static void check_dealing(const struct cairn_buffer *blob, const struct crn_operator_states *one,
                          uint32_t parallelism)
{
    const struct cairn_buffer blobs[2] = {*blob, *blob};
    CRN_AUTO_FREE struct counts *split = calloc(one->count + 1, sizeof(*split));
    crn_fuzz_must(split != NULL);
    for (uint32_t subtask = 0; subtask < parallelism; subtask++) {
        AUTO_STATES struct crn_operator_states *states = NULL;
        crn_fuzz_must(restore(blobs, 2, subtask, parallelism, &states) == 0);
        crn_fuzz_must(states->count == one->count);
        for (size_t i = 0; i < one->count; i++) {
            struct counts whole = count_state(one->states[i], blob->size);
            struct counts mine = count_state(states->states[i], blob->size);
            size_t copies = one->states[i]->info.kind == CAIRN_KIND_OPERATOR_UNION ? 2 : 1;
            split[i].entries += mine.entries;
            split[i].bytes += mine.bytes;
            if (one->states[i]->info.kind != CAIRN_KIND_OPERATOR_LIST || parallelism == 2)
                crn_fuzz_must(mine.entries == copies * whole.entries &&
                              mine.bytes == copies * whole.bytes);
        }
    }
    for (size_t i = 0; i < one->count; i++) {
        struct counts whole = count_state(one->states[i], blob->size);
        if (one->states[i]->info.kind == CAIRN_KIND_OPERATOR_LIST)
            crn_fuzz_must(split[i].entries == 2 * whole.entries &&
                          split[i].bytes == 2 * whole.bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cairn_buffer blob = {(uint8_t *)(uintptr_t)data, size, size};
    AUTO_STATES struct crn_operator_states *states = NULL;
    if (restore(&blob, 1, 0, 1, &states) < 0)
        return 0;
    check_identity(&blob, states);
    for (uint32_t parallelism = 1; parallelism <= 3; parallelism++)
        check_dealing(&blob, states, parallelism);
    return 0;
}
