/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Operator state as bytes: what a subtask writes into each checkpoint, and how the blobs of all
 * stored subtasks become the state that one subtask starts with. docs/format.md has the bytes.
 *
 * Encoding is deterministic: states by name, broadcast entries by key. A blob comes out of a store,
 * so decoding believes nothing (P11), although its checksum was right (P8): every length is checked
 * against what is left, every rule that the encoder keeps is asked for, and nothing is allocated
 * for a number that was only claimed.
 *
 * Redistribution is pure: all subtasks compute the same from the same blobs, so that together they
 * hold each element of a split list once, whatever the old and new parallelism.
 */

#include "engine/states/keyed.h"
#include "engine/states/operator_state.h"
#include "base/text.h"
#include <inttypes.h>
#include <string.h>

#define BLOB_VERSION 1
static const uint8_t blob_magic[4] = {'C', 'R', 'O', 'S'};

/* ------------------------------------------------------------------------------------------ *
 * Encoding
 * ------------------------------------------------------------------------------------------ */

static int append_sized(struct cairn_buffer *out, const void *data, size_t size)
{
    CRN_TRY(crn_buf_append_varint(out, size));
    return crn_buf_append(out, data, size);
}

static int append_state(struct cairn_buffer *out, const struct crn_operator_state *state)
{
    CRN_TRY(append_sized(out, state->info.name, strlen(state->info.name)));
    CRN_TRY(crn_buf_append_u8(out, (uint8_t)state->info.kind));
    CRN_TRY(crn_buf_append_u8(out, (uint8_t)state->info.value_type));
    CRN_TRY(crn_buf_append_u8(out, (uint8_t)state->info.map_key_type));
    CRN_TRY(crn_buf_append_varint(out, state->count));
    for (size_t i = 0; i < state->count; i++) {
        const struct crn_operator_item *item = &state->items[i];
        if (state->info.kind == CAIRN_KIND_BROADCAST)
            CRN_TRY(append_sized(out, item->bytes, item->key_size));
        CRN_TRY(append_sized(out, item->bytes + item->key_size, item->value_size));
    }
    return 0;
}

static int append_all(const struct crn_operator_states *states, struct cairn_buffer *out)
{
    if (states->count == 0)
        return 0;
    CRN_TRY(crn_buf_append(out, blob_magic, sizeof(blob_magic)));
    CRN_TRY(crn_buf_append_u8(out, BLOB_VERSION));
    CRN_TRY(crn_buf_append_varint(out, states->count));
    for (size_t i = 0; i < states->count; i++)
        CRN_TRY(append_state(out, states->states[i]));
    return 0;
}

int crn_operator_states_encode(const struct crn_operator_states *states, struct cairn_buffer *out,
                               cairn_error **reterr)
{
    crn_buf_clear(out);
    return append_all(states, out) < 0 ? crn_err_nomem(reterr) : 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Decoding
 * ------------------------------------------------------------------------------------------ */

static int corrupt(cairn_error **reterr, const struct crn_reader *at, const char *what)
{
    return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "operator state, byte %zu: %s", at->position,
                        what);
}

static bool read_sized(struct crn_reader *reader, size_t max_size, const uint8_t **ret,
                       size_t *ret_size)
{
    struct crn_reader at = *reader;
    uint64_t size;
    if (!crn_read_varint(&at, &size) || size > max_size || !crn_read_bytes(&at, (size_t)size, ret))
        return false;
    *ret_size = (size_t)size;
    *reader = at;
    return true;
}

static int read_header(struct crn_reader *reader, uint64_t *ret_states, cairn_error **reterr)
{
    const uint8_t *magic;
    uint8_t version;
    if (!crn_read_bytes(reader, sizeof(blob_magic), &magic) ||
        memcmp(magic, blob_magic, sizeof(blob_magic)) != 0 || !crn_read_u8(reader, &version))
        return corrupt(reterr, reader, "does not begin as operator state does");
    if (version > BLOB_VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, NULL,
                            "operator state has format version %u, this library reads up to %u",
                            version, BLOB_VERSION);
    if (version == 0)
        return corrupt(reterr, reader, "there is no format version 0");
    if (!crn_read_varint(reader, ret_states) || *ret_states == 0)
        return corrupt(reterr, reader, "the number of states is malformed");
    return 0;
}

