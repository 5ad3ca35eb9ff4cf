/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a canonical file: what it is, which one, which key groups, the names of its states.
 *
 * It has a checksum of its own that covers version and feature bits, so damage there is never
 * mistaken for a newer format (P8), and it can be read without the rest of the file. Pure functions
 * over bytes that nobody trusts (P11).
 */
#include "backends/state/canonical_internal.h"

#include "base/text.h"

#define MAX_PARALLELISM_MAX 32768u

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_duplicates(const char **names, size_t count)
{
    if (count > 1)
        qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return true;
    return false;
}

const char *crn_canonical_header_flaw(const struct crn_canonical_header *header)
{
    if (header->max_parallelism < 1 || header->max_parallelism > MAX_PARALLELISM_MAX)
        return "its number of key groups is out of range";
    if (header->key_group_first > header->key_group_last ||
        header->key_group_last >= header->max_parallelism)
        return "its range of key groups is none";
    if (header->state_count > CRN_CANONICAL_STATES_MAX)
        return "it has too many states";
    const char *names[CRN_CANONICAL_STATES_MAX];
    for (size_t i = 0; i < header->state_count; i++) {
        if (!crn_text_is_name(header->states[i]))
            return "the name of a state is none";
        names[i] = header->states[i];
    }
    return has_duplicates(names, header->state_count) ? "two states have the same name" : NULL;
}

int crn_canonical_header_encode(const struct crn_canonical_header *header, struct cairn_buffer *out,
                                cairn_error **reterr)
{
    uint8_t fixed[CRN_CANONICAL_HEADER_FIXED] = {0}, checksum[CRN_CANONICAL_CHECKSUM_SIZE];
    size_t start = out->size;

    memcpy(fixed, CRN_CANONICAL_MAGIC, CRN_CANONICAL_MAGIC_SIZE);
    crn_put_le32(fixed + 8, CRN_CANONICAL_VERSION);
    crn_put_le32(fixed + 16, header->has_identity ? CRN_CANONICAL_FEATURE_IDENTITY : 0);
    crn_put_le32(fixed + 24, header->max_parallelism);
    crn_put_le32(fixed + 28, header->key_group_first);
    crn_put_le32(fixed + 32, header->key_group_last);
    crn_put_le32(fixed + 36, (uint32_t)header->state_count);
    int r = crn_buf_append(out, fixed, sizeof(fixed));
    if (r == 0 && header->has_identity)
        r = crn_buf_append(out, header->identity, sizeof(header->identity));
    for (size_t i = 0; i < header->state_count && r == 0; i++) {
        size_t size = strlen(header->states[i]);
        r = crn_buf_append_varint(out, size);
        if (r == 0)
            r = crn_buf_append(out, header->states[i], size);
    }
    if (r < 0)
        return crn_err_nomem(reterr);
    size_t size = out->size - start;
    crn_put_le32(out->data + start + 20, (uint32_t)(size + sizeof(checksum)));
    crn_put_le64(checksum, crn_hash64_of(out->data + start, size));
    return crn_buf_append(out, checksum, sizeof(checksum)) < 0 ? crn_err_nomem(reterr) : 0;
}

int crn_canonical_header_size(const uint8_t *data, const char *object, uint32_t *ret,
                              cairn_error **reterr)
{
    if (memcmp(data, CRN_CANONICAL_MAGIC, CRN_CANONICAL_MAGIC_SIZE) != 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "'%s' is not a canonical file", object);
    uint32_t size = crn_get_le32(data + 20);
    if (size < CRN_CANONICAL_HEADER_MIN || size > CRN_CANONICAL_HEADER_MAX)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "'%s': its header cannot have %u bytes",
                            object, size);
    *ret = size;
    return 0;
}

static int check_version(const uint8_t *data, const char *object, cairn_error **reterr)
{
    uint32_t version = crn_get_le32(data + 8), features = crn_get_le32(data + 16);
    if (version == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "'%s' has format version 0", object);
    if (version > CRN_CANONICAL_VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, object,
                            "'%s' has format version %u, this library reads up to %u", object,
                            version, CRN_CANONICAL_VERSION);
    features &= ~CRN_CANONICAL_FEATURE_IDENTITY;
    if (features != 0)
        return crn_err_fail(reterr, CAIRN_EVERSION, object,
                            "'%s' needs features 0x%x that this library does not have", object,
                            features);
    return 0;
}

/* The names go into one allocation, which states[0] points to. */
static int decode_names(struct crn_reader *in, uint32_t count, struct crn_canonical_header *ret)
{
    CRN_AUTO_FREE char *text = malloc(crn_reader_left(in) + count + 1);
    CRN_AUTO_FREE const char **names = calloc((size_t)count + 1, sizeof(*names));
    if (!text || !names)
        return CAIRN_ENOMEM;
    char *at = text;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *name;
        uint64_t size;
        if (!crn_read_varint(in, &size) || size > crn_reader_left(in) ||
            !crn_read_bytes(in, (size_t)size, &name) || memchr(name, 0, (size_t)size))
            return CAIRN_ECORRUPT;
        names[i] = at;
        at = mempcpy(at, name, (size_t)size);
        *at++ = 0;
    }
    names[count] = text; /* for _done(), also when there are no states */
    (void)CRN_TAKE(text);
    ret->states = CRN_TAKE(names);
    ret->state_count = count;
    return 0;
}

void crn_canonical_header_done(struct crn_canonical_header *header)
{
    if (header->states)
        free((char *)(uintptr_t)header->states[header->state_count]);
    free((void *)(uintptr_t)header->states);
    *header = (struct crn_canonical_header){0};
}

int crn_canonical_header_decode(const uint8_t *data, uint32_t size, const char *object,
                                struct crn_canonical_header *ret, cairn_error **reterr)
{
    size_t body = size - CRN_CANONICAL_CHECKSUM_SIZE;
    if (crn_get_le64(data + body) != crn_hash64_of(data, body))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "'%s': the checksum of its header is wrong", object);
    CRN_TRY(check_version(data, object, reterr));
    bool has_identity = crn_get_le32(data + 16) & CRN_CANONICAL_FEATURE_IDENTITY;
    size_t names = CRN_CANONICAL_HEADER_FIXED + (has_identity ? CRN_CANONICAL_IDENTITY_SIZE : 0);
    if (body < names)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "'%s': its header is too short",
                            object);
    struct crn_canonical_header header = {.max_parallelism = crn_get_le32(data + 24),
                                          .key_group_first = crn_get_le32(data + 28),
                                          .key_group_last = crn_get_le32(data + 32),
                                          .has_identity = has_identity};
    memcpy(header.identity, data + CRN_CANONICAL_HEADER_FIXED, names - CRN_CANONICAL_HEADER_FIXED);
    uint32_t count = crn_get_le32(data + 36);
    struct crn_reader in = {.data = data, .size = body, .position = names};
    int r = count <= CRN_CANONICAL_STATES_MAX ? decode_names(&in, count, &header) : CAIRN_ECORRUPT;
    if (r == CAIRN_ENOMEM)
        return crn_err_nomem(reterr);
    const char *flaw = r < 0                       ? "its states cannot be read"
                       : crn_reader_left(&in) != 0 ? "there is more behind its states"
                                                   : crn_canonical_header_flaw(&header);
    if (flaw) {
        crn_canonical_header_done(&header);
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "'%s': %s", object, flaw);
    }
    *ret = header;
    return 0;
}

uint64_t crn_canonical_seed(const struct crn_canonical_header *header)
{
    return header->has_identity ? crn_hash64_of(header->identity, sizeof(header->identity)) : 0;
}
