/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Conversion of Avro values by a plan of avro_resolve.c: bytes of the stored schema in, bytes of
 * the present one out, without a tree of the value in between. What is copied was read before, so
 * only what is a value gets through (P11).
 */

#include "engine/serializers/avro.h"
#include "backends/state/values.h"

static int convert(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                   struct cairn_buffer *out);

static int copy(const struct crn_avro_node *node, struct crn_avro_cursor *in,
                struct cairn_buffer *out)
{
    size_t start = in->in.position;
    if (!crn_avro_skip(in, node))
        return CAIRN_ECORRUPT;
    return crn_buf_append(out, in->in.data + start, in->in.position - start);
}

static int widen(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                 struct cairn_buffer *out)
{
    int64_t integer;
    const uint8_t *bytes;
    bool to_float = plan->to->kind == CRN_AVRO_FLOAT;
    if (plan->from->kind == CRN_AVRO_FLOAT)
        return crn_avro_read_fixed(in, sizeof(float), &bytes)
                   ? crn_avro_append_double(out, (double)crn_avro_float(bytes))
                   : CAIRN_ECORRUPT;
    if (!crn_avro_read_long(in, &integer) ||
        (plan->from->kind == CRN_AVRO_INT && (integer < INT32_MIN || integer > INT32_MAX)))
        return CAIRN_ECORRUPT;
    return to_float ? crn_avro_append_float(out, (float)integer)
                    : crn_avro_append_double(out, (double)integer);
}

/* Fields from where they are in the value, one after another. */
static int convert_sorted(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                          struct cairn_buffer *out)
{
    size_t next = 0; /* field of the value */
    for (size_t i = 0; i < plan->to->count; i++) {
        if (plan->index[i] < 0) {
            CRN_TRY(crn_buf_append(out, plan->fallbacks[i].data, plan->fallbacks[i].size));
            continue;
        }
        for (; next < (size_t)plan->index[i]; next++)
            if (!crn_avro_skip(in, plan->from->fields[next].type))
                return CAIRN_ECORRUPT;
        CRN_TRY(convert(plan->parts[next++], in, out));
    }
    for (; next < plan->from->count; next++)
        if (!crn_avro_skip(in, plan->from->fields[next].type))
            return CAIRN_ECORRUPT;
    return 0;
}

/* Fields that have to be found first. */
static int convert_unsorted(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                            struct cairn_buffer *out)
{
    CRN_AUTO_FREE size_t *starts = calloc(plan->from->count + 1, sizeof(*starts));
    if (starts == NULL)
        return CAIRN_ENOMEM;
    for (size_t i = 0; i < plan->from->count; i++) {
        starts[i] = in->in.position;
        if (!crn_avro_skip(in, plan->from->fields[i].type))
            return CAIRN_ECORRUPT;
    }
    size_t end = in->in.position;
    for (size_t i = 0; i < plan->to->count; i++) {
        if (plan->index[i] < 0) {
            CRN_TRY(crn_buf_append(out, plan->fallbacks[i].data, plan->fallbacks[i].size));
            continue;
        }
        in->in.position = starts[plan->index[i]];
        CRN_TRY(convert(plan->parts[plan->index[i]], in, out));
    }
    in->in.position = end;
    return 0;
}

static int convert_items(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                         struct cairn_buffer *out)
{
    uint64_t count;
    const uint8_t *key;
    size_t size;
    do {
        if (!crn_avro_read_block(in, &count))
            return CAIRN_ECORRUPT;
        CRN_TRY(crn_avro_append_long(out, (int64_t)count));
        for (uint64_t i = 0; i < count; i++) {
            if (plan->from->kind == CRN_AVRO_MAP) {
                if (!crn_avro_read_bytes(in, &key, &size))
                    return CAIRN_ECORRUPT;
                CRN_TRY(crn_avro_append_bytes(out, key, size));
            }
            CRN_TRY(convert(plan->parts[0], in, out));
        }
    } while (count > 0);
    return 0;
}

static int convert_inside(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                          struct cairn_buffer *out)
{
    size_t i;
    switch (plan->op) {
    case CRN_AVRO_COPY:
        return copy(plan->from, in, out);
    case CRN_AVRO_WIDEN:
        return widen(plan, in, out);
    case CRN_AVRO_FIELDS:
        return plan->is_sorted ? convert_sorted(plan, in, out) : convert_unsorted(plan, in, out);
    case CRN_AVRO_SYMBOL:
        return crn_avro_read_index(in, plan->from->count, &i)
                   ? crn_avro_append_long(out, plan->index[i])
                   : CAIRN_ECORRUPT;
    case CRN_AVRO_ITEMS:
        return convert_items(plan, in, out);
    case CRN_AVRO_FROM_BRANCH:
        return crn_avro_read_index(in, plan->from->count, &i) ? convert(plan->parts[i], in, out)
                                                              : CAIRN_ECORRUPT;
    case CRN_AVRO_TO_BRANCH:
        CRN_TRY(crn_avro_append_long(out, (int64_t)plan->branch));
        return convert(plan->parts[0], in, out);
    }
    return CAIRN_EINTERNAL;
}

static int convert(const struct crn_avro_plan *plan, struct crn_avro_cursor *in,
                   struct cairn_buffer *out)
{
    /* Defaults make values larger; they shall not make them larger than any value may be. */
    if (plan->state != CRN_AVRO_READY || out->size > CRN_VALUE_SIZE_MAX || !crn_avro_enter(in))
        return CAIRN_ECORRUPT;
    int r = convert_inside(plan, in, out);
    crn_avro_leave(in);
    return r;
}

int crn_avro_convert(const struct crn_avro_plan *root, const void *data, size_t size,
                     struct cairn_buffer *out)
{
    struct crn_avro_cursor in;
    crn_avro_cursor_init(&in, data, size);
    CRN_TRY(convert(root, &in, out));
    return crn_reader_left(&in.in) == 0 ? 0 : CAIRN_ECORRUPT;
}
