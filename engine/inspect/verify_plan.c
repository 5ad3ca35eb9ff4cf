/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to look at. A job may have very many objects, so of each is kept, once, what it should be,
 * and which checkpoints need it; manifests are read one at a time and dropped. Whoever only wants
 * to know that all is there with the right size asks the listing, which is needed anyway, and about
 * a thousand objects at a time: only what it does not show, or shows otherwise, is left to be asked
 * for by itself.
 *
 * The listing is older than the log. An object that came in between is asked for, and so is one
 * that was removed meanwhile.
 *
 * Two manifests that describe one object differently give two targets. Targets are found by a
 * seeded hash of all that they are: whoever writes a manifest must not be able to make this slow
 * (P11).
 */
#include "engine/inspect/verify.h"

#include "base/hash.h"
#include "base/thread.h"
#include "engine/transfer/fetch.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 1024u

static void forget(struct crn_verify_plan *plan)
{
    for (size_t i = 0; i < plan->inlined_count; i++)
        cairn_error_free(plan->inlined[i].error);
    for (size_t i = 0; i < plan->survey.count; i++)
        plan->survey.objects[i].is_live = false;
    if (plan->slots != NULL)
        memset(plan->slots, 0, plan->slot_count * sizeof *plan->slots);
    crn_names_done(&plan->names);
    crn_names_done(&plan->survey.missing);
    plan->target_count = plan->need_count = plan->checkpoint_count = plan->inlined_count = 0;
    plan->object_count = plan->target_bytes = plan->settled_bytes = 0;
}

void crn_verify_plan_done(struct crn_verify_plan *plan)
{
    forget(plan);
    crn_survey_done(&plan->survey);
    free(plan->targets);
    free(plan->slots);
    free(plan->needs);
    free(plan->checkpoints);
    free(plan->inlined);
}

/* Room for one more: where the items are now, or NULL. */
static void *reserve(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t larger = *capacity == 0 ? 256 : 2 * *capacity;
    void *moved = larger < UINT32_MAX ? reallocarray(items, larger, size) : NULL;
    if (moved != NULL)
        *capacity = larger;
    return moved;
}

static void add_bytes(uint64_t *sum, uint64_t bytes)
{
    if (__builtin_add_overflow(*sum, bytes, sum))
        *sum = UINT64_MAX; /* a manifest's sizes may be anything */
}

/* ---- targets ---- */

/* The slot that has it, or the free one where it belongs. There is a free one. */
static size_t slot_of(const struct crn_verify_plan *plan, const struct crn_expectation *expected)
{
    size_t mask = plan->slot_count - 1;
    size_t slot = (size_t)crn_hash64_seeded(expected, sizeof *expected, plan->seed) & mask;
    for (uint32_t found; (found = plan->slots[slot]) != 0; slot = (slot + 1) & mask)
        if (memcmp(&plan->targets[found - 1].expected, expected, sizeof *expected) == 0)
            break;
    return slot;
}

static int grow_slots(struct crn_verify_plan *plan)
{
    size_t count = plan->slot_count == 0 ? SLOTS_MIN : 2 * plan->slot_count;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return CAIRN_ENOMEM;
    free(plan->slots);
    plan->slots = slots;
    plan->slot_count = count;
    for (size_t i = 0; i < plan->target_count; i++)
        slots[slot_of(plan, &plan->targets[i].expected)] = (uint32_t)(i + 1);
    return 0;
}

static int add_target(struct crn_verify_plan *plan, const struct crn_expectation *expected,
                      const struct crn_file *file, size_t *ret_index)
{
    size_t number;
    if (2 * (plan->target_count + 1) > plan->slot_count)
        CRN_TRY(grow_slots(plan));
    uint32_t *slot = &plan->slots[slot_of(plan, expected)];
    if (*slot != 0) {
        *ret_index = *slot - 1;
        return 0;
    }
    struct crn_verify_target *targets =
        reserve(plan->targets, plan->target_count, &plan->target_capacity, sizeof *targets);
    if (targets == NULL)
        return CAIRN_ENOMEM;
    plan->targets = targets;
    if (crn_names_add(&plan->names, file->info.name, &number) < 0)
        return CAIRN_ENOMEM;
    plan->targets[plan->target_count] = (struct crn_verify_target){
        .expected = *expected,
        .name = plan->names.items[number],
        .checkpoint_id = file->info.checkpoint_id,
        .last_checkpoint = UINT32_MAX,
    };
    add_bytes(&plan->target_bytes, expected->size);
    *ret_index = plan->target_count++;
    *slot = (uint32_t)plan->target_count;
    return 0;
}

