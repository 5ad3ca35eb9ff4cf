/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key groups and composite keys.
 *
 * A key group is the unit of state that moves when parallelism changes. The group of a key and the
 * range of a subtask follow Flink's formulas (murmur of a 32-bit hash), so that its published
 * vectors hold here too. The hash itself is XXH3-64 of the key's bytes, folded: Java's hashCode()
 * has no meaning for bytes.
 *
 * A composite key puts the group first, so that a subtask's range is a contiguous range of the
 * database, then length-prefixed key and namespace. The lengths make it a prefix code: two
 * different (key, namespace, map key) triples never give the same bytes, and no (key, namespace) is
 * a prefix of another one. docs/format.md has the bytes. Pure functions; splitting trusts nothing
 * (P11).
 */
#include "backends/state/keys.h"

#include "base/hash.h"

#include <string.h>

/* Up to here a key group fits one byte in every key. */
#define ONE_BYTE_GROUPS_MAX 128u
#define MAX_PARALLELISM_LOWEST_DEFAULT 128u
#define MAX_PARALLELISM_HIGHEST 32768u

static uint32_t rotate_left(uint32_t value, unsigned int bits)
{
    return value << bits | value >> (32 - bits);
}

/* One round of murmur3-32 over a 4-byte word, its finaliser, and the absolute value: the form that
 * Flink settled on. INT_MIN has no absolute value and becomes 0. */
static uint32_t murmur(uint32_t code)
{
    code *= 0xcc9e2d51u;
    code = rotate_left(code, 15);
    code *= 0x1b873593u;
    code = rotate_left(code, 13);
    code = code * 5 + 0xe6546b64u;
    code ^= 4;
    code ^= code >> 16;
    code *= 0x85ebca6bu;
    code ^= code >> 13;
    code *= 0xc2b2ae35u;
    code ^= code >> 16;
    if (code < 0x80000000u)
        return code;
    return code == 0x80000000u ? 0 : -code;
}

uint32_t crn_key_group_of_hash(uint32_t hash, uint32_t max_parallelism)
{
    return murmur(hash) % max_parallelism;
}

uint32_t crn_key_group_of(const void *key, size_t size, uint32_t max_parallelism)
{
    uint64_t hash = crn_hash64_of(key, size);
    return crn_key_group_of_hash((uint32_t)(hash >> 32) ^ (uint32_t)hash, max_parallelism);
}

uint32_t crn_key_group_subtask(uint32_t key_group, uint32_t parallelism, uint32_t max_parallelism)
{
    return (uint32_t)((uint64_t)key_group * parallelism / max_parallelism);
}

void crn_key_group_range(uint32_t subtask, uint32_t parallelism, uint32_t max_parallelism,
                         uint32_t *ret_first, uint32_t *ret_last)
{
    uint64_t first = ((uint64_t)subtask * max_parallelism + parallelism - 1) / parallelism;
    uint64_t last = (((uint64_t)subtask + 1) * max_parallelism - 1) / parallelism;
    *ret_first = (uint32_t)first;
    *ret_last = (uint32_t)last;
}

uint32_t crn_default_max_parallelism(uint32_t parallelism)
{
    uint64_t wanted = (uint64_t)parallelism + parallelism / 2;
    uint32_t power = MAX_PARALLELISM_LOWEST_DEFAULT;
    while (power < wanted && power < MAX_PARALLELISM_HIGHEST)
        power *= 2;
    return power;
}

size_t crn_key_group_prefix(uint32_t key_group, uint32_t max_parallelism,
                            uint8_t ret[CRN_KEY_GROUP_SIZE_MAX])
{
    if (max_parallelism <= ONE_BYTE_GROUPS_MAX) {
        ret[0] = (uint8_t)key_group;
        return 1;
    }
    ret[0] = (uint8_t)(key_group >> 8);
    ret[1] = (uint8_t)key_group;
    return 2;
}

static int append_sized(struct cairn_buffer *out, const void *data, size_t size)
{
    if (size > CRN_KEY_SIZE_MAX)
        return CAIRN_EINVAL;
    CRN_TRY(crn_buf_append_varint(out, size));
    return size > 0 ? crn_buf_append(out, data, size) : 0;
}

int crn_key_start(struct cairn_buffer *out, uint32_t key_group, uint32_t max_parallelism,
                  const void *key, size_t size)
{
    crn_buf_clear(out);
    if (key_group >= max_parallelism)
        return CAIRN_EINVAL;
    uint8_t prefix[CRN_KEY_GROUP_SIZE_MAX];
    CRN_TRY(crn_buf_append(out, prefix, crn_key_group_prefix(key_group, max_parallelism, prefix)));
    return append_sized(out, key, size);
}

int crn_key_add_namespace(struct cairn_buffer *out, const void *ns, size_t size)
{
    return append_sized(out, ns, size);
}

static bool read_sized(struct crn_reader *reader, const uint8_t **ret, size_t *ret_size)
{
    uint64_t size;
    if (!crn_read_varint(reader, &size) || size > CRN_KEY_SIZE_MAX)
        return false;
    *ret_size = (size_t)size;
    return crn_read_bytes(reader, (size_t)size, ret);
}

bool crn_key_split(const void *data, size_t size, uint32_t max_parallelism,
                   struct crn_key_parts *ret)
{
    struct crn_reader reader = {.data = data, .size = size};
    struct crn_key_parts parts = {0};

    if (max_parallelism <= ONE_BYTE_GROUPS_MAX) {
        uint8_t group;
        if (!crn_read_u8(&reader, &group))
            return false;
        parts.key_group = group;
    } else {
        uint16_t group;
        if (!crn_read_be16(&reader, &group))
            return false;
        parts.key_group = group;
    }
    if (parts.key_group >= max_parallelism || !read_sized(&reader, &parts.key, &parts.key_size) ||
        !read_sized(&reader, &parts.ns, &parts.ns_size))
        return false;
    parts.map_key_size = crn_reader_left(&reader);
    if (!crn_read_bytes(&reader, parts.map_key_size, &parts.map_key))
        return false;
    *ret = parts;
    return true;
}
