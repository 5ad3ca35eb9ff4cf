/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_KEYS_H
#define CRN_STATE_KEYS_H

#include "base/buffer.h"

/*
 * Key groups and composite keys; the bytes are in docs/format.md.
 *
 *   key group   1 byte if max_parallelism <= 128, else 2, big-endian
 *   key         varint length, bytes
 *   namespace   varint length, bytes
 *   map key     the rest (maps only)
 *
 * The lengths in front make it a prefix code: no two different triples give the same bytes, and all
 * map entries of one (key, namespace) are one contiguous range.
 */
#define CRN_KEY_SIZE_MAX 65536u

/* Flink's assignment, so that its published vectors hold: murmur of a 32-bit hash, modulo. */
uint32_t crn_key_group_of_hash(uint32_t hash, uint32_t max_parallelism);
/* The hash of a key's bytes is XXH3-64 folded to 32 bits by xor. */
uint32_t crn_key_group_of(const void *key, size_t size, uint32_t max_parallelism);
uint32_t crn_key_group_subtask(uint32_t key_group, uint32_t parallelism, uint32_t max_parallelism);
/* Inclusive range of a subtask. */
void crn_key_group_range(uint32_t subtask, uint32_t parallelism, uint32_t max_parallelism,
                         uint32_t *ret_first, uint32_t *ret_last);
/* Flink's default: round_up_pow2(1.5 p), at least 128, at most 32768. */
uint32_t crn_default_max_parallelism(uint32_t parallelism);

#define CRN_KEY_GROUP_SIZE_MAX 2u
/* What all keys of a group begin with; of max_parallelism itself: what is behind all keys. Gives
 * the size, the same for all groups. */
size_t crn_key_group_prefix(uint32_t key_group, uint32_t max_parallelism,
                            uint8_t ret[CRN_KEY_GROUP_SIZE_MAX]);

/* Start a composite key in `out` (cleared first): key group and key. */
int crn_key_start(struct cairn_buffer *out, uint32_t key_group, uint32_t max_parallelism,
                  const void *key, size_t size);
/* Append the namespace, or for maps after it the map key. */
int crn_key_add_namespace(struct cairn_buffer *out, const void *ns, size_t size);

struct crn_key_parts {
    uint32_t key_group;
    const uint8_t *key, *ns, *map_key; /* map_key: the rest, possibly empty */
    size_t key_size, ns_size, map_key_size;
};
/* false: not a composite key. */
bool crn_key_split(const void *data, size_t size, uint32_t max_parallelism,
                   struct crn_key_parts *ret);

#endif
