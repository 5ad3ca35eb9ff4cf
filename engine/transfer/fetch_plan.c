/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a list of files to what is asked of the store.
 *
 * Slices of one object that lie near each other become one piece, so that many small files need few
 * requests. Where the store says that ranges help, large files are read in ranges of its size.
 * Under a limit of bytes per second everything large is, in smaller ones: bytes are booked before
 * they are asked for, and what is asked for should not take the others' turn for long.
 *
 * Pure but for the question to the store, which answers from memory. Sizes and offsets are what a
 * manifest says (P11).
 */
#include "engine/transfer/fetch_plan.h"

#include "backends/storage/storage.h"

#include <stdlib.h>
#include <string.h>

/* Slices are got together if what lies between them is less than a request costs. */
#define PACK_GAP_BYTES ((uint64_t)256 << 10)
#define PACK_SPAN_BYTES ((uint64_t)16 << 20)
/* Under a limit a range takes a fourth of a second of it, within these bounds. */
#define LIMITED_PER_SEC 4u
#define LIMITED_BYTES_MIN ((uint64_t)256 << 10)
#define LIMITED_BYTES_MAX ((uint64_t)16 << 20)
/* An object of fewer ranges is not worth the question for its size. */
#define RANGES_MIN 2u

/* Slices by object and place, in front of all others. */
static int by_place(const void *a, const void *b)
{
    const struct crn_file *x = *(const struct crn_file *const *)a;
    const struct crn_file *y = *(const struct crn_file *const *)b;
    bool x_is = crn_file_is_slice(x), y_is = crn_file_is_slice(y);
    if (!x_is || !y_is)
        return y_is - x_is;
    int r = strcmp(x->info.object, y->info.object);
    return r != 0 ? r
                  : (x->info.object_offset > y->info.object_offset) -
                        (x->info.object_offset < y->info.object_offset);
}

static int larger_first(const void *a, const void *b)
{
    const struct crn_fetch_piece *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* May the file be got together with those of the piece? Slices come in order of place. */
static bool belongs_to(const struct crn_fetch_piece *piece, const struct crn_file *file,
                       bool sizes_only)
{
    const cairn_file_info *first = &piece->files[0]->info, *info = &file->info;
    const cairn_file_info *last = &piece->files[piece->count - 1]->info;
    if (!crn_file_is_slice(piece->files[0]) || !crn_file_is_slice(file) ||
        strcmp(first->object, info->object) != 0)
        return false;
    if (sizes_only)
        return true; /* one question for the object's size */
    uint64_t end = last->object_offset + last->size;
    return (info->object_offset < end || info->object_offset - end <= PACK_GAP_BYTES) &&
           info->object_offset + info->size - first->object_offset <= PACK_SPAN_BYTES;
}

static void add_to_pieces(struct crn_fetch_plan *plan, const struct crn_file **place,
                          bool sizes_only)
{
    struct crn_fetch_piece *last =
        plan->piece_count > 0 ? &plan->pieces[plan->piece_count - 1] : NULL;
    if (last == NULL || !belongs_to(last, *place, sizes_only)) {
        last = &plan->pieces[plan->piece_count++];
        *last = (struct crn_fetch_piece){.files = place};
    }
    last->count++;
    last->bytes += (*place)->info.size;
}

static uint64_t choose_range_bytes(const struct crn_fetch_request *request)
{
    const struct crn_downloads *downloads = request->downloads;
    if (request->directory == NULL || request->problem != NULL)
        return 0;
    uint64_t range_bytes = crn_store_range_bytes(request->store);
    uint64_t limit = downloads != NULL ? downloads->rate.bytes_per_sec : 0;
    if (limit == 0)
        return range_bytes;
    uint64_t most = range_bytes > 0 ? range_bytes : LIMITED_BYTES_MAX;
    uint64_t wanted = limit / LIMITED_PER_SEC;
    return wanted < LIMITED_BYTES_MIN ? LIMITED_BYTES_MIN : wanted < most ? wanted : most;
}

static int add_files(struct crn_fetch_plan *plan, const struct crn_fetch_request *request,
                     cairn_error **reterr)
{
    for (size_t i = 0; i < request->count; i++) {
        plan->files[i] = request->files[i];
        if (__builtin_add_overflow(plan->total_bytes, request->files[i]->info.size,
                                   &plan->total_bytes))
            return crn_err_fail(reterr, CAIRN_ECORRUPT, request->job,
                                "job '%s': the sizes in a manifest are beyond all measure",
                                request->job);
    }
    qsort(plan->files, request->count, sizeof *plan->files, by_place);
    for (size_t i = 0; i < request->count; i++)
        add_to_pieces(plan, &plan->files[i], request->sizes_only);
    qsort(plan->pieces, plan->piece_count, sizeof *plan->pieces, larger_first);
    return 0;
}

int crn_fetch_plan_make(const struct crn_fetch_request *request, struct crn_fetch_plan *ret,
                        cairn_error **reterr)
{
    *ret = (struct crn_fetch_plan){
        .files = calloc(request->count + 1, sizeof *ret->files),
        .pieces = calloc(request->count + 1, sizeof *ret->pieces),
        .range_bytes = choose_range_bytes(request),
    };
    return ret->files == NULL || ret->pieces == NULL ? crn_err_nomem(reterr)
                                                     : add_files(ret, request, reterr);
}

void crn_fetch_plan_done(struct crn_fetch_plan *plan)
{
    free(plan->files);
    free(plan->pieces);
}

size_t crn_fetch_plan_ordinal(const struct crn_fetch_plan *plan,
                              const struct crn_fetch_piece *piece)
{
    return (size_t)(piece->files - plan->files);
}

bool crn_fetch_plan_in_ranges(const struct crn_fetch_plan *plan,
                              const struct crn_fetch_piece *piece)
{
    const cairn_file_info *info = &piece->files[0]->info;
    return plan->range_bytes > 0 && piece->count == 1 && info->object != NULL &&
           info->size / plan->range_bytes >= RANGES_MIN;
}

uint32_t crn_fetch_plan_threads(const struct crn_fetch_plan *plan, uint32_t threads)
{
    uint64_t steps = plan->piece_count;
    for (size_t i = 0; i < plan->piece_count && steps < threads; i++)
        if (crn_fetch_plan_in_ranges(plan, &plan->pieces[i]))
            steps += plan->pieces[i].bytes / plan->range_bytes;
    return steps < threads ? (uint32_t)steps : threads;
}
