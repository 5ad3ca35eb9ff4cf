/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which new files of a part become one object, a pack. A store that is reached by requests takes as
 * long for a small object as for a medium one, and may charge as much: so small tables are sent
 * together, and so are small files that only this checkpoint uses. A store that links has nothing
 * to gain, and its links would be lost.
 *
 * In the order of their numbers, since tables that were written together tend to be compacted, and
 * so to die, together. What the store can copy by itself stays an object of its own: a copy has no
 * slices. Packs are of medium size, so that all transfer threads have something to do.
 *
 * What a pack costs is space: it lives as long as one of its tables does. How much of that is borne
 * is decided where tables are referenced: origin.c.
 */
#include "engine/job/outgoing.h"

#include "engine/savepoint/savepoint.h"

#include <string.h>

#define PACK_FILES_MAX 1024u
#define PACK_BYTES_MAX ((uint64_t)32 << 20)
#define PACK_BYTES_LEAST ((uint64_t)8 << 20) /* less than that is not worth another object */
#define PACK_BELOW_DEFAULT ((uint64_t)1 << 20)

struct candidate {
    size_t index;
    uint64_t number, size;
    enum kind { KIND_TABLE, KIND_PRIVATE, KIND_ALONE } kind; /* packs do not mix them */
};

/* 0: nothing is packed. */
static uint64_t pack_below(const struct crn_part *part)
{
    uint64_t wanted = part->attempt->job->options.pack_below_bytes;
    if (wanted > 0)
        return wanted > 1 ? wanted : 0;
    return crn_upload_is_linked(part->attempt->store, part->staging) ? 0 : PACK_BELOW_DEFAULT;
}

static bool may_be_copied(const struct crn_part *part, size_t index)
{
    return part->origins != NULL && part->origins[index].file != NULL &&
           !atomic_load(&part->attempt->cannot_copy) &&
           !crn_upload_is_linked(part->attempt->store, part->staging);
}

static enum kind kind_of(const struct crn_part *part, size_t index, uint64_t below)
{
    const cairn_file_info *info = &part->described->subtasks[0].files[index].info;
    bool is_dump = part->snapshot != NULL && info->role == CAIRN_FILE_CANONICAL;
    if (is_dump || info->size == 0 || info->size >= below ||
        crn_upload_is_inlined(part->attempt->job, info))
        return KIND_ALONE;
    if (info->role != CAIRN_FILE_TABLE)
        return KIND_PRIVATE;
    return may_be_copied(part, index) ? KIND_ALONE : KIND_TABLE;
}

static int by_kind_and_number(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* So that there is a pack for each thread, as far as they are large enough. */
static uint64_t pack_bytes(const struct crn_part *part, uint64_t total)
{
    uint64_t threads = part->attempt->job->options.transfer_threads;
    uint64_t each = total / (threads > 0 ? threads : 1) + 1;
    return each < PACK_BYTES_LEAST ? PACK_BYTES_LEAST
           : each > PACK_BYTES_MAX ? PACK_BYTES_MAX
                                   : each;
}

static size_t cut(const struct candidate *candidates, size_t count, uint64_t most, size_t *ends)
{
    size_t groups = 0;
    for (size_t i = 0, next; i < count; i = next) {
        uint64_t bytes = candidates[i].size;
        for (next = i + 1; next < count; next++) {
            const struct candidate *c = &candidates[next];
            if (c->kind == KIND_ALONE || c->kind != candidates[i].kind || c->size > most - bytes ||
                next - i == PACK_FILES_MAX)
                break;
            bytes += c->size;
        }
        ends[groups++] = next;
    }
    return groups;
}

int crn_packs_group(struct crn_part *part, size_t *order, size_t *ends, size_t *ret_groups,
                    cairn_error **reterr)
{
    const struct crn_subtask *subtask = &part->described->subtasks[0];
    CRN_AUTO_FREE struct candidate *candidates =
        calloc(subtask->file_count + 1, sizeof *candidates);
    if (candidates == NULL)
        return crn_err_nomem(reterr);
    uint64_t below = pack_below(part), total = 0;
    size_t count = 0;
    for (size_t i = 0; i < subtask->file_count; i++) {
        const cairn_file_info *info = &subtask->files[i].info;
        if (info->object != NULL)
            continue;
        struct candidate *c = &candidates[count++];
        *c = (struct candidate){i, info->number, info->size, kind_of(part, i, below)};
        total += c->kind == KIND_TABLE ? c->size : 0;
    }
    qsort(candidates, count, sizeof *candidates, by_kind_and_number);
    *ret_groups = cut(candidates, count, pack_bytes(part, total), ends);
    for (size_t i = 0; i < count; i++)
        order[i] = candidates[i].index;
    return 0;
}
