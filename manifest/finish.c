/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from the rest of a record: sums, counts, the order of operators and subtasks. The
 * same code runs before a record is written and after one is read, so a listing shows the same
 * figures whether or not they went through a store.
 */
#include "base/text.h"
#include "manifest/internal.h"
#include <stdint.h>
#include <string.h>

/* Sizes come from a store, so their sum may be anything (P11). */
static void add(uint64_t *sum, uint64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = UINT64_MAX;
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static int by_uid(const void *a, const void *b)
{
    const struct crn_operator *x = a, *y = b;
    return strcmp(text_or_empty(x->info.uid), text_or_empty(y->info.uid));
}

static int by_index(const void *a, const void *b)
{
    const struct crn_subtask *x = a, *y = b;
    return (x->info.index > y->info.index) - (x->info.index < y->info.index);
}

/* Replaces what is not clean text, and cuts at the end of a character. In place: the strings belong
 * to the record, and nothing can fail. */
void crn_record_make_clean(const char *text, size_t max_size)
{
    char *at = (char *)(uintptr_t)text;
    if (at == NULL)
        return;
    size_t left = max_size;
    while (*at != '\0' && left > 0) {
        size_t n = 1;
        while (n < 4 && !crn_text_is_clean(at, n) && at[n] != '\0')
            n++;
        if (!crn_text_is_clean(at, n)) {
            *at = '?';
            n = 1;
        }
        if (n > left)
            break;
        at += n;
        left -= n;
    }
    *at = '\0';
}

cairn_record_state crn_history_state_of(cairn_record_kind kind)
{
    switch (kind) {
    case CAIRN_RECORD_CHECKPOINT:
        return CAIRN_STATE_SUBSUMED; /* its files may be gone */
    case CAIRN_RECORD_ABORTED:
        return CAIRN_STATE_ABORTED;
    case CAIRN_RECORD_FENCE:
        return CAIRN_STATE_FENCE;
    case CAIRN_RECORD_SAVEPOINT:
        return CAIRN_STATE_SAVEPOINT;
    }
    return CAIRN_STATE_SUBSUMED; /* no kind at all: the rules will say so */
}

static void sum_subtask(struct crn_subtask *subtask, cairn_record_info *total)
{
    cairn_subtask_info *info = &subtask->info;
    info->full_bytes = 0;
    info->new_bytes = 0;
    info->file_count = subtask->file_count;
    for (size_t i = 0; i < subtask->file_count; i++) {
        const cairn_file_info *file = &subtask->files[i].info;
        add(&info->full_bytes, file->size);
        if (file->checkpoint_id == total->id) {
            add(&info->new_bytes, file->size);
            total->new_file_count++;
        }
    }
    add(&total->full_bytes, info->full_bytes);
    add(&total->new_bytes, info->new_bytes);
    total->file_count += subtask->file_count;
    if (info->barrier_us > total->barrier_max_us)
        total->barrier_max_us = info->barrier_us;
}

void crn_record_finish(struct crn_record *record)
{
    cairn_record_info *total = &record->info;
    const bool is_restorable = crn_record_is_restorable(record);
    total->state = is_restorable ? CAIRN_STATE_COMPLETE : crn_history_state_of(total->kind);
    total->full_bytes = 0;
    total->new_bytes = 0;
    total->file_count = 0;
    total->new_file_count = 0;
    total->barrier_max_us = 0;
    if (total->kind != CAIRN_RECORD_CHECKPOINT)
        total->is_full = is_restorable; /* what an attempt was meant to be is not stored */
    crn_record_make_clean(total->reason, CRN_REASON_MAX);
    crn_record_make_clean(total->host, CRN_HOST_MAX);
    crn_record_make_clean(total->library_version, CRN_LIBRARY_VERSION_MAX);
    crn_record_make_clean(total->location, CRN_LOCATION_MAX);
    crn_record_make_clean(total->source_location, CRN_LOCATION_MAX);

    if (record->operator_count > 1)
        qsort(record->operators, record->operator_count, sizeof record->operators[0], by_uid);
    for (size_t i = 0; i < record->operator_count; i++) {
        struct crn_operator *op = &record->operators[i];
        op->info.state_count = op->state_count;
        op->info.subtask_count = op->subtask_count;
        if (op->subtask_count > 1)
            qsort(op->subtasks, op->subtask_count, sizeof op->subtasks[0], by_index);
        for (size_t j = 0; j < op->subtask_count; j++)
            sum_subtask(&op->subtasks[j], total);
    }
}
