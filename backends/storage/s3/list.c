/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings, page by page: one page is in memory at a time. Keys come without the store's prefix and
 * in ascending byte order; a server that breaks the order, or gives what was not asked for, would
 * make a wrong garbage collection, so that is an error. Keys that no store of Cairn's could hold
 * are foreign: they are passed on as they are, and nobody touches them.
 */
#include "backends/storage/s3/methods.h"

#include <string.h>

#define EMPTY_PAGES_MAX 100u /* in a row; servers may send some */

struct listing {
    const struct crn_s3 *s3;
    cairn_list_fn fn;
    void *context;
    size_t skip;      /* bytes of the store's prefix, for list_segments also of the caller's */
    const char *full; /* what every key has to begin with */
    struct cairn_buffer last[2]; /* key, and common prefix */
    bool out_of_order;
    uint32_t empty_pages; /* in a row */
    int result;           /* of fn */
};

static int take_key(void *context, const char *key, const cairn_object_stat *stat)
{
    struct listing *listing = context;
    if (strncmp(key, listing->full, strlen(listing->full)) != 0) {
        listing->out_of_order = true;
        return CAIRN_ECORRUPT;
    }
    /* With a delimiter, keys and prefixes are two sorted sequences: see crn_s3_list_segments(). */
    struct cairn_buffer *last = &listing->last[stat == NULL];
    listing->empty_pages = 0;
    listing->out_of_order = last->size > 0 && strcmp(key, (const char *)last->data) <= 0;
    if (listing->out_of_order)
        return CAIRN_ECORRUPT;
    crn_buf_clear(last);
    if (crn_buf_append(last, key, strlen(key) + 1) < 0)
        return CAIRN_ENOMEM;
    listing->result = listing->fn(listing->context, key + listing->skip, stat);
    return listing->result;
}

static int list_page(struct listing *listing, const char *delimiter, struct crn_s3_page *page,
                     cairn_error **reterr)
{
    CRN_CLEANUP(crn_s3_request_done) struct crn_s3_request request = {.method = "GET"};
    CRN_AUTO_BUFFER struct cairn_buffer token = {0};
    crn_s3_request_query(&request, "list-type", "2");
    crn_s3_request_query(&request, "prefix", listing->full);
    if (delimiter != NULL)
        crn_s3_request_query(&request, "delimiter", delimiter);
    if (page->is_truncated) {
        if (crn_buf_append(&token, page->token.data, page->token.size) < 0)
            return crn_err_nomem(reterr);
        crn_s3_request_query(&request, "continuation-token", (const char *)token.data);
    }
    /* It reads nothing that changes, so it may be repeated. */
    CRN_TRY(crn_s3_perform((struct crn_s3 *)(uintptr_t)listing->s3, &request, reterr));
    int r =
        crn_s3_read_list(request.reply.data, request.reply.size, take_key, listing, page, reterr);
    if (listing->out_of_order)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, listing->full,
                            "the listing of bucket '%s' is not in order: this server cannot be "
                            "used",
                            listing->s3->config.bucket);
    /* Order keeps pages that have keys from going round in circles. */
    if (r == 0 && page->is_truncated && listing->empty_pages > EMPTY_PAGES_MAX)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, listing->full,
                            "the listing of bucket '%s' does not end", listing->s3->config.bucket);
    return r;
}

static int list_pages(struct listing *listing, const char *delimiter, cairn_error **reterr)
{
    struct crn_s3_page page = {0};
    int r;
    do {
        listing->empty_pages++;
        r = list_page(listing, delimiter, &page, reterr);
    } while (r == 0 && page.is_truncated);
    crn_buf_done(&page.token);
    crn_buf_done(&listing->last[0]);
    crn_buf_done(&listing->last[1]);
    return r;
}

int crn_s3_list(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_AUTO_FREE char *full = NULL;
    CRN_TRY(crn_str_printf(&full, reterr, "%s%s", s3->config.prefix, prefix));
    struct listing listing = {
        .s3 = s3, .fn = fn, .context = context, .skip = strlen(s3->config.prefix), .full = full};
    return list_pages(&listing, NULL, reterr);
}

/* Segments are collected: the server gives keys and prefixes of a page each in order, but not
 * merged. There are few: jobs of a store, or checkpoints of a job. */
struct segments {
    char **names;
    cairn_object_stat *stats; /* size UINT64_MAX: it goes on with '/' */
    size_t count, capacity;
};

static void segments_done(struct segments *segments)
{
    for (size_t i = 0; i < segments->count; i++)
        free(segments->names[i]);
    free(segments->names);
    free(segments->stats);
}

static int add_segment(void *context, const char *name, const cairn_object_stat *stat)
{
    struct segments *s = context;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity == 0 ? 64 : s->capacity * 2;
        char **names = realloc(s->names, capacity * sizeof *names);
        if (names == NULL)
            return CAIRN_ENOMEM;
        s->names = names;
        cairn_object_stat *stats = realloc(s->stats, capacity * sizeof *stats);
        if (stats == NULL)
            return CAIRN_ENOMEM;
        s->stats = stats;
        s->capacity = capacity;
    }
    s->names[s->count] = crn_str_dup_n(name, strlen(name));
    if (s->names[s->count] == NULL)
        return CAIRN_ENOMEM;
    s->stats[s->count++] = stat != NULL ? *stat : (cairn_object_stat){.size = UINT64_MAX};
    return 0;
}

struct segment {
    const char *name;
    const cairn_object_stat *stat;
};

static int compare_segments(const void *a, const void *b)
{
    return strcmp(((const struct segment *)a)->name, ((const struct segment *)b)->name);
}

int crn_s3_list_segments(cairn_store *store, const char *prefix, cairn_list_fn fn, void *context,
                         cairn_error **reterr)
{
    struct crn_s3 *s3 = crn_s3_of(store);
    CRN_AUTO_FREE char *full = NULL;
    CRN_CLEANUP(segments_done) struct segments segments = {0};
    CRN_TRY(crn_store_check_segments_prefix(prefix, reterr));
    CRN_TRY(crn_str_printf(&full, reterr, "%s%s", s3->config.prefix, prefix));
    struct listing listing = {
        .s3 = s3, .fn = add_segment, .context = &segments, .skip = strlen(full), .full = full};
    int r = list_pages(&listing, "/", reterr);
    if (r < 0)
        return r == CAIRN_ENOMEM ? crn_err_nomem(reterr) : r;
    CRN_AUTO_FREE struct segment *sorted = calloc(segments.count + 1, sizeof *sorted);
    if (sorted == NULL)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < segments.count; i++)
        sorted[i] = (struct segment){
            segments.names[i],
            segments.stats[i].size == UINT64_MAX ? NULL : &segments.stats[i],
        };
    qsort(sorted, segments.count, sizeof *sorted, compare_segments);
    for (size_t i = 0; r == 0 && i < segments.count; i++)
        if (*sorted[i].name != 0) /* the place itself, as some tools make one */
            r = fn(context, sorted[i].name, sorted[i].stat);
    return r;
}