/* Two subtasks of one checkpoint may share it. */
static int add_need(struct crn_verify_plan *plan, size_t target)
{
    uint32_t checkpoint = (uint32_t)plan->checkpoint_count - 1;
    if (plan->targets[target].last_checkpoint == checkpoint)
        return 0;
    struct crn_verify_need *needs =
        reserve(plan->needs, plan->need_count, &plan->need_capacity, sizeof *needs);
    if (needs == NULL)
        return CAIRN_ENOMEM;
    plan->needs = needs;
    plan->targets[target].last_checkpoint = checkpoint;
    plan->needs[plan->need_count++] = (struct crn_verify_need){(uint32_t)target, checkpoint};
    return 0;
}

/* Where only sizes count, a pack is all of its slices. */
static struct crn_expectation expectation_of(const struct crn_verify_plan *plan,
                                             const struct crn_file *file, const char *object)
{
    const cairn_file_info *info = &file->info;
    struct crn_expectation expected;
    memset(&expected, 0, sizeof expected); /* its padding, too */
    expected.object = object;
    expected.size = plan->full ? info->size : crn_file_object_size(file);
    if (!plan->full)
        return expected;
    expected.object_offset = info->object_offset;
    expected.object_size = info->object_size;
    expected.has_xxh3 = info->has_xxh3;
    if (info->has_xxh3)
        memcpy(expected.xxh3, info->xxh3, sizeof expected.xxh3);
    expected.has_crc32c = info->has_crc32c;
    expected.crc32c = info->has_crc32c ? info->crc32c : 0;
    return expected;
}

/* *ret_listed: NULL if the listing does not have it. */
static int note_object(struct crn_verify_plan *plan, const char *name, const char **ret_object,
                       struct crn_survey_object **ret_listed)
{
    struct crn_survey *survey = &plan->survey;
    size_t number;
    *ret_listed = NULL;
    if (crn_names_find(&survey->names, name, &number)) {
        *ret_listed = &survey->objects[number];
        *ret_object = survey->names.items[number];
        plan->object_count += !(*ret_listed)->is_live;
        return 0;
    }
    int r = crn_names_add(&survey->missing, name, &number);
    if (r < 0)
        return r;
    plan->object_count += r == 1;
    *ret_object = survey->missing.items[number];
    return 0;
}

static int add_object(struct crn_verify_plan *plan, const struct crn_file *file)
{
    struct crn_survey_object *listed;
    const char *object;
    size_t target;
    CRN_TRY(note_object(plan, file->info.object, &object, &listed));
    bool is_new = listed != NULL && !listed->is_live;
    if (listed != NULL)
        listed->is_live = true;
    if (!plan->full && listed != NULL && listed->size == crn_file_object_size(file)) {
        if (is_new)
            add_bytes(&plan->settled_bytes, listed->size);
        return 0;
    }
    struct crn_expectation expected = expectation_of(plan, file, object);
    CRN_TRY(add_target(plan, &expected, file, &target));
    return add_need(plan, target);
}

/* ---- records ---- */

/* The manifest has its bytes, so there is nothing to wait for. */
static int look_at_inlined(struct crn_verify_plan *plan, const struct crn_file *file, uint64_t id,
                           cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (!plan->full)
        return 0;
    int r = crn_fetch_bytes(plan->store, plan->job, file, NULL, &bytes, &error);
    if (r == 0 || r == CAIRN_ENOMEM)
        return r == 0 ? 0 : crn_err_move(reterr, &error, r);
    struct crn_verify_inlined *inlined =
        reserve(plan->inlined, plan->inlined_count, &plan->inlined_capacity, sizeof *inlined);
    if (inlined == NULL)
        return crn_err_nomem(reterr);
    plan->inlined = inlined;
    plan->inlined[plan->inlined_count++] = (struct crn_verify_inlined){id, CRN_TAKE(error)};
    return 0;
}

