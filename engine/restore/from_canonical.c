/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical files: just the key groups that are wanted, read from the store where they lie and
 * loaded, many ranges at a time. Any backend takes them.
 *
 * Values pass through as they are: lists, times of expiry and schema tags mean the same to every
 * backend (values.h). Each block is verified by its own checksum when it is read (P8); what a file
 * says of itself must agree with the manifest, or the file is not the one that was meant.
 */
#include "engine/restore/restore_run.h"

#include "engine/restore/load.h"

#include <string.h>

/* A range worth a thread's while. */
#define UNIT_BYTES ((uint64_t)8 << 20)
#define UNITS_MAX 64u /* of one state in one file */

void crn_canonical_done(struct crn_restore_run *run)
{
    for (size_t i = 0; i < run->canonical_count; i++) {
        crn_canonical_close(run->canonical[i].reader);
        crn_object_input_done(&run->canonical[i].input);
    }
    free(run->canonical);
}

static int fail_file(const struct crn_canonical_source *source, const char *what,
                     cairn_error **reterr)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, source->input.input.object,
                        "canonical file '%s' does not fit its manifest: %s",
                        source->input.input.object, what);
}

/* Every state in it is one of the operator's keyed states. */
static int check_states(const struct crn_restore_run *run,
                        const struct crn_canonical_source *source,
                        const struct crn_canonical_header *header, cairn_error **reterr)
{
    size_t known = 0;
    for (size_t i = 0; i < run->keyed_count; i++)
        known += crn_canonical_state(source->reader, run->keyed[i].name) >= 0;
    return known == header->state_count
               ? 0
               : fail_file(source, "it has states that the operator does not have", reterr);
}

static int open_file(struct crn_restore_run *run, const struct crn_restore_part *part,
                     const struct crn_file *file, cairn_error **reterr)
{
    const struct crn_restore_request *request = run->request;
    struct crn_canonical_source *source = &run->canonical[run->canonical_count];
    const cairn_file_info *info = &file->info;
    if (info->key_group_last < part->key_group_first ||
        info->key_group_first > part->key_group_last)
        return 0;
    CRN_TRY(crn_object_input_init(&source->input, request->store, request->prefix, file, reterr));
    run->canonical_count++;
    source->input.downloads = request->downloads;
    CRN_TRY(crn_canonical_open(&source->input.input, &source->reader, reterr));
    const struct crn_canonical_header *header = crn_canonical_header(source->reader);
    if (header->max_parallelism != request->op->info.max_parallelism ||
        header->key_group_first != info->key_group_first ||
        header->key_group_last != info->key_group_last)
        return fail_file(source, "it is of other key groups", reterr);
    CRN_TRY(check_states(run, source, header, reterr));
    source->key_group_first = info->key_group_first > part->key_group_first ? info->key_group_first
                                                                            : part->key_group_first;
    source->key_group_last =
        info->key_group_last < part->key_group_last ? info->key_group_last : part->key_group_last;
    source->bytes =
        crn_canonical_range_bytes(source->reader, source->key_group_first, source->key_group_last);
    run->total_bytes += source->bytes;
    return 0;
}

int crn_canonical_prepare(struct crn_restore_run *run, cairn_error **reterr)
{
    size_t most = 0;
    for (size_t i = 0; i < run->plan.count; i++)
        most += run->plan.parts[i].is_canonical ? run->plan.parts[i].subtask->file_count : 0;
    run->canonical = calloc(most + 1, sizeof *run->canonical);
    if (run->canonical == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < run->plan.count; i++) {
        const struct crn_restore_part *part = &run->plan.parts[i];
        for (size_t f = 0; part->is_canonical && f < part->subtask->file_count; f++)
            if (part->subtask->files[f].info.role == CAIRN_FILE_CANONICAL)
                CRN_TRY(open_file(run, part, &part->subtask->files[f], reterr));
    }
    return 0;
}

/* Wanted key groups of a file in ranges of about the same size: the ends are inclusive. */
static size_t cut_groups(const struct crn_canonical_source *source, uint32_t ends[UNITS_MAX])
{
    uint64_t target =
        source->bytes / UNITS_MAX > UNIT_BYTES ? source->bytes / UNITS_MAX : UNIT_BYTES;
    uint64_t sum = 0;
    size_t count = 0;
    for (uint32_t group = source->key_group_first; group < source->key_group_last; group++) {
        sum += crn_canonical_range_bytes(source->reader, group, group);
        if (sum >= target && count < UNITS_MAX - 1) {
            ends[count++] = group;
            sum = 0;
        }
    }
    ends[count++] = source->key_group_last;
    return count;
}

static size_t cut_file(const struct crn_canonical_source *source, int number, struct crn_state *to,
                       const uint32_t *ends, size_t end_count, struct crn_load_unit *units)
{
    uint32_t first = source->key_group_first;
    size_t states = crn_canonical_header(source->reader)->state_count;
    for (size_t i = 0; i < end_count; i++) {
        units[i] = (struct crn_load_unit){
            .reader = source->reader,
            .number = number,
            .to = to,
            .key_group_first = first,
            .key_group_last = ends[i],
            .stored_bytes =
                crn_canonical_range_bytes(source->reader, first, ends[i]) / states, /* about */
        };
        first = ends[i] + 1;
    }
    return end_count;
}

static int load_file(struct crn_restore_run *run, const struct crn_canonical_source *source,
                     struct crn_load_unit **units, size_t *count, cairn_error **reterr)
{
    uint32_t ends[UNITS_MAX];
    size_t end_count = cut_groups(source, ends);
    for (size_t i = 0; i < run->keyed_count; i++) {
        int number = crn_canonical_state(source->reader, run->keyed[i].name);
        struct crn_state *to = NULL;
        if (number < 0)
            continue;
        CRN_TRY(run->db->ops->open_state(run->db, &run->keyed[i], &to, reterr));
        struct crn_load_unit *grown =
            reallocarray(*units, *count + end_count, sizeof(struct crn_load_unit));
        if (grown == NULL)
            return crn_err_nomem(reterr);
        *units = grown;
        *count += cut_file(source, number, to, ends, end_count, &grown[*count]);
    }
    return 0;
}

int crn_canonical_load(struct crn_restore_run *run, cairn_error **reterr)
{
    CRN_AUTO_FREE struct crn_load_unit *units = NULL;
    size_t count = 0;
    for (size_t i = 0; i < run->canonical_count; i++) {
        CRN_TRY(load_file(run, &run->canonical[i], &units, &count, reterr));
        run->bytes_read += run->canonical[i].bytes;
    }
    const struct crn_load load = {
        .db = run->db,
        .units = units,
        .count = count,
        .max_parallelism = run->request->op->info.max_parallelism,
        .threads = run->threads,
        .cancelled = run->request->cancelled,
        .tick = crn_restore_tick,
        .tick_context = run,
    };
    return crn_load_run(&load, &run->bytes_loaded, reterr);
}
