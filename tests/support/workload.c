/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of operations and its oracle; workload.h says what they are for. draw() is the only
 * source of chance: what operation i does follows from (seed, subtask, i) alone, for state and
 * oracle alike.
 */
#include "tests/support/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARALLELISM 128u
#define USUAL_BLOB_MAX 600u

uint64_t workload_random(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t draw(const struct workload *w, uint64_t position)
{
    return workload_random(w->seed ^ workload_random(((uint64_t)w->subtask << 56) ^ position));
}

static uint8_t map_entry(uint64_t random)
{
    return (uint8_t)((random >> 20) % WORKLOAD_MAP_KEYS);
}

static size_t make_blob(const struct workload *w, uint64_t position, uint8_t out[WORKLOAD_BLOB_MAX])
{
    uint64_t random = draw(w, position ^ 0x55aa55aa55aa55aau);
    size_t size = random % w->blob_max;
    for (size_t i = 0; i < size; i++) { /* noise: it does not shrink on its way to the disk */
        if (i % 8 == 0)
            random = workload_random(random);
        out[i] = (uint8_t)(random >> (i % 8 * 8));
    }
    return size;
}

static int fold_add(void *context, const void *accumulator, size_t accumulator_size,
                    const void *input, size_t input_size, cairn_buffer *out)
{
    uint8_t bytes[16];
    (void)context;
    (void)input_size;
    int64_t sum = accumulator_size == 16 ? cairn_decode_int64(accumulator) : 0;
    int64_t count =
        accumulator_size == 16 ? cairn_decode_int64((const uint8_t *)accumulator + 8) : 0;
    cairn_encode_int64(sum + cairn_decode_int64(input), bytes);
    cairn_encode_int64(count + 1, bytes + 8);
    return cairn_buffer_append(out, bytes, sizeof bytes);
}

static int at_barrier(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct workload *w = context;
    uint8_t entry[16];
    (void)task;
    int r = cairn_operator_list_clear(w->positions, NULL);
    if (r == 0)
        r = cairn_operator_list_add_int64(w->positions, (int64_t)w->position, NULL);
    cairn_encode_int64((int64_t)w->subtask, entry);
    cairn_encode_int64((int64_t)w->position, entry + 8);
    if (r == 0)
        r = cairn_operator_list_clear(w->everybody, NULL);
    if (r == 0)
        r = cairn_operator_list_add(w->everybody, entry, sizeof entry, NULL);
    if (r == 0)
        r = cairn_broadcast_put(w->shared, "position", 8, entry + 8, 8, NULL);
    if (r == 0 && w->at_barrier != NULL)
        w->at_barrier(w->context, w, checkpoint_id);
    return r;
}

static void choose_keys(struct workload *w)
{
    uint32_t n = 0;
    for (int64_t key = 0; n < WORKLOAD_KEYS; key++) {
        uint8_t bytes[8];
        cairn_encode_int64(key, bytes);
        if (cairn_subtask_of_key(bytes, 8, w->parallelism, MAX_PARALLELISM) == (int)w->subtask)
            w->keys[n++] = key;
    }
}

/* What operation `position` is, applied to the oracle; the state's half is in apply(). */
static void apply_to_oracle(struct workload *w, uint64_t position)
{
    uint64_t random = draw(w, position);
    struct workload_slot *slot = &w->slots[random % WORKLOAD_KEYS];
    int64_t number = (int64_t)(random >> 40);
    uint32_t entry = map_entry(random);
    switch ((random >> 8) % 16) {
    case 0:
        slot->has_blob = false;
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        slot->has_blob = true;
        slot->blob_of = position;
        break;
    case 5:
    case 6:
    case 7:
        if (slot->list_count == WORKLOAD_LIST_MAX)
            slot->list_count = 0;
        else
            slot->list[slot->list_count++] = number;
        break;
    case 8:
        memset(slot->has_map, 0, sizeof slot->has_map);
        break;
    case 9:
        slot->has_map[entry] = false;
        break;
    case 10:
    case 11:
        slot->has_map[entry] = true;
        slot->map[entry] = number;
        break;
    case 12:
    case 13:
        slot->sum = slot->has_sum ? slot->sum + number : number;
        slot->has_sum = true;
        break;
    case 14:
        slot->has_sum = false;
        break;
    default:
        slot->folded = slot->has_mean ? slot->folded + number : number;
        slot->folded_count = slot->has_mean ? slot->folded_count + 1 : 1;
        slot->has_mean = true;
        break;
    }
}

/* slot: as the oracle has it before this operation. */
static int apply(struct workload *w, uint64_t position, const struct workload_slot *slot,
                 cairn_error **e)
{
    uint64_t random = draw(w, position);
    int64_t number = (int64_t)(random >> 40);
    uint8_t entry = map_entry(random);
    uint8_t blob[WORKLOAD_BLOB_MAX], bytes[8];
    cairn_encode_int64(number, bytes);
    switch ((random >> 8) % 16) {
    case 0:
        return cairn_value_clear(w->blob, e);
    case 1:
    case 2:
    case 3:
    case 4:
        return cairn_value_put(w->blob, blob, make_blob(w, position, blob), e);
    case 5:
    case 6:
    case 7:
        return slot->list_count == WORKLOAD_LIST_MAX ? cairn_list_clear(w->list, e)
                                                     : cairn_list_add(w->list, bytes, 8, e);
    case 8:
        return cairn_map_clear(w->map, e);
    case 9:
        return cairn_map_remove(w->map, &entry, 1, e);
    case 10:
    case 11:
        return cairn_map_put(w->map, &entry, 1, bytes, 8, e);
    case 12:
    case 13:
        return cairn_reducing_add(w->sum, bytes, 8, e);
    case 14:
        return cairn_reducing_clear(w->sum, e);
    default:
        return cairn_aggregating_add(w->mean, bytes, 8, e);
    }
}

static int open_states(struct workload *w, cairn_error **e)
{
    static const cairn_aggregate_functions fold = {fold_add, NULL, NULL};
    int r = cairn_value_state(w->task, "blob", CAIRN_BYTES, NULL, &w->blob, e);
    if (r == 0)
        r = cairn_list_state(w->task, "list/of numbers", CAIRN_INT64, NULL, &w->list, e);
    if (r == 0)
        r = cairn_map_state(w->task, "map", CAIRN_BYTES, CAIRN_INT64, NULL, &w->map, e);
    if (r == 0)
        r = cairn_reducing_state(w->task, "sum", CAIRN_INT64, cairn_reduce_sum_int64, NULL, NULL,
                                 &w->sum, e);
    if (r == 0)
        r = cairn_aggregating_state(w->task, "mean", CAIRN_BYTES, &fold, NULL, &w->mean, e);
    if (r == 0)
        r = cairn_operator_list_state(w->task, "position", CAIRN_SPLIT, CAIRN_INT64, &w->positions,
                                      e);
    if (r == 0)
        r = cairn_operator_list_state(w->task, "everybody", CAIRN_UNION, CAIRN_BYTES, &w->everybody,
                                      e);
    if (r == 0)
        r = cairn_broadcast_state(w->task, "shared", CAIRN_STRING, CAIRN_INT64, &w->shared, e);
    return r;
}

int workload_open(struct workload *w, cairn_job *job, uint64_t seed, uint32_t subtask,
                  uint32_t parallelism, uint64_t memtable_bytes, cairn_error **e)
{
    void (*hook)(void *, const struct workload *, uint64_t) = w->at_barrier;
    void *context = w->context;
    uint32_t blob_max = w->blob_max != 0 ? w->blob_max : USUAL_BLOB_MAX;
    const void *data;
    size_t size;
    memset(w, 0, sizeof *w);
    w->at_barrier = hook;
    w->context = context;
    w->blob_max = blob_max < WORKLOAD_BLOB_MAX ? blob_max : WORKLOAD_BLOB_MAX;
    w->seed = seed;
    w->subtask = subtask;
    w->parallelism = parallelism;
    choose_keys(w);
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = parallelism;
    options.subtask = subtask;
    options.max_parallelism = MAX_PARALLELISM;
    options.key_type = CAIRN_INT64;
    options.memtable_bytes = memtable_bytes;
    options.before_barrier = at_barrier;
    options.context = w;
    int r = cairn_task_open(job, "workload/uid with spaces", &options, &w->task, e);
    if (r < 0)
        return r;
    r = open_states(w, e);
    if (r < 0)
        return r;
    if (cairn_operator_list_at(w->positions, 0, &data, &size) == 0)
        w->position = (uint64_t)cairn_decode_int64(data);
    for (uint64_t i = 0; i < w->position; i++)
        apply_to_oracle(w, i);
    return 0;
}

int workload_step(struct workload *w, cairn_error **e)
{
    uint64_t random = draw(w, w->position);
    int r = cairn_task_set_key_int64(w->task, w->keys[random % WORKLOAD_KEYS]);
    if (r == 0)
        r = apply(w, w->position, &w->slots[random % WORKLOAD_KEYS], e);
    if (r < 0)
        return r;
    apply_to_oracle(w, w->position);
    w->position++;
    return 0;
}

static const char *check_map(struct workload *w, const struct workload_slot *slot)
{
    cairn_iterator *iterator;
    cairn_entry entry;
    size_t n = 0, expected = 0;
    if (cairn_map_iterate(w->map, &iterator, NULL) < 0)
        return "map cannot be iterated";
    int r;
    bool wrong = false;
    while ((r = cairn_iterator_next(iterator, &entry, NULL)) == 1) {
        uint8_t key = entry.map_key_size == 1 ? *(const uint8_t *)entry.map_key : 255;
        n++;
        wrong |= key >= WORKLOAD_MAP_KEYS || !slot->has_map[key] || entry.value_size != 8 ||
                 cairn_decode_int64(entry.value) != slot->map[key];
    }
    cairn_iterator_close(iterator);
    for (size_t i = 0; i < WORKLOAD_MAP_KEYS; i++)
        expected += slot->has_map[i];
    return r < 0 || wrong || n != expected ? "map differs" : NULL;
}

static const char *check_list(struct workload *w, const struct workload_slot *slot)
{
    const void *data;
    size_t size;
    if (cairn_list_load(w->list, NULL) != slot->list_count)
        return "list has another length";
    for (size_t i = 0; i < slot->list_count; i++)
        if (cairn_list_at(w->list, i, &data, &size) < 0 || size != 8 ||
            cairn_decode_int64(data) != slot->list[i])
            return "list differs";
    return NULL;
}

static const char *check_slot(struct workload *w, const struct workload_slot *slot)
{
    const void *data;
    size_t size;
    uint8_t blob[WORKLOAD_BLOB_MAX];
    int64_t sum = 0;
    if (cairn_value_get(w->blob, &data, &size, NULL) != (int)slot->has_blob)
        return "value is there and should not be, or the reverse";
    if (slot->has_blob &&
        (size != make_blob(w, slot->blob_of, blob) || (size > 0 && memcmp(data, blob, size) != 0)))
        return "value differs";
    if (cairn_reducing_get_int64(w->sum, &sum, NULL) != (int)slot->has_sum ||
        (slot->has_sum && sum != slot->sum))
        return "sum differs";
    if (cairn_aggregating_get(w->mean, &data, &size, NULL) != (int)slot->has_mean ||
        (slot->has_mean && (size != 16 || cairn_decode_int64(data) != slot->folded ||
                            cairn_decode_int64((const uint8_t *)data + 8) != slot->folded_count)))
        return "aggregate differs";
    const char *wrong = check_list(w, slot);
    return wrong != NULL ? wrong : check_map(w, slot);
}

/* Nothing but what the oracle has: entries of other keys would not be seen key by key. */
static const char *check_no_more(struct workload *w)
{
    size_t found = 0, expected = 0;
    cairn_iterator *iterator;
    cairn_entry entry;
    if (cairn_task_iterate(w->task, "blob", &iterator, NULL) < 0)
        return "state cannot be iterated";
    while (cairn_iterator_next(iterator, &entry, NULL) == 1)
        found++;
    cairn_iterator_close(iterator);
    for (size_t i = 0; i < WORKLOAD_KEYS; i++)
        expected += w->slots[i].has_blob;
    return found == expected ? NULL : "there are more or fewer values than the oracle has";
}

const char *workload_check(struct workload *w)
{
    for (size_t i = 0; i < WORKLOAD_KEYS; i++) {
        if (cairn_task_set_key_int64(w->task, w->keys[i]) < 0)
            return "key is refused";
        const char *wrong = check_slot(w, &w->slots[i]);
        if (wrong != NULL)
            return wrong;
    }
    return check_no_more(w);
}
