/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operator state of one subtask, for reading: the blob is fetched and verified, walked once, and
 * the wanted entries are kept until the caller has had them. Operator state lives in memory in a
 * job too, so its size is no matter here.
 */

#include "engine/inspect/cat.h"
#include "engine/transfer/fetch.h"
#include "engine/job/task.h"
#include <string.h>

void crn_cat_operator_close(struct crn_cat_operator *list)
{
    crn_buf_done(&list->bytes);
    free(list->items);
    *list = (struct crn_cat_operator){0};
}

static bool find_state(const struct crn_operator *op, const cairn_state_info *info, size_t *ret)
{
    for (size_t i = 0; i < op->state_count; i++) {
        if (op->states[i].kind == info->kind && strcmp(op->states[i].name, info->name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static struct crn_cat_item *add_item(struct crn_cat_operator *list)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct crn_cat_item *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return NULL;
        list->items = items;
        list->capacity = capacity;
    }
    return &list->items[list->count++];
}

static int collect(void *context, const cairn_state_info *info, uint64_t element,
                   const cairn_entry *entry)
{
    struct crn_cat_operator *list = context;
    size_t state;
    if (!find_state(list->op, info, &state))
        return CAIRN_ECORRUPT;
    if (!crn_cat_wants(list->filter, &list->op->states[state]))
        return 0;
    struct crn_cat_item *item = add_item(list);
    if (item == NULL)
        return CAIRN_ENOMEM;
    *item = (struct crn_cat_item){.state = state,
                                  .element = element,
                                  .key_offset = list->bytes.size,
                                  .key_size = entry->key_size,
                                  .value_offset = list->bytes.size + entry->key_size,
                                  .value_size = entry->value_size};
    if (entry->key_size > 0)
        CRN_TRY(crn_buf_append(&list->bytes, entry->key, entry->key_size));
    return entry->value_size > 0 ? crn_buf_append(&list->bytes, entry->value, entry->value_size)
                                 : 0;
}

static int collect_file(struct crn_cat_operator *list, const struct crn_file *file,
                        cairn_error **reterr)
{
    const cairn_snapshot *snapshot = list->filter->snapshot;
    CRN_AUTO_BUFFER struct cairn_buffer blob = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;

    CRN_TRY(crn_fetch_bytes(snapshot->store, snapshot->job, file, NULL, &blob, reterr));
    int r = crn_operator_states_walk(blob.data, blob.size, collect, list, &error);
    if (r == 0)
        return 0;
    if (error != NULL)
        return crn_err_move(reterr, &error, r);
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    return crn_err_fail(reterr, r, file->info.object,
                        "operator state of '%s' holds a state that its manifest does not know",
                        list->op->info.uid);
}

int crn_cat_operator_open(struct crn_cat_operator *list, const struct crn_cat_filter *filter,
                          const struct crn_operator *op, const struct crn_subtask *subtask,
                          cairn_error **reterr)
{
    *list = (struct crn_cat_operator){.filter = filter, .op = op};
    if (filter->has_key) /* operator state has no keys of that kind */
        return 0;
    for (size_t i = 0; i < subtask->file_count; i++) {
        if (subtask->files[i].info.role == CAIRN_FILE_OPERATOR_STATE)
            CRN_TRY(collect_file(list, &subtask->files[i], reterr));
    }
    return 0;
}

void crn_cat_operator_begin(struct crn_cat_operator *list)
{
    list->next = 0;
}

int crn_cat_operator_next(struct crn_cat_operator *list, size_t state, cairn_cat_entry *ret)
{
    while (list->next < list->count && list->items[list->next].state != state)
        list->next++;
    if (list->next == list->count)
        return 0;
    const struct crn_cat_item *item = &list->items[list->next++];
    const uint8_t *bytes = list->bytes.data;
    *ret = (cairn_cat_entry){.state = item->state, .element = item->element};
    ret->entry.key_size = item->key_size;
    ret->entry.value_size = item->value_size;
    if (list->op->states[item->state].kind == CAIRN_KIND_BROADCAST)
        ret->entry.key = bytes != NULL ? bytes + item->key_offset : (const uint8_t *)"";
    ret->entry.value = bytes != NULL ? bytes + item->value_offset : (const uint8_t *)"";
    return 1;
}