static int add_subtask(struct crn_verify_plan *plan, const struct crn_subtask *subtask, uint64_t id,
                       cairn_error **reterr)
{
    for (size_t f = 0; f < subtask->file_count; f++) {
        const struct crn_file *file = &subtask->files[f];
        if (file->info.object == NULL)
            CRN_TRY(look_at_inlined(plan, file, id, reterr));
        else if (add_object(plan, file) < 0)
            return crn_err_nomem(reterr);
    }
    return 0;
}

static int begin_plan(void *context, cairn_error **reterr)
{
    (void)reterr;
    forget(context);
    return 0;
}

static int add_record(void *context, const struct crn_joblog_entry *entry, cairn_error **reterr)
{
    struct crn_verify_plan *plan = context;
    const struct crn_record *record = entry->record;
    if (!crn_record_is_restorable(record) || (plan->wanted_id != 0 && plan->wanted_id != entry->id))
        return 0;
    uint64_t *checkpoints = reserve(plan->checkpoints, plan->checkpoint_count,
                                    &plan->checkpoint_capacity, sizeof *checkpoints);
    if (checkpoints == NULL)
        return crn_err_nomem(reterr);
    plan->checkpoints = checkpoints;
    plan->checkpoints[plan->checkpoint_count++] = entry->id;
    for (size_t o = 0; o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++)
            CRN_TRY(add_subtask(plan, &record->operators[o].subtasks[s], entry->id, reterr));
    return 0;
}

/* ---- the whole ---- */

static int compare_needs(const void *a, const void *b)
{
    const struct crn_verify_need *x = a, *y = b;
    if (x->target != y->target)
        return x->target < y->target ? -1 : 1;
    return (x->checkpoint > y->checkpoint) - (x->checkpoint < y->checkpoint);
}

/* They came from the newest down. */
static void put_in_order(struct crn_verify_plan *plan)
{
    size_t count = plan->checkpoint_count;
    for (size_t i = 0; i < count / 2; i++) {
        uint64_t id = plan->checkpoints[i];
        plan->checkpoints[i] = plan->checkpoints[count - 1 - i];
        plan->checkpoints[count - 1 - i] = id;
    }
    for (size_t i = 0; i < plan->need_count; i++)
        plan->needs[i].checkpoint = (uint32_t)(count - 1 - plan->needs[i].checkpoint);
    if (plan->need_count > 0)
        qsort(plan->needs, plan->need_count, sizeof *plan->needs, compare_needs);
}

int crn_verify_plan_make(struct crn_verify_plan *plan, cairn_error **reterr)
{
    const struct crn_joblog_visitor visitor = {begin_plan, add_record, plan};
    struct crn_joblog_objects objects = {0};
    struct crn_survey *survey = &plan->survey;
    plan->seed = crn_random_u64();
    CRN_TRY(crn_survey_list(plan->store, plan->job, survey, reterr));
    for (size_t i = 0; i < survey->count; i++)
        crn_joblog_note_object(&objects, survey->objects[i].key);
    CRN_TRY(crn_joblog_visit(plan->store, plan->job, &visitor, &survey->log, reterr));
    if (survey->log.count == 0)
        return crn_joblog_fail_absent(plan->store, plan->job, &objects, reterr);
    CRN_TRY(crn_joblog_judge_top(&survey->log, &objects, reterr));
    put_in_order(plan);
    return 0;
}

size_t crn_verify_plan_ids(const struct crn_verify_plan *plan,
                           const struct crn_verify_target *target, uint64_t *ret_ids)
{
    uint32_t index = (uint32_t)(target - plan->targets);
    size_t low = 0, high = plan->need_count, count = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (plan->needs[middle].target < index)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < plan->need_count && plan->needs[low].target == index; low++)
        ret_ids[count++] = plan->checkpoints[plan->needs[low].checkpoint];
    return count;
}
