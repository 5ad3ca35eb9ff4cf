/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are slices of one object: one get from the lowest to the highest byte that is wanted,
 * dealt out to the files as it comes. Each file is verified by its own checksum (P8) and has its
 * name as soon as its last byte is there; a try that breaks off goes on with the first file that is
 * not whole. What lies between two wanted files is read and dropped, so the caller does not put
 * together what is far apart.
 *
 * Slices come from a manifest, and need not be what they should be (P11): one that begins before
 * the end of the one before it is left for another get.
 *
 * No locks: one thread's. Crash outcome: arrival.c.
 */
#include "engine/transfer/arrival.h"

#include <inttypes.h>

struct member {
    struct crn_arrival arrival;
    bool settled; /* it is there, or it is bad */
};

struct pack {
    struct crn_intake_sink sink;
    const struct crn_intake *intake;
    const struct crn_pack_request *request;
    struct member *members;
    size_t first;   /* that is not settled */
    size_t current; /* whose bytes come next */
    uint64_t start; /* of the range that is being read, in the object */
    uint64_t position;
};

static struct member *current_member(struct pack *pack)
{
    return &pack->members[pack->current];
}

static uint64_t member_begin(const struct member *member)
{
    return member->arrival.file->info.object_offset;
}

static uint64_t member_end(const struct member *member)
{
    return member_begin(member) + member->arrival.file->info.size;
}

static int settle(struct pack *pack, struct member *member, int r, cairn_error **error,
                  cairn_error **reterr)
{
    const struct crn_pack_request *request = pack->request;
    /* What ends the get stays unsettled, so that it ends the rest as well. */
    if (r < 0 && (request->problem == NULL || r == CAIRN_ECANCELED || r == CAIRN_ENOMEM))
        return crn_err_move(reterr, error, r);
    member->settled = true;
    if (r == 0)
        return 0;
    return request->problem(request->problem_context, member->arrival.file, r, error);
}

/* To the first member at or behind the position that waits for bytes. */
static void skip_settled(struct pack *pack)
{
    const size_t count = pack->request->count;
    while (pack->current < count &&
           (current_member(pack)->settled || member_begin(current_member(pack)) < pack->position))
        pack->current++;
}

static int restart(struct crn_intake_sink *sink, cairn_error **reterr)
{
    struct pack *pack = (struct pack *)sink;
    (void)reterr;
    pack->position = pack->start;
    pack->current = pack->first;
    skip_settled(pack);
    return 0;
}

/* Bytes of the current member, or in front of it; returns how many of the n. */
static int deal_out(struct pack *pack, const uint8_t *data, size_t n, size_t *ret_taken,
                    cairn_error **reterr)
{
    struct member *member = current_member(pack);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    uint64_t begin = member_begin(member), end = member_end(member);
    bool is_before = pack->position < begin;
    uint64_t left = (is_before ? begin : end) - pack->position;
    *ret_taken = left < n ? (size_t)left : n;
    if (is_before)
        return 0;
    if (pack->position == begin)
        CRN_TRY(crn_arrival_start(&member->arrival, reterr));
    CRN_TRY(crn_arrival_take(&member->arrival, data, *ret_taken, reterr));
    if (pack->position + *ret_taken < end)
        return 0;
    int r = crn_arrival_finish(&member->arrival, &error);
    return settle(pack, member, r, &error, reterr);
}

static int sink_write(cairn_sink *sink, uint64_t offset, const void *data, size_t n,
                      cairn_error **reterr)
{
    struct pack *pack = (struct pack *)sink;
    const uint8_t *at = data;
    if (offset == 0)
        CRN_TRY(restart(&pack->sink, reterr));
    if (pack->start + offset != pack->position)
        return crn_err_fail(reterr, CAIRN_EINTERNAL, pack->members[0].arrival.key,
                            "object '%s': the store gave offset %" PRIu64 " in place of %" PRIu64,
                            pack->members[0].arrival.key, offset, pack->position - pack->start);
    while (n > 0 && pack->current < pack->request->count) {
        size_t taken = 0;
        CRN_TRY(deal_out(pack, at, n, &taken, reterr));
        at += taken;
        n -= taken;
        pack->position += taken;
        if (current_member(pack)->settled) /* else more of it comes in the next piece */
            skip_settled(pack);
    }
    pack->position += n; /* behind the last one: nobody's */
    return 0;
}

static void find_first(struct pack *pack)
{
    while (pack->first < pack->request->count && pack->members[pack->first].settled)
        pack->first++;
}