/* One state's descriptor; its name is an allocation of its own. */
static int read_state(struct crn_reader *reader, cairn_state_info *ret, uint64_t *ret_entries,
                      cairn_error **reterr)
{
    const uint8_t *bytes;
    size_t size;
    uint8_t kind, value_type, key_type;
    if (!read_sized(reader, 255, &bytes, &size))
        return corrupt(reterr, reader, "a state's name is malformed");
    CRN_AUTO_FREE char *name = crn_str_dup_n(bytes, size);
    if (name == NULL)
        return crn_err_nomem(reterr);
    if (strlen(name) != size || !crn_text_is_name(name))
        return corrupt(reterr, reader, "a state's name is not one");
    if (!crn_read_u8(reader, &kind) || !crn_read_u8(reader, &value_type) ||
        !crn_read_u8(reader, &key_type) || !crn_read_varint(reader, ret_entries))
        return corrupt(reterr, reader, "a state's descriptor is cut off");
    if (kind < CAIRN_KIND_OPERATOR_LIST || kind > CAIRN_KIND_BROADCAST ||
        value_type > CAIRN_STRING || key_type > CAIRN_STRING ||
        (kind != CAIRN_KIND_BROADCAST && key_type != CAIRN_BYTES))
        return corrupt(reterr, reader, "a state's kind or types are unknown");
    *ret = (cairn_state_info){.name = CRN_TAKE(name),
                              .kind = (cairn_state_kind)kind,
                              .value_type = (cairn_type)value_type,
                              .map_key_type = (cairn_type)key_type};
    return 0;
}

static int compare_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* One entry; `entry` still holds the one before it when element > 0. */
static int read_entry(struct crn_reader *reader, const cairn_state_info *info, uint64_t element,
                      cairn_entry *entry, cairn_error **reterr)
{
    const uint8_t *key, *value;
    size_t key_size, value_size;
    if (info->kind == CAIRN_KIND_BROADCAST) {
        if (!read_sized(reader, CRN_KEY_SIZE_MAX, &key, &key_size) ||
            !crn_type_fits(info->map_key_type, key_size))
            return corrupt(reterr, reader, "an entry's key is malformed");
        if (element > 0 && compare_bytes(entry->key, entry->key_size, key, key_size) >= 0)
            return corrupt(reterr, reader, "entries are not in the order of their keys");
        entry->key = key;
        entry->key_size = key_size;
    }
    if (!read_sized(reader, CRN_VALUE_SIZE_MAX, &value, &value_size) ||
        !crn_type_fits(info->value_type, value_size))
        return corrupt(reterr, reader, "an entry's value is malformed");
    entry->value = value;
    entry->value_size = value_size;
    return 0;
}

static int visit_entries(struct crn_reader *reader, const cairn_state_info *info, uint64_t count,
                         const struct crn_operator_visitor *visitor, cairn_error **reterr)
{
    cairn_entry entry = {0};
    for (uint64_t i = 0; i < count; i++) {
        CRN_TRY(read_entry(reader, info, i, &entry, reterr));
        if (visitor->entry != NULL)
            CRN_TRY(visitor->entry(visitor->context, info, i, &entry, reterr));
    }
    return 0;
}

