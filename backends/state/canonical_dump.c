/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot's entries into a canonical file.
 *
 * The file is sorted by key group first, the database by state: so one scan per state runs over all
 * key groups of the file, and they take turns, key group by key group. Seeks are as many as states.
 *
 * Any thread; several files of one snapshot may be written at once, each with its own scans.
 */
#include "backends/state/canonical_internal.h"

#define REPORT_BYTES ((uint64_t)1 << 20) /* between two looks at the cancel flag */

struct source {
    struct crn_state_iterator *iterator; /* NULL: at its end, or the state is not there */
    const uint8_t *key, *value;
    size_t key_size, value_size;
    uint32_t key_group; /* of that entry */
};

struct dump {
    const struct crn_canonical_dump *job;
    const struct crn_state_ops *ops;
    struct crn_canonical_writer *writer;
    struct source *sources; /* one per state of the header */
    size_t group_bytes;
    uint64_t unreported;
    cairn_error **reterr;
};

static void end_source(struct dump *dump, struct source *source)
{
    if (source->iterator)
        dump->ops->end(source->iterator);
    source->iterator = NULL;
}

/* To the source's next entry. */
static int advance(struct dump *dump, struct source *source)
{
    int r = dump->ops->next(source->iterator, &source->key, &source->key_size, &source->value,
                            &source->value_size, dump->reterr);
    if (r > 0 && source->key_size < dump->group_bytes)
        return crn_err_fail(dump->reterr, CAIRN_ECORRUPT, NULL,
                            "the database has a key without a key group");
    if (r > 0)
        source->key_group = crn_canonical_group_of(source->key, dump->group_bytes);
    else
        end_source(dump, source);
    return r;
}

/* The key's bytes that stand for a key group. */
static size_t bound_of(uint32_t key_group, size_t group_bytes, uint8_t bound[2])
{
    bound[0] = (uint8_t)(group_bytes == 1 ? key_group : key_group >> 8);
    bound[1] = (uint8_t)key_group;
    return group_bytes;
}

static int open_sources(struct dump *dump)
{
    const struct crn_canonical_dump *job = dump->job;
    uint8_t first[2], end[2];
    struct crn_state_range range = {.first = first, .end = end};
    range.first_size = bound_of(job->header.key_group_first, dump->group_bytes, first);
    /* There always is a bound: 128 key groups do not fill a byte, and 32768 not two. */
    range.end_size = bound_of(job->header.key_group_last + 1, dump->group_bytes, end);

    dump->sources = calloc(job->header.state_count + 1, sizeof(*dump->sources));
    if (!dump->sources)
        return crn_err_nomem(dump->reterr);
    for (size_t i = 0; i < job->header.state_count; i++) {
        struct crn_state *state = dump->ops->find_state(job->db, job->header.states[i]);
        if (!state)
            continue;
        CRN_TRY(dump->ops->scan(job->snapshot, state, &range, &dump->sources[i].iterator,
                                dump->reterr));
        CRN_TRY(advance(dump, &dump->sources[i]));
    }
    return 0;
}

static int report(struct dump *dump)
{
    const struct crn_canonical_dump *job = dump->job;
    if (job->done_bytes)
        atomic_fetch_add(job->done_bytes, dump->unreported);
    dump->unreported = 0;
    if (job->cancelled && atomic_load(job->cancelled))
        return crn_err_fail(dump->reterr, CAIRN_ECANCELED, job->path,
                            "writing of '%s' was cancelled", job->path);
    return 0;
}

/* All that a state has of one key group. */
static int write_run(struct dump *dump, uint32_t state, uint32_t key_group)
{
    struct source *source = &dump->sources[state];
    while (source->iterator && source->key_group == key_group) {
        CRN_TRY(crn_canonical_put(dump->writer, state, source->key, source->key_size, source->value,
                                  source->value_size, dump->reterr));
        dump->unreported += source->key_size + source->value_size;
        if (dump->unreported >= REPORT_BYTES)
            CRN_TRY(report(dump));
        CRN_TRY(advance(dump, source));
    }
    return 0;
}

/* The lowest key group that has entries left; false: none has. */
static bool next_key_group(const struct dump *dump, uint32_t *ret)
{
    bool found = false;
    for (size_t i = 0; i < dump->job->header.state_count; i++) {
        const struct source *source = &dump->sources[i];
        if (source->iterator && (!found || source->key_group < *ret)) {
            *ret = source->key_group;
            found = true;
        }
    }
    return found;
}

static int write_all(struct dump *dump)
{
    uint32_t key_group = 0;
    CRN_TRY(report(dump)); /* cancelled before it began? */
    CRN_TRY(open_sources(dump));
    while (next_key_group(dump, &key_group))
        for (size_t i = 0; i < dump->job->header.state_count; i++)
            CRN_TRY(write_run(dump, (uint32_t)i, key_group));
    return report(dump);
}

int crn_canonical_write(const struct crn_canonical_dump *job, struct crn_canonical_summary *ret,
                        cairn_error **reterr)
{
    struct dump dump = {.job = job,
                        .ops = job->db->ops,
                        .group_bytes = crn_canonical_group_bytes(job->header.max_parallelism),
                        .reterr = reterr};

    CRN_TRY(crn_canonical_create(job->path, &job->header, &dump.writer, reterr));
    int r = write_all(&dump);
    for (size_t i = 0; dump.sources && i < job->header.state_count; i++)
        end_source(&dump, &dump.sources[i]);
    free(dump.sources);
    if (r == 0)
        return crn_canonical_finish(dump.writer, ret, reterr);
    (void)crn_canonical_finish(dump.writer, NULL, NULL); /* gives up */
    return r;
}