/* One get for what is left. */
static int get_rest(struct pack *pack, cairn_error **reterr)
{
    const struct member *members = pack->members;
    uint64_t end = 0;
    pack->start = member_begin(&members[pack->first]);
    for (size_t i = pack->first; i < pack->request->count; i++)
        if (!members[i].settled && member_end(&members[i]) > end)
            end = member_end(&members[i]);
    return crn_intake_get(pack->intake, members[0].arrival.key, pack->start, end - pack->start,
                          end - pack->start, &pack->sink, reterr);
}

/* What is wrong with the object is wrong with every file in it that has not come. */
static int settle_rest(struct pack *pack, int code, const cairn_error *why, cairn_error **reterr)
{
    for (size_t i = pack->first; i < pack->request->count; i++) {
        struct member *member = &pack->members[i];
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = code;
        if (member->settled)
            continue;
        if (code == CAIRN_ENOTFOUND)
            r = crn_arrival_fail_missing(&member->arrival, &error);
        else
            error = crn_err_copy(why);
        CRN_TRY(settle(pack, member, r, &error, reterr));
    }
    return 0;
}

static int bring_all(struct pack *pack, cairn_error **reterr)
{
    for (find_first(pack); pack->first < pack->request->count; find_first(pack)) {
        size_t before = pack->first;
        CRN_AUTO_ERROR cairn_error *error = NULL;
        int r = get_rest(pack, &error);
        find_first(pack);
        if (r == 0 && pack->first == before) /* a store that gives less than it says */
            r = crn_err_fail(&error, CAIRN_EINTERNAL, pack->members[0].arrival.key,
                             "the store gave less of '%s' than it was asked for",
                             pack->members[0].arrival.key);
        bool ends_it = pack->request->problem == NULL || r == CAIRN_ECANCELED || r == CAIRN_ENOMEM;
        if (r < 0 && r != CAIRN_ENOTFOUND && ends_it)
            return crn_err_move(reterr, &error, r);
        if (r < 0)
            return settle_rest(pack, r, error, reterr);
    }
    return 0;
}

static int compare_stored_size(struct pack *pack, cairn_error **reterr)
{
    const struct crn_intake *intake = pack->intake;
    const struct crn_arrival *first = &pack->members[0].arrival;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_object_stat stat;
    int r = intake->store->ops->stat(intake->store, first->key, &stat, &error);
    if (r == 0 && stat.size != first->file->info.object_size)
        r = crn_err_fail(&error, CAIRN_ECORRUPT, first->key,
                         "object '%s' ('%s' and others) is damaged: its size is %" PRIu64
                         " bytes, the manifest says %" PRIu64,
                         first->key, first->file->info.name, stat.size,
                         first->file->info.object_size);
    for (size_t i = 0; r == 0 && i < pack->request->count; i++)
        CRN_TRY(intake->tick(intake->tick_context,
                             (int64_t)pack->members[i].arrival.file->info.size, reterr));
    return r < 0 ? settle_rest(pack, r, error, reterr) : 0;
}

static int bring(struct pack *pack, cairn_error **reterr)
{
    const struct crn_pack_request *request = pack->request;
    for (size_t i = 0; i < request->count; i++) {
        struct crn_arrival *arrival = &pack->members[i].arrival;
        CRN_TRY(crn_arrival_init(arrival, pack->intake, arrival->scratch, request->files[i],
                                 request->ordinal + i, NULL, reterr));
    }
    if (pack->intake->sizes_only)
        return compare_stored_size(pack, reterr);
    for (size_t i = 0; i < request->count; i++) {
        int r = crn_arrival_find(&pack->members[i].arrival, reterr);
        if (r < 0)
            return r;
        pack->members[i].settled = r == 1;
    }
    return bring_all(pack, reterr);
}

int crn_intake_pack(const struct crn_intake *intake, const struct crn_intake_scratch *scratch,
                    const struct crn_pack_request *request, cairn_error **reterr)
{
    struct pack pack = {.sink = {.sink.write = sink_write, .restart = restart},
                        .intake = intake,
                        .request = request,
                        .members = calloc(request->count, sizeof *pack.members)};
    if (pack.members == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < request->count; i++) {
        pack.members[i].arrival.scratch = scratch;
        pack.members[i].arrival.fd = -1;
    }
    int r = bring(&pack, reterr);
    for (size_t i = 0; i < request->count; i++)
        crn_arrival_done(&pack.members[i].arrival);
    free(pack.members);
    return r;
}