int crn_operator_blob_visit(const void *blob, size_t size,
                            const struct crn_operator_visitor *visitor, cairn_error **reterr)
{
    if (size == 0)
        return 0;
    struct crn_reader reader = {.data = blob, .size = size};
    uint64_t states;
    CRN_TRY(read_header(&reader, &states, reterr));
    CRN_AUTO_FREE char *previous = NULL;
    for (uint64_t i = 0; i < states; i++) {
        cairn_state_info info = {0};
        uint64_t entries = 0;
        CRN_TRY(read_state(&reader, &info, &entries, reterr));
        CRN_AUTO_FREE char *name = (char *)(uintptr_t)info.name;
        if (previous != NULL && strcmp(previous, name) >= 0)
            return corrupt(reterr, &reader, "states are not in the order of their names");
        if (visitor->state != NULL)
            CRN_TRY(visitor->state(visitor->context, &info, reterr));
        CRN_TRY(visit_entries(&reader, &info, entries, visitor, reterr));
        free(previous);
        previous = CRN_TAKE(name);
    }
    if (crn_reader_left(&reader) != 0)
        return corrupt(reterr, &reader, "there are bytes after the last state");
    return 0;
}

struct walk {
    crn_operator_entry_fn fn;
    void *context;
};

static int walk_entry(void *context, const cairn_state_info *info, uint64_t element,
                      const cairn_entry *entry, cairn_error **reterr)
{
    (void)reterr; /* the function's own failure is its caller's to tell */
    const struct walk *walk = context;
    return walk->fn(walk->context, info, element, entry);
}

int crn_operator_states_walk(const void *blob, size_t size, crn_operator_entry_fn fn, void *context,
                             cairn_error **reterr)
{
    struct walk walk = {fn, context};
    struct crn_operator_visitor visitor = {.entry = walk_entry, .context = &walk};
    return crn_operator_blob_visit(blob, size, &visitor, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * Redistribution
 * ------------------------------------------------------------------------------------------ */

struct restore {
    struct crn_operator_states *states;
    struct crn_operator_state *current;
    size_t blob, blob_count;
    uint32_t subtask, parallelism;
};

/* Does this subtask get the entry? */
static bool is_mine(const struct restore *restore)
{
    switch (restore->current->info.kind) {
    case CAIRN_KIND_OPERATOR_UNION:
        return true;
    case CAIRN_KIND_BROADCAST:
        return restore->blob == restore->subtask % restore->blob_count;
    default:
        return restore->blob_count == restore->parallelism
                   ? restore->blob == restore->subtask
                   : restore->current->dealt % restore->parallelism == restore->subtask;
    }
}

static int restore_state(void *context, const cairn_state_info *info, cairn_error **reterr)
{
    struct restore *restore = context;
    if (crn_operator_states_add(restore->states, info, &restore->current) < 0)
        return crn_err_nomem(reterr);
    const cairn_state_info *known = &restore->current->info;
    if (known->kind != info->kind || known->value_type != info->value_type ||
        known->map_key_type != info->map_key_type)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "operator state '%s': %s of %s in one subtask, %s of %s in subtask %zu",
                            info->name, crn_kind_name(known->kind),
                            crn_type_name(known->value_type), crn_kind_name(info->kind),
                            crn_type_name(info->value_type), restore->blob);
    return 0;
}

static int restore_entry(void *context, const cairn_state_info *info, uint64_t element,
                         const cairn_entry *entry, cairn_error **reterr)
{
    (void)info;
    (void)element;
    struct restore *restore = context;
    struct crn_operator_state *state = restore->current;
    bool mine = is_mine(restore);
    state->dealt++;
    if (!mine)
        return 0;
    if (crn_operator_state_insert(state, state->count, entry->key, entry->key_size, entry->value,
                                  entry->value_size) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

int crn_operator_states_restore(struct crn_operator_states *states,
                                const struct cairn_buffer *blobs, size_t blob_count,
                                uint32_t subtask, uint32_t parallelism, cairn_error **reterr)
{
    struct restore restore = {
        .states = states, .blob_count = blob_count, .subtask = subtask, .parallelism = parallelism};
    struct crn_operator_visitor visitor = {
        .state = restore_state, .entry = restore_entry, .context = &restore};
    for (restore.blob = 0; restore.blob < blob_count; restore.blob++)
        CRN_TRY(crn_operator_blob_visit(blobs[restore.blob].data, blobs[restore.blob].size,
                                        &visitor, reterr));
    return 0;
}
