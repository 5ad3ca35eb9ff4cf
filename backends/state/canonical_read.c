/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a canonical file: header, index, end.
 *
 * The index lists the runs in order, each with the size of its blocks; where a run begins is the
 * sum of what comes before it. So runs cannot overlap and leave no gap, and that they fill the file
 * exactly is one comparison. All of the index is checked here (P11), and memory for it is taken
 * only after its size was seen to fit the number of runs, and that number the bytes that the runs
 * must have.
 *
 * Two reads as a rule, four for large files: the input may be an object far away. After opening, a
 * reader never changes: scans in several threads need no lock.
 */
#include "backends/state/canonical_internal.h"

#include <inttypes.h>

#define FIRST_READ_BYTES 4096u
#define LAST_READ_BYTES ((uint64_t)64 << 10)

int crn_canonical_corrupt(const struct crn_canonical_input *input, uint64_t offset,
                          cairn_error **reterr, const char *what)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, input->object, "'%s', byte %" PRIu64 ": %s",
                        input->object, offset, what);
}

static int read_at(const struct crn_canonical_input *input, uint64_t offset,
                   struct cairn_buffer *out, uint64_t size, cairn_error **reterr)
{
    crn_buf_clear(out);
    if (size > SIZE_MAX || crn_buf_reserve(out, (size_t)size) < 0)
        return crn_err_nomem(reterr);
    CRN_TRY(input->read(input->context, offset, out->data, (size_t)size, reterr));
    out->size = (size_t)size;
    return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int read_header(struct crn_canonical_reader *reader, uint32_t *ret_size,
                       cairn_error **reterr)
{
    const struct crn_canonical_input *input = &reader->input;
    CRN_AUTO_BUFFER struct cairn_buffer head = {0};

    if (input->size < CRN_CANONICAL_HEADER_MIN + CRN_CANONICAL_FOOTER_SIZE)
        return crn_canonical_corrupt(input, 0, reterr, "too short for a canonical file");
    CRN_TRY(read_at(input, 0, &head, least(input->size, FIRST_READ_BYTES), reterr));
    CRN_TRY(crn_canonical_header_size(head.data, input->object, ret_size, reterr));
    if (*ret_size > input->size - CRN_CANONICAL_FOOTER_SIZE)
        return crn_canonical_corrupt(input, 0, reterr, "its header is longer than the file");
    if (*ret_size > head.size)
        CRN_TRY(read_at(input, 0, &head, *ret_size, reterr));
    return crn_canonical_header_decode(head.data, *ret_size, input->object, &reader->header,
                                       reterr);
}

/* Whether it is the file that the manifest means. What is read of it later is bound to it by the
 * seed. */
static int check_identity(const struct crn_canonical_reader *reader, cairn_error **reterr)
{
    const struct crn_canonical_input *input = &reader->input;
    const struct crn_canonical_header *header = &reader->header;
    if (!input->identity || (header->has_identity && memcmp(header->identity, input->identity,
                                                            sizeof(header->identity)) == 0))
        return 0;
    return crn_err_fail(reterr, CAIRN_ECORRUPT, input->object,
                        "'%s' is another file than the manifest means", input->object);
}

/* ---- the index ---- */

/* What is between header and footer. */
struct index {
    uint64_t first, end; /* of the blocks */
    uint64_t size;       /* of the index, which is behind them */
    uint64_t run_count, entry_count;
    struct cairn_buffer tail; /* the file's last bytes: index and footer at least */
};

static void index_done(struct index *index)
{
    crn_buf_done(&index->tail);
}

/* The footer's numbers fit each other and the file. */
static bool sizes_fit(const struct index *index, uint64_t groups, uint64_t states)
{
    uint64_t space = index->end - index->first; /* up to the footer as yet */
    if (index->size > space || index->run_count > groups * states)
        return false;
    uint64_t blocks = space - index->size;
    uint64_t run_size = CRN_CANONICAL_BLOCK_HEADER + CRN_CANONICAL_ENTRY_MIN;
    return index->run_count <= blocks / run_size &&
           index->size >= index->run_count * CRN_CANONICAL_RUN_MIN &&
           index->size <= index->run_count * CRN_CANONICAL_RUN_MAX;
}

static int read_index(struct crn_canonical_reader *reader, struct index *index,
                      cairn_error **reterr)
{
    const struct crn_canonical_input *input = &reader->input;
    const struct crn_canonical_header *header = &reader->header;
    uint64_t size = least(input->size - index->first, LAST_READ_BYTES);

    CRN_TRY(read_at(input, input->size - size, &index->tail, size, reterr));
    const uint8_t *footer = index->tail.data + index->tail.size - CRN_CANONICAL_FOOTER_SIZE;
    index->end = input->size - CRN_CANONICAL_FOOTER_SIZE;
    index->size = crn_get_le64(footer);
    index->run_count = crn_get_le64(footer + 8);
    index->entry_count = crn_get_le64(footer + 16);
    if (!sizes_fit(index, header->key_group_last - header->key_group_first + 1,
                   header->state_count))
        return crn_canonical_corrupt(input, index->end, reterr, "its end does not fit the file");
    index->end -= index->size;
    size = index->size + CRN_CANONICAL_FOOTER_SIZE;
    if (size > index->tail.size)
        CRN_TRY(read_at(input, index->end, &index->tail, size, reterr));
    const uint8_t *bytes = index->tail.data + index->tail.size - size;
    size_t summed = (size_t)size - CRN_CANONICAL_CHECKSUM_SIZE;
    if (crn_get_le64(bytes + summed) != crn_hash64_seeded(bytes, summed, reader->seed))
        return crn_canonical_corrupt(input, index->end, reterr,
                                     "the checksum of its index is wrong");
    return 0;
}

/* The next run of the index, behind `last`, which ends where it begins. */
static bool read_run(struct crn_reader *in, const struct crn_canonical_reader *reader,
                     const struct crn_canonical_run *last, struct crn_canonical_run *ret)
{
    uint64_t groups, state, stored, entries;
    uint32_t group = last ? last->key_group : reader->header.key_group_first;

    if (!crn_read_varint(in, &groups) || !crn_read_varint(in, &state) ||
        !crn_read_varint(in, &stored) || !crn_read_varint(in, &entries))
        return false;
    if (groups > reader->header.key_group_last - group || state >= reader->header.state_count ||
        (last && groups == 0 && state <= last->state))
        return false;
    if (entries == 0 || stored < CRN_CANONICAL_BLOCK_HEADER + CRN_CANONICAL_ENTRY_MIN)
        return false;
    ret->key_group = (uint16_t)(group + groups);
    ret->state = (uint16_t)state;
    ret->stored_bytes = stored;
    ret->entry_count = entries;
    return true;
}

static int decode_runs(struct crn_canonical_reader *reader, const struct index *index,
                       cairn_error **reterr)
{
    const uint8_t *footer = index->tail.data + index->tail.size - CRN_CANONICAL_FOOTER_SIZE;
    struct crn_reader in = {.data = footer - index->size, .size = (size_t)index->size};
    uint64_t offset = index->first, entries = 0;

    reader->runs = calloc((size_t)index->run_count + 1, sizeof(*reader->runs));
    if (!reader->runs)
        return crn_err_nomem(reterr);
    for (size_t i = 0; i < index->run_count; i++) {
        struct crn_canonical_run *run = &reader->runs[i];
        if (!read_run(&in, reader, i > 0 ? run - 1 : NULL, run) ||
            run->stored_bytes > index->end - offset)
            return crn_canonical_corrupt(&reader->input, index->end + in.position, reterr,
                                         "its index breaks the rules");
        run->offset = offset;
        offset += run->stored_bytes;
        if (__builtin_add_overflow(entries, run->entry_count, &entries))
            entries = UINT64_MAX;
    }
    reader->run_count = (size_t)index->run_count;
    if (crn_reader_left(&in) != 0 || offset != index->end || entries != index->entry_count)
        return crn_canonical_corrupt(&reader->input, index->end, reterr,
                                     "its index does not add up");
    return 0;
}

/* ---- the reader ---- */

void crn_canonical_close(struct crn_canonical_reader *reader)
{
    if (!reader)
        return;
    crn_canonical_header_done(&reader->header);
    free(reader->runs);
    free(reader);
}

static void reader_cleanup(struct crn_canonical_reader **reader)
{
    crn_canonical_close(*reader);
}

int crn_canonical_open(const struct crn_canonical_input *input, struct crn_canonical_reader **ret,
                       cairn_error **reterr)
{
    CRN_CLEANUP(reader_cleanup) struct crn_canonical_reader *reader = calloc(1, sizeof(*reader));
    CRN_CLEANUP(index_done) struct index index = {0};
    uint32_t header_size = 0;

    if (!reader)
        return crn_err_nomem(reterr);
    reader->input = *input;
    CRN_TRY(read_header(reader, &header_size, reterr));
    reader->seed = crn_canonical_seed(&reader->header);
    CRN_TRY(check_identity(reader, reterr));
    index.first = header_size;
    CRN_TRY(read_index(reader, &index, reterr));
    CRN_TRY(decode_runs(reader, &index, reterr));
    *ret = CRN_TAKE(reader);
    return 0;
}

const struct crn_canonical_header *crn_canonical_header(const struct crn_canonical_reader *reader)
{
    return &reader->header;
}

int crn_canonical_state(const struct crn_canonical_reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->header.state_count; i++)
        if (strcmp(reader->header.states[i], name) == 0)
            return (int)i;
    return -1;
}

size_t crn_canonical_first_run(const struct crn_canonical_reader *reader, uint32_t key_group)
{
    size_t low = 0, high = reader->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reader->runs[middle].key_group < key_group)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t crn_canonical_range_bytes(const struct crn_canonical_reader *reader,
                                   uint32_t key_group_first, uint32_t key_group_last)
{
    uint64_t bytes = 0;
    for (size_t i = crn_canonical_first_run(reader, key_group_first);
         i < reader->run_count && reader->runs[i].key_group <= key_group_last; i++)
        bytes += reader->runs[i].stored_bytes;
    return bytes;
}
